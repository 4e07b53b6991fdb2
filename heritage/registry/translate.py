"""MLflow's failures as errors of heritage; the one place that knows MLflow's error codes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from heritage.errors import BadInput, Conflict, HeritageError, Misconfigured, NotFound, Unavailable
from heritage.names import printable

# two codes share HTTP status 400, and MLflow maps them to it on its way through the client
_CODES: dict[str, type[HeritageError]] = {
    "RESOURCE_ALREADY_EXISTS": Conflict,
    "RESOURCE_DOES_NOT_EXIST": NotFound,
    "INVALID_PARAMETER_VALUE": BadInput,
    "INVALID_STATE": Conflict,
    "ENDPOINT_NOT_FOUND": Misconfigured,
}
_STATUS: dict[int, type[HeritageError]] = {
    400: BadInput,
    401: Misconfigured,
    403: Misconfigured,
    404: NotFound,
    405: Misconfigured,
    409: Conflict,
    413: BadInput,
    501: Misconfigured,
}
_OTHER_RELEASE = "out-of-date database schema"
_REMEDY: dict[type[HeritageError], str] = {
    Misconfigured: "check HERITAGE_MLFLOW__TRACKING_URI and the user's name, password and permissions",
    Unavailable: "check that the server runs and is reachable, then try again",
    NotFound: "it was deleted or never there; `heritage lineage list` names what is registered",
}


def without_password(uri: str) -> str:
    """`uri` as it may be shown: user, password and query left out."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class Translated:
    """An MLflow client whose methods raise errors of heritage only.

    `Unavailable` for an outage, a hang or an answer that is no JSON; `NotFound`; `Conflict`; `BadInput` for what
    the server refuses; `Misconfigured` for a wrong address, user or permission.
    """

    def __init__(self, client: Any, uri: str) -> None:
        self._client = client
        self._uri = uri

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            with translated(name, self._uri):
                return method(*args, **kwargs)

        return call


@contextmanager
def translated(what: str, uri: str) -> Iterator[None]:
    """Failures of MLflow and of HTTP inside the block become errors of heritage that name `what` and the server."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MlflowException as error:
        untyped: Any = error
        kind = _CODES.get(error.error_code) or _by_status(untyped.get_http_status_code())
        if _OTHER_RELEASE in str(error):  # MLflow calls it an internal error
            kind = Misconfigured
        raise _error(kind, what, uri, str(error)) from error
    except RequestException as error:
        status = 503 if error.response is None else error.response.status_code
        raise _error(_by_status(status), what, uri, str(error)) from error
    except SQLAlchemyError as error:  # a database that cannot be opened; later ones MLflow tells in its own words
        raise _error(Unavailable, what, uri, str(error)) from error


def by_status(status: int, what: str, uri: str) -> HeritageError:
    """The error for an HTTP answer that is no success."""
    return _error(_by_status(status), what, uri, f"the server answered {status}")


def _by_status(status: int) -> type[HeritageError]:
    return _STATUS.get(status, Unavailable)


def _error(kind: type[HeritageError], what: str, uri: str, said: str) -> HeritageError:
    shown = without_password(uri)
    # messages of the HTTP client repeat the whole address, password included
    said = printable(said.replace(uri.rstrip("/"), shown).replace("\n", " "), 300)
    remedy = f"; {_REMEDY[kind]}" if kind in _REMEDY else ""
    return kind(f"MLflow at {shown}: {what}: {said}{remedy}")
