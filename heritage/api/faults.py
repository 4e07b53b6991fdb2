"""Errors of heritage as HTTP answers."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from heritage.errors import (
    BadInput,
    Conflict,
    HeritageError,
    Misconfigured,
    NotFound,
    Refused,
    Unavailable,
)
from heritage.names import printable

_STATUS: tuple[tuple[type[HeritageError], int], ...] = (
    (BadInput, 400),
    (NotFound, 404),
    (Conflict, 409),
    (Refused, 409),
    (Unavailable, 503),
    (Misconfigured, 503),
)
_NAMES = {400: "BadInput", 401: "LoginNeeded", 403: "Refused", 404: "NotFound", 405: "BadInput", 413: "BadInput"}
RETRY_AFTER_S = 10
_log = logging.getLogger(__name__)


class Fault(BaseModel):
    """Why a request was not carried out: the kind of error, and a sentence for people."""

    error: str
    detail: str


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route behind the login that may fail in these ways too."""
    return {status: {"model": Fault} for status in sorted({400, 401, 403, 422, 503, *statuses})}


def handle_errors(app: FastAPI) -> None:
    """Answer every error as a `Fault`."""
    app.add_exception_handler(HeritageError, _heritage)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)


def _heritage(_: Request, error: Exception) -> JSONResponse:
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    if isinstance(error, Misconfigured):
        # its text names addresses and settings, which are for whoever runs the server
        _log.error("%s", printable(str(error), 1000))
        return _fault(status, "Misconfigured", "a service of this server is not set up; its log says which")
    kind = next((kind.__name__ for kind, _ in _STATUS if isinstance(error, kind)), "HeritageError")
    return _fault(status, kind, printable(str(error), 1000))


def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = _NAMES.get(error.status_code, "HeritageError")
    return _fault(error.status_code, kind, printable(str(error.detail), 1000), dict(error.headers or {}))


def _validation(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    where = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
    return _fault(422, "BadInput", printable(where, 1000))


def _fault(status: int, kind: str, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    extra = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else {}
    return JSONResponse({"error": kind, "detail": detail}, status, {**extra, **(headers or {})})
