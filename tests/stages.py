"""The demo's family registered on servers of its own, for each module that asks for it: the fixture `stage`."""

import dataclasses
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from heritage.demo import stage as demo
from heritage.demo.family import CHAMPION
from heritage.flows.context import Context
from heritage.local import processes
from heritage.local import tracking as tracking_server
from heritage.local.environment import client_environment
from heritage.records import ModelVersion
from heritage.registry import Registry
from heritage.settings import MlflowSettings, RepairSettings, S3Settings, Settings
from heritage.storage import ObjectStore

SEED = 0


@dataclasses.dataclass(frozen=True)
class Stage:
    """The demo's family, registered, and one calm and two drifted windows of its champion."""

    ctx: Context
    family: dict[str, ModelVersion]
    folder: Path

    def environment(self) -> dict[str, str]:
        """The variables with which another process works on this stage."""
        s3, uri = self.ctx.settings.s3, self.ctx.settings.mlflow.tracking_uri
        return {
            **client_environment(s3, uri),
            "HERITAGE_WORK_DIR": str(self.ctx.settings.work_dir),
            "HERITAGE_REPAIR__RUNGS": self.ctx.settings.repair.rungs,
        }

    @property
    def champion(self) -> ModelVersion:
        """The deployed version as it was registered."""
        return self.family[CHAMPION]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("family")
    demo.members(SEED, folder, lambda _: None)
    return folder


@pytest.fixture(scope="module")
def own_tracking(seaweed: S3Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = tracking_server.start(tmp_path_factory.mktemp("mlflow-flows"), seaweed)
    yield server.uri
    processes.stop(server.process, grace_s=3.0)


@pytest.fixture(scope="module")
def stage(trained: Path, own_tracking: str, seaweed: S3Settings, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    store = ObjectStore.connect(seaweed.model_copy(update={"bucket": f"flows-{uuid.uuid4().hex}"}))
    store.make_bucket()
    settings = Settings(
        mlflow=MlflowSettings(tracking_uri=own_tracking),
        s3=seaweed.model_copy(update={"bucket": store.bucket}),
        repair=RepairSettings(rungs="none,rollback,one,hull"),  # fine-tuning takes seconds and has tests of its own
        work_dir=tmp_path_factory.mktemp("work"),
    )
    ctx = Context(Registry.connect(settings, store), store, settings)
    family = demo.register_family(ctx, SEED, trained, lambda _: None)
    demo.stream(ctx, family[CHAMPION], SEED)
    return Stage(ctx, family, trained)
