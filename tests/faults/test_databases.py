"""Under the registry: a database that another process locks, or of another release; a model that got another name."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from heritage.errors import HeritageError, Misconfigured, NotFound
from heritage.flows import audit, copies
from heritage.flows.context import Context
from heritage.registry import Registry
from heritage.settings import AuditSettings, MlflowSettings, S3Settings, Settings
from heritage.storage import ObjectStore
from tests.faults import invariants
from tests.faults.tiny import client, tiny_weights

pytestmark = pytest.mark.services


def file_of(address: str) -> Path:
    return Path(urlsplit(address).path[1:])


def test_a_locked_sqlite_is_waited_for(registry: Registry, embedded: str, name: str, tmp_path: Path) -> None:
    registry.register(name, tiny_weights(tmp_path))
    with closing(sqlite3.connect(file_of(embedded), isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        freed = threading.Timer(1.0, other.execute, ["ROLLBACK"])
        freed.start()

        assert registry.version(f"{name}/1").version == "1"

        freed.join()
    registry.register(name, tiny_weights(tmp_path))
    invariants.check_registry(registry, tmp_path / "check", [name])


def test_a_database_of_another_release_is_named_and_not_touched(
    registry: Registry, embedded: str, store: ObjectStore, name: str, tmp_path: Path
) -> None:
    registry.register(name, tiny_weights(tmp_path))
    with closing(sqlite3.connect(file_of(embedded))) as own, own:
        (newest,) = own.execute("SELECT version_num FROM alembic_version").fetchone()
        own.execute("UPDATE alembic_version SET version_num = '90e64c465722'")  # a release of years ago

    # another address of the same file, since MLflow keeps what it has open
    with pytest.raises(Misconfigured, match="mlflow db upgrade"):
        Registry(f"sqlite:////{file_of(embedded)}", store)

    with closing(sqlite3.connect(file_of(embedded))) as own, own:
        assert own.execute("SELECT version_num FROM alembic_version").fetchone() == ("90e64c465722",)
        own.execute("UPDATE alembic_version SET version_num = ?", (newest,))
    assert registry.version(f"{name}/1").version == "1"


def test_a_model_that_is_renamed_is_told_and_nothing_breaks(
    embedded: str, store: ObjectStore, seaweed: S3Settings, name: str, tmp_path: Path
) -> None:
    settings = Settings(
        mlflow=MlflowSettings(tracking_uri=embedded),
        s3=seaweed.model_copy(update={"bucket": store.bucket}),
        audit=AuditSettings(retention_days=1),
        work_dir=tmp_path / "work",
    )
    ctx = Context(Registry.connect(settings, store), store, settings)
    version = ctx.registry.register(name, tiny_weights(tmp_path)).version
    ctx.registry.promote(name, "1", None, "initial")
    copies.keep(ctx, version)
    client(embedded).rename_registered_model(name, f"{name}-renamed")

    found = {(f["subject"], f["kind"]) for f in audit.findings(ctx)}

    assert (f"{name}/1", "version_deleted") in found
    assert (f"{name}-renamed/1", "not_locked") in found
    with pytest.raises(NotFound):
        ctx.registry.version(f"{name}@champion")
    with pytest.raises(HeritageError):
        ctx.registry.rollback(name, "it is gone")
    moved = ctx.registry.version(f"{name}-renamed/1")
    assert (moved.digest, moved.aliases) == (version.digest, ("champion",))
    assert ctx.registry.fetch_weights(moved, tmp_path / "weights").is_dir()
