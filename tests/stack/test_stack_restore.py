"""The restore drill: everything is lost, the backup is read back, and heritage goes on from there."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from heritage.local.airflow_rest import AirflowApi
from heritage.local.ports import LOOPBACK
from heritage.local.production import Production
from heritage.records import Origin, ParentEdge, Relation
from heritage.registry import Description, Registry
from tests.faults import invariants
from tests.faults.tiny import tiny_weights
from tests.stack.conftest import PROJECT, connect

MODEL, DAG, LIMIT_S = "restored", "heritage_ingest", 600.0


def postgres_script(production: Production, script: str, folder: Path) -> None:
    """A script of docker/postgres, as the superuser."""
    environment = {
        **production.environment("postgres"),
        "PGHOST": LOOPBACK,
        "PGPASSWORD": production.secret("postgres_password"),
    }
    command = ["/bin/sh", str(production.project / "docker/postgres" / script), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def back_up(production: Production, folder: Path) -> None:
    postgres_script(production, "backup.sh", folder)
    script = str(production.project / "docker/copy_buckets.py")
    production.run_job("storage-init", "python", script, "out", str(folder / "buckets"))


def lose_everything(production: Production) -> None:
    for name in reversed(list(production.running)):
        production.stop(name, grace_s=2.0)
    for folder in ("postgres/data", "redis", "seaweedfs"):
        shutil.rmtree(production.work_dir / folder)


def restore(production: Production, folder: Path) -> None:
    production.start_stores()
    script = str(production.project / "docker/copy_buckets.py")
    production.run_job("storage-init", "python", script, "in", str(folder / "buckets"))
    postgres_script(production, "restore.sh", folder)


@pytest.fixture
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    """The stack without Airflow's processes, whose database is there."""
    folder = Path(tempfile.mkdtemp(prefix="heritage-drill-"))
    stack = Production.prepared(folder, PROJECT)
    with pytest.MonkeyPatch.context() as patch:
        try:
            start(stack)
            patch.setenv("MLFLOW_TRACKING_USERNAME", "heritage")
            patch.setenv("MLFLOW_TRACKING_PASSWORD", stack.secret("mlflow_heritage_password"))
            yield stack
        finally:
            stack.down(hurry=True)
    shutil.rmtree(folder)


def start(stack: Production) -> None:
    stack.start_stores()
    start_tracking(stack)


def start_tracking(stack: Production) -> None:
    stack.run_job("airflow-init")
    stack.start("mlflow")
    stack.wait("mlflow")
    stack.run_job("mlflow-users")


def test_all_is_lost_and_comes_back(stores: Production, tmp_path: Path) -> None:
    registry = connect(stores).registry
    first = registry.register(MODEL, tiny_weights(tmp_path)).version
    registry.promote(MODEL, "1", None, "initial")
    edge = ParentEdge(first.digest, Relation.FINETUNE, Origin.DECLARED, 1.0, first.name, first.version)
    registry.register(MODEL, tiny_weights(tmp_path), Description(parents=(edge,)))
    before = state_of(registry, tmp_path / "before")
    began = time.monotonic()
    back_up(stores, tmp_path / "backup")
    saved = time.monotonic()
    late = tiny_weights(tmp_path)
    registry.accept(registry.register(MODEL, late).version, "p3")
    registry.promote(MODEL, "3", "1", "better", "p3")

    lose_everything(stores)
    lost = time.monotonic()
    restore(stores, tmp_path / "backup")
    start_tracking(stores)
    size = sum(file.stat().st_size for file in (tmp_path / "backup").rglob("*") if file.is_file())
    print(f"\nbackup of {size / 2**20:.1f} MiB: {saved - began:.1f} s; from nothing: {time.monotonic() - lost:.1f} s")

    registry = connect(stores).registry
    assert state_of(registry, tmp_path / "after") == before
    invariants.check_registry(registry, tmp_path / "check", [MODEL])
    # what came after the backup is gone and can be done again
    registry.accept(registry.register(MODEL, late).version, "p3")
    registry.promote(MODEL, "3", "1", "better", "p3")
    invariants.check_registry(registry, tmp_path / "check", [MODEL])


def test_airflow_goes_on_from_its_backup(production: Production, tmp_path: Path) -> None:
    run = client_of(production).start(DAG)
    assert client_of(production).wait(DAG, run, LIMIT_S) == "success"
    back_up(production, tmp_path / "backup")

    lose_everything(production)
    restore(production, tmp_path / "backup")
    production.start_services()

    after = client_of(production)
    assert run in {found["dag_run_id"] for found in after.runs(DAG)}
    assert after.wait(DAG, after.start(DAG), LIMIT_S) == "success"


def client_of(production: Production) -> AirflowApi:
    return AirflowApi(production.url("airflow-api-server"), "admin", production.passwords()["admin"])


def state_of(registry: Registry, folder: Path) -> dict[str, object]:
    """All that must come back: versions, aliases, files, lineage and the journal of the model."""
    versions = sorted(registry.versions(name=MODEL), key=lambda v: v.version)
    return {
        "versions": versions,
        "aliases": registry.aliases(MODEL),
        "files": invariants.fingerprints(registry, folder, versions),
        "manifests": [registry.manifest(v) for v in versions],
        "journal": registry.history(MODEL),
    }
