"""Small registered models on the session's servers: `deployed`, and contests of a champion and others (`held`)."""

import dataclasses
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch

from heritage.flows import register, validate, windows
from heritage.flows.context import Context
from heritage.records import Architecture, ModelVersion
from heritage.registry import INITIAL, Registry
from heritage.rows import Rows
from heritage.settings import MlflowSettings, S3Settings, ServeSettings, Settings
from heritage.storage import ObjectStore
from heritage.weights.write import write_safetensors

LINEAR = Architecture("torch.nn:Linear", {"in_features": 4, "out_features": 3})
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


@dataclasses.dataclass(frozen=True)
class Contest:
    """A champion and other versions; what comes in now is what the second one knows."""

    ctx: Context
    name: str
    versions: tuple[ModelVersion, ...]

    @property
    def champion(self) -> str:
        """The version that the alias names."""
        return self.ctx.registry.version(f"{self.name}@champion").version

    def accepted(self) -> dict[str, str]:
        """What a promotion of the second version needs, once the gate has accepted it."""
        found = validate.run(self.ctx, self.versions[1].address)
        assert found["decision"] == "accept", found["reason"]
        return {name: found[name] for name in ("address", "plan", "run")}


def held(connection: Context, folder: Path, versions: int = 2) -> Contest:
    """Register a model of so many versions, the first of them champion, with labelled rows of a window."""
    name = f"contest-{uuid.uuid4().hex[:8]}"
    members = tuple(
        register.run(connection, register.Registration(name, weights(folder, seed), LINEAR, reference(1)))
        for seed in range(1, versions + 1)
    )
    connection.registry.promote(name, members[0].version, None, INITIAL)
    windows.keep_rows(connection, members[0], "w1", reference(2, 600))
    lenient = connection.settings.repair.model_copy(update={"original_margin": 1.0})
    settings = connection.settings.model_copy(update={"repair": lenient})
    return Contest(dataclasses.replace(connection, settings=settings), name, members)


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
    versions = tuple(
        register.run(connection, register.Registration(name, weights(folder, seed), LINEAR, reference(seed)))
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
