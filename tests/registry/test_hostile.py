"""What people with write access put straight into MLflow: shown as text, never fetched, never a path.

MLflow runs embedded on SQLite here: without the server's own checks it takes every name and source.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest

from heritage.errors import BadInput, Conflict, NotFound, UnsafeName
from heritage.names import printable
from heritage.records import ModelVersion
from heritage.registry import Registry
from heritage.storage import ObjectStore

NAMES = [
    "<img src=x onerror=alert(1)>",
    "%2e%2e%2f",
    "line\n",
    "bidi‮gpj",
    "ｆｕｌｌ",
    "x" * 500,
    "🦆",
    "quote' OR name LIKE '%",
    "nul",
    "Twin",
    "twin",
]
SOURCES = [
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data",
    "s3://evil/b",
    "../../etc",
    "mlflow-artifacts://evil.example/x",
    "runs:/0123/../../etc",
]


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without entries; making one takes seconds, copying it none."""
    path = tmp_path_factory.mktemp("embedded") / "mlflow.db"
    _raw(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def embedded(tmp_path: Path, tables: Path) -> str:
    shutil.copy(tables, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def test_hostile_entries_are_listed_and_never_read(embedded: str, store: ObjectStore, tmp_path: Path) -> None:
    registry, raw = Registry(embedded, store), _raw(embedded)
    experiment = raw.create_experiment("heritage", artifact_location=str(tmp_path / "artifacts"))
    tags = {"heritage.digest": "ab" * 32, "heritage.parent.abc": "<script>", "heritage.family": "‮"}
    for name in NAMES:
        raw.create_registered_model(name)
        raw.create_model_version(name, "s3://evil/b", None, tags=tags)
        raw.set_registered_model_alias(name, "champion", "1")
    raw.create_registered_model("plain")
    for source in SOURCES:
        run = raw.create_run(experiment)
        raw.create_model_version("plain", source, run.info.run_id, tags=tags)

    versions = list(registry.versions())

    assert {v.name for v in versions} == {*NAMES, "plain"}
    assert all(v.aliases == ("champion",) for v in versions if v.name != "plain")
    assert set(registry.models()) == {*NAMES, "plain"}
    entries = list(registry.entries())
    assert [e.manifest for e in entries] == [None] * len(versions)
    assert all(e.problem == printable(e.problem, 1000) for e in entries)
    assert len(registry.graph()) == 0
    for version in versions:
        _assert_not_fetched(registry, version, tmp_path)
    for name in NAMES[:-2]:
        with pytest.raises(UnsafeName):
            registry.version(name)


def _assert_not_fetched(registry: Registry, version: ModelVersion, tmp_path: Path) -> None:
    for fetch in (registry.fetch_weights, registry.fetch_unverified):
        with pytest.raises((BadInput, Conflict, NotFound)):
            fetch(version, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("location", ["{tmp}/secret", "mlflow-artifacts://evil.example/x", "s3://evil/b"])
def test_files_of_a_run_that_lie_elsewhere_are_not_read(
    location: str, embedded: str, store: ObjectStore, tmp_path: Path
) -> None:
    registry, raw = Registry(embedded, store), _raw(embedded)
    evil = raw.create_experiment("evil", artifact_location=location.format(tmp=tmp_path))
    run = raw.create_run(evil)
    raw.create_registered_model("m")
    tags = {"heritage.digest": "ab" * 32}
    raw.create_model_version("m", f"runs:/{run.info.run_id}/weights", run.info.run_id, tags=tags)

    with pytest.raises(UnsafeName, match=r"which heritage does not read|names another host"):
        registry.manifest(registry.version("m"))


def test_an_embedded_registry_works_like_a_server(
    embedded: str, store: ObjectStore, weights: Any, tmp_path: Path
) -> None:
    registry, raw = Registry(embedded, store), _raw(embedded)
    raw.create_experiment("heritage", artifact_location=str(tmp_path / "artifacts"))
    path = weights()

    version = registry.register("digits", path, extras={"heritage/profile.npz": b"p"}).version

    assert not registry.register("digits", path).created
    assert (registry.fetch_weights(version, tmp_path / "cache") / "model.safetensors").exists()
    assert registry.artifact(version, "heritage/profile.npz") == b"p"
    assert registry.promote("digits", "1", None, "initial").version == "1"


def _raw(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)
