"""What every answer carries, and what is refused before any route sees it."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 2**20
_TOO_LARGE = f"the body is larger than {MAX_BODY_BYTES} bytes"
# pages may stand in a frame of Airflow itself, which has the same origin
_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'self'"
)
_ALWAYS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_CHANGING = frozenset(["POST", "PUT", "PATCH", "DELETE"])


class Shield:
    """ASGI middleware: security headers, a limit on bodies, and no changes asked for by pages of other sites.

    `hosts` are the only names it answers to, without their port; empty: any.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        if refusal is not None:
            await refusal(scope, receive, with_headers)
            return
        await self._app(scope, _limited(receive), with_headers)

    def _refusal(self, method: str, headers: Headers) -> JSONResponse | None:
        host = headers.get("host", "")
        if self._hosts and _name(host) not in self._hosts:
            return _answer(403, "Refused", "this application does not answer to that host name")
        origin = headers.get("origin")
        if method in _CHANGING and origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return _answer(403, "Refused", "changes are not taken from pages of another origin")
        if method in _CHANGING and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return _answer(403, "Refused", "changes are not taken from pages of another site")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            return _answer(413, "BadInput", _TOO_LARGE)
        return None


def _limited(receive: Receive) -> Receive:
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_BODY_BYTES:
            raise HTTPException(413, _TOO_LARGE)
        return message

    return limited


def _name(host: str) -> str:
    """A Host header without its port: 'localhost' of 'localhost:80', '::1' of '[::1]:80'."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _answer(status: int, error: str, detail: str) -> JSONResponse:
    return JSONResponse({"error": error, "detail": detail}, status)
