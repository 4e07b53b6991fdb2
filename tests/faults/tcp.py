"""A TCP proxy that breaks connections of any protocol: delay, reset, half-open, away."""

import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from heritage.local.ports import LOOPBACK


class TcpProxy:
    """Between clients and `target_port`. `delay_s` holds every packet; `mute` takes bytes and answers nothing.

    It listens on `port`, 0 for any that is free.
    """

    def __init__(self, target_port: int, port: int = 0) -> None:
        self.target_port = target_port
        self.delay_s = 0.0
        self.mute = False
        self.away = False
        self.accepted = 0
        self._listener = socket.create_server((LOOPBACK, port))
        self.port = self._listener.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def reset_all(self) -> None:
        """Break every connection that is open now, as a server does that is killed."""
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                _reset(end)

    def close(self) -> None:
        """Take no more connections and break the open ones."""
        self.away = True
        self._listener.close()
        self.reset_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            if self.away:
                _reset(client)
                continue
            self.accepted += 1
            pair = (client, socket.create_connection((LOOPBACK, self.target_port)))
            self._pairs.append(pair)
            threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        other = {client: server, server: client}
        with suppress(OSError, ValueError):  # reset by the test, or closed by one side
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        client.close()
                        server.close()
                        return
                    time.sleep(self.delay_s)
                    if not self.mute:
                        other[ready].sendall(data)


@contextmanager
def tcp_proxy(target_port: int, port: int = 0) -> Iterator[TcpProxy]:
    """A running proxy before the server on `target_port`."""
    proxy = TcpProxy(target_port, port)
    try:
        yield proxy
    finally:
        proxy.close()


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        # closing with unsent data thrown away sends RST, not FIN
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        end.close()
