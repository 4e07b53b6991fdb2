"""Free loopback ports."""

import random
import socket

from heritage.errors import Misconfigured

LOOPBACK = "127.0.0.1"
# below the range that Linux and macOS give to outgoing connections, above the well-known services
_RANGE = range(20_000, 30_000)
# SeaweedFS's worker dials its admin's port plus this, whatever the options say
SHADOW = 10_000


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback address now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # a port in TIME_WAIT counts as free, as it does for the servers that we start
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """`count` different ports, each free together with the port 10,000 above it.

    Another program may take one before it is used; the server that wanted it then says so and is not counted as up.
    """
    found: list[int] = []
    for port in random.SystemRandom().sample(_RANGE, len(_RANGE)):
        if is_free(port) and is_free(port + SHADOW):
            found.append(port)
        if len(found) == count:
            return found
    raise Misconfigured(f"fewer than {count} free ports between {_RANGE.start} and {_RANGE.stop}; stop some servers")


def check_free(port: int, what: str) -> int:
    """`port` itself if it is free, else `Misconfigured` naming what wanted it."""
    if not is_free(port):
        raise Misconfigured(f"port {port} for {what} is taken by another program; stop that one or choose another port")
    return port
