"""Who may read and who may start a DAG: dependencies that whoever mounts the application provides."""

import base64
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import HTTPException, Request

from heritage.errors import Misconfigured

# a FastAPI dependency that gives the caller's name, or raises HTTPException 401 or 403
Login = Callable[..., str]
MIN_TOKEN = 16
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Guard:
    """`read` admits those who may look; `write` makes, for a DAG id, the dependency for those who may start its runs.

    `hosts` are the names by which the application may be called; empty where a proxy or Airflow sees to that.
    """

    read: Login
    write: Callable[[str], Login]
    hosts: tuple[str, ...] = ()


def token_guard(token: str, host: str = "127.0.0.1") -> Guard:
    """Admits whoever sends `Authorization: Bearer <token>`, or logs in with it as password, for everything.

    A browser asks for name and password by itself; answers to label requests are kept under that name. Without a token
    everybody on this machine is admitted, under its loopback names only: else a page of another site could have its own
    name point here. Raises `Misconfigured` for a short token, and for none on another `host`.
    """
    if token and len(token) < MIN_TOKEN:
        raise Misconfigured(
            f"HERITAGE_API__TOKEN has {len(token)} characters; give {MIN_TOKEN} or more: openssl rand -hex 24"
        )
    if not token and host not in LOOPBACK:
        raise Misconfigured(
            f"the API would listen on {host} without a login; set HERITAGE_API__TOKEN, or use 127.0.0.1"
        )

    def login(request: Request) -> str:
        if not token:
            return "local"
        if has_token(request, token):
            return "token"
        name, password = _name_and_password(request)
        if hmac.compare_digest(password.encode(), token.encode()):
            return name or "token"
        detail = "give the token as 'Authorization: Bearer <token>', or as password with any name"
        raise HTTPException(401, detail, {"WWW-Authenticate": 'Basic realm="heritage", charset="UTF-8"'})

    return Guard(login, lambda _: login, () if token else LOOPBACK)


def _name_and_password(request: Request) -> tuple[str, str]:
    """What a browser sends after asking (RFC 7617); two empty texts for anything else."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        name, _, password = base64.b64decode(given.strip(), validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    return name.strip(), password


def has_token(request: Request, token: str) -> bool:
    """Whether the request carries this bearer token; takes equally long for every wrong one."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())
