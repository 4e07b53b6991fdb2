"""From an address in the registry to a server on a socket."""

import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from heritage.errors import Misconfigured
from heritage.flows.context import Context
from heritage.names import printable
from heritage.serving.app import app_of
from heritage.serving.champion import Champion
from heritage.serving.served import load
from heritage.settings import ServeSettings

if TYPE_CHECKING:
    import uvicorn

GRACE_S = 30


def run(ctx: Context, address: str, told: Callable[[str], None]) -> None:
    """Serve `address` ('name@champion') until SIGTERM or SIGINT; `told` is given one line once requests are taken.

    Requests in flight are finished and the agent's rows written before this returns. Raises what is wrong with the
    version, and `Misconfigured` where the port cannot be had.
    """
    own = ctx.settings.serve
    with _socket(own) as listening:
        champion = Champion(partial(ctx.registry.version, address), partial(load, ctx), own.poll_s)
        champion.start()
        try:
            _serve(champion, own, listening, told)
        finally:
            champion.close()  # again, where the server fell over before it could


def server_of(champion: Champion, own: ServeSettings) -> "uvicorn.Server":
    """The HTTP server around a started `champion`."""
    import uvicorn

    app = app_of(champion, own)
    return uvicorn.Server(
        uvicorn.Config(app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=GRACE_S)
    )


def _serve(champion: Champion, own: ServeSettings, listening: socket.socket, told: Callable[[str], None]) -> None:
    served = champion.current
    assert served is not None
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    watched = "" if served.agent else "; it has no drift profile, so it is not watched"
    told(f"serving {served.version.address} at http://{shown}:{port}{watched}")
    server = server_of(champion, own)

    def end(*_: object) -> None:
        server.should_exit = True

    # uvicorn raises the signal again once it is done; to have been asked to stop is no failure
    for asked in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked, end)
    server.run(sockets=[listening])


def _socket(own: ServeSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in own.host else socket.AF_INET
    try:
        return socket.create_server((own.host, own.port), family=family, backlog=2048)
    except OSError as error:
        raise Misconfigured(
            f"{printable(own.host)}:{own.port} cannot be listened on ({error.strerror or error}); choose another "
            "--host or --port (0: any free one)"
        ) from error
