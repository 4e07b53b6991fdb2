"""Servers around the small model, on real sockets."""

import dataclasses
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from heritage.serving.champion import Champion
from heritage.serving.served import load
from heritage.serving.server import server_of
from heritage.settings import S3Settings, ServeSettings
from tests.deployed import Deployed, connection, deployed, registered

__all__ = ["connection", "deployed", "registered"]


@contextmanager
def running(champion: Champion, own: ServeSettings) -> Iterator[SimpleNamespace]:
    """A server in a thread; `stop` ends it as SIGTERM does and waits."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = server_of(champion, own)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"

        def stop() -> None:
            server.should_exit = True
            thread.join(120)
            assert not thread.is_alive()

        with httpx.Client(base_url=url, timeout=120) as client:
            try:
                yield SimpleNamespace(champion=champion, client=client, url=url, stop=stop)
            finally:
                stop()
                champion.close()


@pytest.fixture
def serve(deployed: Deployed) -> Iterator[Callable[..., Any]]:
    """Starts a server for the deployed model; keywords change its settings or its storage."""
    open_servers = []

    def start(address: str = "", s3: S3Settings | None = None, **changes: Any) -> SimpleNamespace:
        own = deployed.ctx.settings.serve.model_copy(update=changes)
        chosen = deployed.ctx.settings.model_copy(update={"serve": own, "s3": s3 or deployed.ctx.settings.s3})
        ctx = dataclasses.replace(deployed.ctx, settings=chosen)
        find = partial(ctx.registry.version, address or f"{deployed.name}@champion")
        champion = Champion(find, partial(load, ctx), own.poll_s)
        champion.start()
        open_servers.append(running(champion, own))
        return open_servers[-1].__enter__()

    yield start
    for server in open_servers:
        server.__exit__(None, None, None)
