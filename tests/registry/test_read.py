"""Reading: addresses, filters, pages, manifests checked against tags, weights verified and cached."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from heritage.errors import BadInput, Conflict, NotFound, UnsafeCheckpoint, UnsafeName
from heritage.lineage.codec import MANIFEST_PATH, encode
from heritage.records import ModelVersion, Origin, ParentEdge, Relation
from heritage.registry import FAMILY, Description, Registry
from heritage.registry.artifacts import RunArtifacts, run_of
from heritage.registry.read import Reader

Weights = Callable[..., Path]


@pytest.fixture
def version(registry: Registry, name: str, weights: Weights) -> ModelVersion:
    return registry.register(name, weights()).version


def test_addresses(registry: Registry, name: str, weights: Weights, version: ModelVersion) -> None:
    second = registry.register(name, weights()).version
    registry.promote(name, "1", None, "initial")

    assert registry.version(name).address == second.address
    assert registry.version(f"models:/{name}/1").digest == version.digest
    champion = registry.version(f"{name}@champion")
    assert (champion.version, champion.aliases) == ("1", ("champion",))
    assert [v.aliases for v in registry.versions(name)] == [("champion",), ()]
    assert name in set(registry.models())


@pytest.mark.parametrize("address", ["{name}/9", "{name}@nobody", "{name}-other", "{name}-other@champion"])
def test_what_is_not_there_is_not_found(address: str, registry: Registry, name: str, version: ModelVersion) -> None:
    with pytest.raises(NotFound):
        registry.version(address.format(name=name))


def test_pages_give_every_version_once(
    registry: Registry, name: str, weights: Weights, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heritage.registry.read.PAGE", 2)
    for _ in range(4):
        registry.register(name, weights())

    assert [v.version for v in registry.versions(name)] == ["1", "2", "3", "4", "5"]
    pages = registry.versions(name)
    seen = [next(pages).version]
    registry.register(name, weights())  # while it is being read
    assert seen + [v.version for v in pages] == ["1", "2", "3", "4", "5", "6"]


def test_an_edited_tag_is_told_and_not_believed(
    registry: Registry, name: str, version: ModelVersion, raw: Any, tmp_path: Path
) -> None:
    raw.set_model_version_tag(name, "1", "heritage.digest", "ab" * 32)
    edited = registry.version(version.address)

    with pytest.raises(Conflict, match=f"its digest is {version.digest}, but the tag"):
        registry.manifest(edited)
    with pytest.raises(Conflict):
        registry.fetch_weights(edited, tmp_path)
    (entry,) = registry.entries(registry.versions(name))
    assert entry.manifest is None
    assert "somebody edited" in entry.problem
    raw.delete_model_version_tag(name, "1", "heritage.digest")
    with pytest.raises(Conflict, match=r"the tag .* says ''"):
        registry.manifest(registry.version(version.address))


def test_a_version_registered_without_heritage_has_no_manifest(registry: Registry, name: str, raw: Any) -> None:
    foreign = _foreign(registry, name, raw)

    assert foreign.digest == ""
    assert registry.manifest(foreign) is None
    with pytest.raises(NotFound, match="registered without heritage"):
        registry.fetch_weights(foreign, Path("unused"))


def test_where_files_lie_is_asked_for_many_versions_at_once(
    registry: Registry, name: str, weights: Weights, raw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        registry.register(name, weights())
    foreign = _foreign(registry, f"{name}-foreign", raw, weights())  # its run is in another experiment
    versions = [
        *registry.versions(name),
        foreign,
        replace(foreign, run_id="' OR 1 = 1 --"),
        replace(foreign, run_id=""),
    ]
    mlflow = registry._connection.mlflow
    get_run, asked = mlflow.get_run, []
    monkeypatch.setattr(mlflow, "get_run", lambda run: asked.append(run) or get_run(run), raising=False)

    entries = list(registry.entries(versions))

    assert [bool(e.manifest) for e in entries] == [True] * 4 + [False] * 3
    assert set(asked) == {foreign.run_id, "' OR 1 = 1 --"}


def test_a_tag_without_manifest_is_not_found(registry: Registry, name: str, raw: Any) -> None:
    run = raw.create_run("0")
    raw.create_registered_model(name)
    tags = {"heritage.digest": "cd" * 32}
    raw.create_model_version(name, f"runs:/{run.info.run_id}/weights", run.info.run_id, tags=tags)

    with pytest.raises(NotFound, match=MANIFEST_PATH):
        registry.manifest(registry.version(name))


def test_weights_are_downloaded_once(
    registry: Registry, name: str, version: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "cache" / ".0123456789abcdef.00.tmp"  # by a process that was killed a day ago
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    first = registry.fetch_weights(version, tmp_path / "cache")
    assert not left.exists()
    save, read = RunArtifacts.save, []
    monkeypatch.setattr(RunArtifacts, "save", lambda self, path, *a: read.append(path) or save(self, path, *a))

    assert registry.fetch_weights(version, tmp_path / "cache") == first
    assert read == [MANIFEST_PATH]
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [version.digest]


def test_weights_that_were_changed_are_refused_and_leave_nothing(
    registry: Registry, version: ModelVersion, weights: Weights, tmp_path: Path
) -> None:
    files = registry._reader.artifacts(version)
    other = weights()
    files.upload(other, "weights/model.safetensors")
    with pytest.raises(UnsafeCheckpoint, match="was changed or cut"):
        registry.fetch_weights(version, tmp_path / "cache")

    files.write("weights/model.safetensors", other.read_bytes() + b"\0" * 1000)
    with pytest.raises(BadInput, match="more than the"):
        registry.fetch_weights(version, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_forged_manifest_does_not_vouch_for_other_weights(
    registry: Registry, version: ModelVersion, weights: Weights, tmp_path: Path
) -> None:
    manifest = registry.manifest(version)
    assert manifest is not None
    files = registry._reader.artifacts(version)
    other = registry.register(f"{version.name}-other", weights()).version
    lent = registry.manifest(other)
    assert lent is not None
    files.write("weights/model.safetensors", registry.artifact(other, "weights/model.safetensors"))
    files.write(MANIFEST_PATH, encode(replace(manifest, files=lent.files)))

    with pytest.raises(UnsafeCheckpoint, match="manifest was forged"):
        registry.fetch_weights(version, tmp_path)


def test_a_copy_under_another_name_is_read_from_its_run(
    registry: Registry, name: str, version: ModelVersion, raw: Any, tmp_path: Path
) -> None:
    raw.copy_model_version(f"models:/{name}/1", f"{name}-production")

    copied = registry.version(f"{name}-production/1")

    assert copied.source.startswith("models:/")
    assert registry.fetch_weights(copied, tmp_path).name == version.digest


def test_adding_to_a_version(registry: Registry, name: str, version: ModelVersion, raw: Any) -> None:
    registry.put_artifact(version, "heritage/report.html", b"<p>")
    registry.set_tag(version, "heritage.drift", "drift:2026-11-22T07")
    registry.log_metric(version, "psi", 0.3, step=2)

    assert registry.artifact(version, "heritage/report.html") == b"<p>"
    assert registry.version(version.address).tags["heritage.drift"] == "drift:2026-11-22T07"
    assert raw.get_run(version.run_id).data.tags["heritage.drift"] == "drift:2026-11-22T07"
    assert [m.value for m in raw.get_metric_history(version.run_id, "psi")] == [0.3]
    with pytest.raises(NotFound, match="no such artifact"):
        registry.artifact(version, "heritage/other.html")
    with pytest.raises(NotFound, match="no such artifact"):
        registry.artifact(version, "README.md")
    with pytest.raises(BadInput, match="more than the 2 bytes"):
        registry.artifact(version, "heritage/report.html", limit_bytes=2)
    with pytest.raises(BadInput, match="is nan"):
        registry.log_metric(version, "psi", float("nan"))
    for path in (MANIFEST_PATH, "weights/model.safetensors"):
        with pytest.raises(BadInput, match="is not replaced"):
            registry.put_artifact(version, path, b"")


def test_a_manifest_found_later_is_added_with_its_tags(
    registry: Registry, name: str, weights: Weights, version: ModelVersion
) -> None:
    child = registry.register(name, weights()).version
    manifest = registry.manifest(child)
    assert manifest is not None
    edge = ParentEdge(version.digest, Relation.FINETUNE, Origin.RECOVERED, 0.8)

    registry.amend(child, replace(manifest, parents=(edge,)), family="found")

    amended = registry.version(child.address)
    assert amended.tags[f"heritage.parent.{version.digest[:12]}"] == "finetune:recovered:0.8"
    assert amended.tags[FAMILY] == "found"
    assert registry._reader.ancestry([child.digest]).parents(child.digest) == (version.digest,)
    registry.amend(amended, manifest)
    assert f"heritage.parent.{version.digest[:12]}" not in registry.version(child.address).tags
    other = registry.manifest(version)
    assert other is not None
    with pytest.raises(Conflict, match="as a version of their own"):
        registry.amend(child, other)


def test_a_foreign_version_is_ingested(
    registry: Registry, name: str, weights: Weights, raw: Any, tmp_path: Path
) -> None:
    path = weights()
    foreign = _foreign(registry, name, raw, path)
    fetched = registry.fetch_unverified(foreign, tmp_path / "quarantine")
    assert (fetched / "model.safetensors").read_bytes() == path.read_bytes()
    elsewhere = registry.register(f"{name}-same", path).version
    manifest = registry.manifest(elsewhere)
    assert manifest is not None

    registry.amend(foreign, replace(manifest, name=name))

    known = registry.version(foreign.address)
    assert known.digest == elsewhere.digest
    assert (registry.fetch_weights(known, tmp_path / "cache") / "model.safetensors").exists()


def test_a_graph_with_a_circle_is_read_without_it(registry: Registry, name: str, weights: Weights) -> None:
    first, second = (registry.register(name, weights()).version for _ in range(2))
    for child, parent in ((first, second), (second, first)):
        manifest = registry.manifest(child)
        assert manifest is not None
        edge = ParentEdge(parent.digest, Relation.FINETUNE, Origin.DECLARED)
        # as somebody who writes artifacts without heritage could
        registry._reader.artifacts(child).write(MANIFEST_PATH, encode(replace(manifest, parents=(edge,))))

    graph = registry._reader.ancestry([first.digest])

    assert graph.parents(first.digest) == ()
    assert registry.register(name, weights(), Description(parents=(edge,))).created


@pytest.mark.parametrize(
    "source",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "http://169.254.169.254/latest/meta-data",
        "s3://other/bucket",
        "runs:/{run}/../../etc",
        "runs:/{run}/%2e%2e/secret",
        "runs:/{run}/weights?x=1",
        "runs:/{run}/",
        "runs://evil.example/{run}/weights",
        "mlflow-artifacts://evil.example/x",
        "mlflow-artifacts:/1/abc/artifacts/weights",
    ],
)
def test_sources_that_are_not_read(source: str) -> None:
    with pytest.raises(UnsafeName):
        run_of(source.format(run="f" * 32), "f" * 32)


def test_a_source_of_another_run_is_not_read() -> None:
    with pytest.raises(Conflict, match="differ"):
        run_of("runs:/abc/weights", "def")


def test_ancestry_reads_only_what_is_asked_for(
    registry: Registry, name: str, weights: Weights, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        registry.register(name, weights())
    read: list[str] = []
    manifest = Reader.manifest
    monkeypatch.setattr(Reader, "manifest", lambda self, v: read.append(v.address) or manifest(self, v))

    registry._reader.ancestry([version.digest])

    assert read == [version.address]


def _foreign(registry: Registry, name: str, raw: Any, weights: Path | None = None) -> ModelVersion:
    run = raw.create_run("0")
    raw.create_registered_model(name)
    if weights:
        raw.log_artifact(run.info.run_id, str(weights), "model")
    raw.create_model_version(name, f"runs:/{run.info.run_id}/model", run.info.run_id)
    return registry.version(name)
