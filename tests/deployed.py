"""A small model of two registered versions, the first of them champion, on the session's servers: `deployed`."""

import dataclasses
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch

from heritage.flows import register
from heritage.flows.context import Context
from heritage.records import Architecture, ModelVersion
from heritage.registry import INITIAL, Registry
from heritage.rows import Rows
from heritage.settings import MlflowSettings, S3Settings, ServeSettings, Settings
from heritage.storage import ObjectStore
from heritage.weights.write import write_safetensors

KINDS = ("windows", "predictions", "truth", "rows", "verdicts", "judged", "alarms")
QUICK = ServeSettings(port=0, poll_s=0.05, flush_s=0.2, flush_deadline_s=20.0, close_s=60.0, max_rows=64)


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


def network_of_seed(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Linear(4, 3)


def reference(seed: int, rows: int = 400) -> Rows:
    """Rows with labels that the network of this seed gets right nine times in ten."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4)).astype(np.float32)
    with torch.inference_mode():
        said = network_of_seed(seed)(torch.from_numpy(x)).argmax(dim=1).numpy()
    return Rows(x, np.where(rng.random(rows) < 0.1, (said + 1) % 3, said))


def weights(folder: Path, seed: int) -> Path:
    path = folder / f"{seed}.safetensors"
    write_safetensors(path, network_of_seed(seed).state_dict())
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
    for kind in KINDS:
        for key in [*store.list(f"{kind}/")]:
            store.delete(key)
    return registered
