"""A loopback HTTP proxy that fails on purpose, so that tests meet real lost answers, resets and slow servers."""

import http.client
import re
import socket
import socketserver
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from heritage.local.ports import LOOPBACK

_HOST = re.compile(rb"\r\nhost:[^\r]*\r\n", re.IGNORECASE)


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request; the default passes it on unharmed.

    `answer` is sent instead of asking the server; `lost` lets the server do its work and resets the connection
    instead of answering; `cut` resets it after so many bytes of the answer; `delay_s` waits before anything else;
    `drip_s` waits before every byte of the answer.
    """

    answer: bytes | None = None
    lost: bool = False
    refused: bool = False
    cut: int | None = None
    delay_s: float = 0.0
    drip_s: float = 0.0


PASS = Fault()
REFUSED = Fault(refused=True)
LOST = Fault(lost=True)


def failure(status: int, code: str, message: str = "as planned") -> Fault:
    """A fault that answers as S3 does: an HTTP status and an XML document with an error code."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    head = f"HTTP/1.1 {status} {http.client.responses.get(status, 'Error')}\r\nContent-Type: application/xml\r\n"
    return Fault(answer=f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)


class FaultProxy(socketserver.ThreadingTCPServer):
    """Passes each request on to `target_port`, with the next of `faults`; afterwards with `then`.

    One request a connection. `seen` counts the requests. With `as_target` the server is told that it was called by
    its own address, for one that refuses others; a signature over the address would break.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, target_port: int, as_target: bool = False) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.target_port = target_port
        self.as_target = as_target
        self.faults: deque[Fault] = deque()
        self.then = PASS
        self.seen = 0
        self._turn = threading.Lock()

    @property
    def url(self) -> str:
        """The address to give to a client."""
        return f"http://{LOOPBACK}:{self.server_address[1]}"

    def plan(self, *faults: Fault, then: Fault = PASS) -> None:
        """Meet the next requests with these faults, in this order, and all later ones with `then`."""
        with self._turn:
            self.faults, self.then, self.seen = deque(faults), then, 0

    def next_fault(self) -> Fault:
        """The fault for a request that has just come in."""
        with self._turn:
            self.seen += 1
            return self.faults.popleft() if self.faults else self.then


@contextmanager
def fault_proxy(target_port: int, as_target: bool = False) -> Iterator[FaultProxy]:
    """A running proxy before the server on `target_port`."""
    with FaultProxy(target_port, as_target) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


class _Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        client: socket.socket = self.request
        proxy = cast(FaultProxy, self.server)
        try:
            request = _request(client)
            if request and proxy.as_target:
                request = _HOST.sub(f"\r\nHost: {LOOPBACK}:{proxy.target_port}\r\n".encode(), request, count=1)
            if request:
                self._meet(proxy.next_fault(), proxy.target_port, request)
        except OSError:
            return  # the client went away, as clients under test do

    def _meet(self, fault: Fault, target_port: int, request: bytes) -> None:
        time.sleep(fault.delay_s)
        if fault.refused:
            _reset(self.request)
        elif fault.answer is not None:
            self.request.sendall(fault.answer)
        else:
            self._reply(fault, _exchange(target_port, request))

    def _reply(self, fault: Fault, answer: bytes) -> None:
        if fault.lost or fault.cut is not None:
            self.request.sendall(answer[: fault.cut or 0])
            _reset(self.request)
        elif fault.drip_s:
            for byte in answer:
                self.request.sendall(bytes([byte]))
                time.sleep(fault.drip_s)
        else:
            self.request.sendall(answer)


def _request(client: socket.socket) -> bytes:
    """One whole request, made one that asks the server to close after its answer; b'' when none came."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(65536)
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"expect:", b"connection:"))]
    if b"\r\nexpect:" in head.lower():
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    length = next((int(line[15:]) for line in lines if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        body += client.recv(65536)
    return b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n" + body


def _exchange(port: int, request: bytes) -> bytes:
    with socket.create_connection((LOOPBACK, port), timeout=30) as server:
        server.sendall(request)
        answer = b""
        while more := server.recv(65536):
            answer += more
        return answer


def _reset(client: socket.socket) -> None:
    # closing with unsent data thrown away sends RST, not FIN
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
