"""The restore drill: everything is lost, the backup is read back, and heritage goes on from there."""

import shutil
import subprocess
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
from tests.stack.conftest import connect

MODEL, DAG = "restored", "heritage_ingest"


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
    production.start_services()


@pytest.fixture
def named(production: Production) -> Iterator[AirflowApi]:
    """Airflow as it is after the restore: a new server, the old users."""
    api = AirflowApi(production.url("airflow-api-server"), "admin", production.passwords()["admin"])
    yield api
    api.close()


def test_all_is_lost_and_comes_back(production: Production, named: AirflowApi, tmp_path: Path) -> None:
    registry = connect(production).registry
    first = registry.register(MODEL, tiny_weights(tmp_path)).version
    registry.promote(MODEL, "1", None, "initial")
    edge = ParentEdge(first.digest, Relation.FINETUNE, Origin.DECLARED, 1.0, first.name, first.version)
    registry.register(MODEL, tiny_weights(tmp_path), Description(parents=(edge,)))
    assert named.wait(DAG, run := named.start(DAG), 300.0) == "success"
    before = state_of(registry, tmp_path / "before")
    began = time.monotonic()
    back_up(production, tmp_path / "backup")
    saved = time.monotonic()
    late = tiny_weights(tmp_path)
    registry.accept(registry.register(MODEL, late).version, "p3")
    registry.promote(MODEL, "3", "1", "better", "p3")

    lose_everything(production)
    lost = time.monotonic()
    restore(production, tmp_path / "backup")
    size = sum(file.stat().st_size for file in (tmp_path / "backup").rglob("*") if file.is_file())
    print(
        f"\nbackup of {size / 2**20:.1f} MiB: {saved - began:.1f} s; from nothing to healthy again: "
        f"{time.monotonic() - lost:.1f} s"
    )

    ctx = connect(production)
    assert state_of(ctx.registry, tmp_path / "after") == before
    invariants.check_registry(ctx.registry, tmp_path / "check", [MODEL])
    # what came after the backup is gone and can be done again
    ctx.registry.accept(ctx.registry.register(MODEL, late).version, "p3")
    ctx.registry.promote(MODEL, "3", "1", "better", "p3")
    invariants.check_registry(ctx.registry, tmp_path / "check", [MODEL])
    assert run in {found["dag_run_id"] for found in named.runs(DAG)}
    assert named.wait(DAG, named.start(DAG), 300.0) == "success"


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
