"""Two small registered versions of one model, and servers around them on real sockets."""

import dataclasses
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from heritage.flows import register
from heritage.flows.context import Context
from heritage.records import Architecture, ModelVersion
from heritage.registry import INITIAL, Registry
from heritage.rows import Rows
from heritage.serving.champion import Champion
from heritage.serving.served import load
from heritage.serving.server import server_of
from heritage.settings import MlflowSettings, S3Settings, ServeSettings, Settings
from heritage.storage import ObjectStore
from heritage.weights.write import write_safetensors

QUICK = ServeSettings(port=0, poll_s=0.05, flush_s=0.2, flush_deadline_s=1.0, close_s=2.0, max_rows=64)


@dataclasses.dataclass(frozen=True)
class Deployed:
    """A registry with a model of two versions, the first being champion."""

    ctx: Context
    name: str
    versions: tuple[ModelVersion, ...]

    def point(self, version: str) -> None:
        """Move the alias as anybody may, past heritage."""
        from mlflow.tracking import MlflowClient

        uri = self.ctx.settings.mlflow.tracking_uri
        MlflowClient(uri, uri).set_registered_model_alias(self.name, "champion", version)


def reference(seed: int, rows: int = 400) -> Rows:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4)).astype(np.float32)
    return Rows(x, (x[:, 0] > 0).astype(np.int64))


def weights(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    path = folder / f"{seed}.safetensors"
    write_safetensors(path, torch.nn.Linear(4, 3).state_dict())
    return path


@pytest.fixture(scope="session")
def connection(tracking: str, seaweed: S3Settings, tmp_path_factory: pytest.TempPathFactory) -> Context:
    s3 = seaweed.model_copy(update={"bucket": f"serving-{uuid.uuid4().hex}", "deadline_s": 20.0})
    store = ObjectStore.connect(s3)
    store.make_bucket()
    chosen = Settings(
        mlflow=MlflowSettings(tracking_uri=tracking),
        s3=s3,
        serve=QUICK,
        allowed_builders=("torch.nn",),
        work_dir=tmp_path_factory.mktemp("serving"),
    )
    return Context(Registry.connect(chosen, store), store, chosen)


@pytest.fixture(scope="session")
def registered(connection: Context, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    folder = tmp_path_factory.mktemp("weights")
    name = f"served-{uuid.uuid4().hex[:8]}"
    network = Architecture("torch.nn:Linear", {"in_features": 4, "out_features": 3})
    versions = tuple(
        register.run(connection, register.Registration(name, weights(folder, seed), network, reference(seed)))
        for seed in (1, 2)
    )
    connection.registry.promote(name, versions[0].version, None, INITIAL)
    return Deployed(connection, name, versions)


@pytest.fixture
def deployed(registered: Deployed) -> Deployed:
    """The first version is champion, and nothing has been observed yet."""
    registered.point("1")
    store = registered.ctx.store
    for key in [*store.list("windows/"), *store.list("predictions/")]:
        store.delete(key)
    return registered


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
            thread.join(30)
            assert not thread.is_alive()

        with httpx.Client(base_url=url, timeout=30) as client:
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
