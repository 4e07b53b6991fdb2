"""Records go away behind heritage's back: versions, files, and a database that was restored from an older day."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from heritage.errors import HeritageError, NotFound
from heritage.lineage.audit import audit
from heritage.lineage.findings import Kind
from heritage.records import Origin, ParentEdge, Relation
from heritage.registry import Description, Registry
from heritage.storage import ObjectStore
from tests.faults import invariants
from tests.faults.tiny import client, copy_tables, three_versions, tiny_weights

pytestmark = pytest.mark.services


def test_a_database_older_than_the_storage_is_told_and_caught_up(
    tables: Path, store: ObjectStore, name: str, tmp_path: Path
) -> None:
    uri = copy_tables(tables, tmp_path / "live")
    registry, third = Registry(uri, store), tiny_weights(tmp_path)
    registry.register(name, tiny_weights(tmp_path))
    registry.promote(name, "1", None, "initial")
    backup = shutil.copy(tmp_path / "live/mlflow.db", tmp_path / "backup.db")
    lost = registry.register(name, third).version
    registry.accept(lost, "p2")
    registry.promote(name, "2", "1", "better", "p2")

    restored = tmp_path / "restored"
    restored.mkdir()
    shutil.copy(backup, restored / "mlflow.db")
    registry = Registry(f"sqlite:///{restored / 'mlflow.db'}", store)

    # the journal remembers what the database forgot
    assert any("the journal says 2, it points at 1" in finding for finding in registry.promotion_findings(name))
    with pytest.raises(NotFound):
        registry.version(f"{name}/2")
    again = registry.register(name, third)
    assert again.created
    assert again.version.digest == lost.digest
    registry.accept(again.version, "p2")
    registry.promote(name, "2", "1", "again after the restore", "p2")
    invariants.check_registry(registry, tmp_path / "check", [name])


def test_a_version_that_goes_while_others_are_made(
    registry: Registry, embedded: str, name: str, tmp_path: Path
) -> None:
    three_versions(registry, tmp_path, name)
    client(embedded).delete_model_version(name, "2")

    with pytest.raises(HeritageError):
        registry.promote(name, "2", "1", "better", "p2")
    registry.promote(name, "3", "1", "better", "p3")

    invariants.check_registry(registry, tmp_path / "check", [name])


def test_a_parent_that_was_deleted_is_told_and_its_child_stays(
    registry: Registry, embedded: str, name: str, tmp_path: Path
) -> None:
    parent = registry.register(f"{name}-parent", tiny_weights(tmp_path)).version
    edge = ParentEdge(parent.digest, Relation.FINETUNE, Origin.DECLARED, 1.0, parent.name, parent.version)
    registry.register(name, tiny_weights(tmp_path), Description(parents=(edge,)))
    client(embedded).delete_registered_model(f"{name}-parent")

    invariants.check_registry(registry, tmp_path / "check", [name])
    told = [finding.detail for finding in audit(registry.entries(), datetime.now(UTC)) if finding.kind == Kind.ORPHAN]
    assert len(told) == 1


def test_files_that_are_gone_are_told_version_by_version(
    registry: Registry, tables: Path, name: str, tmp_path: Path
) -> None:
    gone = registry.register(name, tiny_weights(tmp_path)).version
    kept = registry.register(name, tiny_weights(tmp_path)).version
    shutil.rmtree(tables.parent / "files" / gone.run_id)

    problems = {entry.version.version: entry.problem for entry in registry.entries(registry.versions(name=name))}

    assert "heritage/manifest.json" in problems[gone.version]
    assert problems[kept.version] == ""
    with pytest.raises(NotFound):
        registry.fetch_weights(gone, tmp_path / "weights")
