"""The demo's family registered on servers of its own, for each module that asks for it: the fixture `stage`.

The family is trained once, and registered once a process; modules work on copies of the server's database and bucket.
"""

import dataclasses
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

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
def trained(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The family's weights; the first of several test processes makes them for all."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if hasattr(request.config, "workerinput") else own) / "family"
    with FileLock(f"{folder}.lock"):
        demo.members(SEED, folder, lambda _: None)
    return folder


@pytest.fixture(scope="session")
def registered(
    trained: Path, seaweed: S3Settings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ObjectStore, Path, dict[str, ModelVersion]]:
    """The bucket and the folder of a server on which the family was registered; it does not run any more."""
    folder, store = tmp_path_factory.mktemp("registered"), _bucket(seaweed)
    server = tracking_server.start(folder, _in_bucket(seaweed, store))
    try:
        ctx = _context(server.uri, store, seaweed, tmp_path_factory.mktemp("work"))
        family = demo.register_family(ctx, SEED, trained, lambda _: None)
        demo.stream(ctx, family[CHAMPION], SEED)
    finally:
        processes.stop(server.process, grace_s=3.0)
    return store, folder, family


@pytest.fixture(scope="module")
def stage(
    trained: Path,
    registered: tuple[ObjectStore, Path, dict[str, ModelVersion]],
    seaweed: S3Settings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    original, database, family = registered
    folder, store = tmp_path_factory.mktemp("stage"), _bucket(seaweed)
    for key in original.list():
        store.put(key, original.get(key))
    for file in database.glob("mlflow.db*"):
        shutil.copy(file, folder)
    server = tracking_server.start(folder, _in_bucket(seaweed, store))
    yield Stage(_context(server.uri, store, seaweed, tmp_path_factory.mktemp("work")), family, trained)
    processes.stop(server.process, grace_s=3.0)


def _bucket(seaweed: S3Settings) -> ObjectStore:
    store = ObjectStore.connect(seaweed.model_copy(update={"bucket": f"flows-{uuid.uuid4().hex}"}))
    store.make_bucket()
    return store


def _in_bucket(seaweed: S3Settings, store: ObjectStore) -> S3Settings:
    return seaweed.model_copy(update={"bucket": store.bucket})


def _context(uri: str, store: ObjectStore, seaweed: S3Settings, work_dir: Path) -> Context:
    settings = Settings(
        mlflow=MlflowSettings(tracking_uri=uri),
        s3=_in_bucket(seaweed, store),
        repair=RepairSettings(rungs="none,rollback,one,hull"),  # fine-tuning takes seconds and has tests of its own
        work_dir=work_dir,
    )
    return Context(Registry.connect(settings, store), store, settings)
