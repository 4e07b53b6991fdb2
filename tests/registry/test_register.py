"""Registration: once by content, with everything that belongs to a version."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heritage.errors import BadInput, LineageCycle, UnsafeCheckpoint, UnsafeName
from heritage.records import Architecture, Origin, ParentEdge, Relation
from heritage.registry import DUPLICATE_OF, FAMILY, Description, Registry
from heritage.registry.register import STEPS
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.write import write_safetensors

Weights = Callable[..., Path]


def test_a_version_has_manifest_tags_weights_and_extras(
    registry: Registry, name: str, weights: Weights, tmp_path: Path
) -> None:
    path, profile = weights(), tmp_path / "some profile.npz"
    profile.write_bytes(b"profile")
    described = Description(
        architecture=Architecture("heritage.demo.network:build", {"width": 8}),
        metrics={"accuracy": 0.9},
        family="digits",
        tags={"heritage.repair": "abc"},
    )
    steps: list[str] = []

    done = registry.register(
        name, path, described, {"heritage/profile.npz": profile, "heritage/reference.npz": b"rows"}, steps.append
    )

    assert done.created
    version = registry.version(f"{name}/1")
    assert version == done.version
    with Checkpoint.open(path) as checkpoint:
        assert version.digest == checkpoint.digest
    assert version.tags == {"heritage.digest": version.digest, FAMILY: "digits", "heritage.repair": "abc"}
    manifest = registry.manifest(version)
    assert manifest is not None
    assert (manifest.name, manifest.digest, manifest.dtype, manifest.parameters) == (name, version.digest, "F32", 15)
    assert manifest.files[0].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert manifest.architecture == described.architecture
    assert registry.artifact(version, "heritage/profile.npz") == b"profile"
    assert registry.artifact(version, "heritage/reference.npz") == b"rows"
    fetched = registry.fetch_weights(version, tmp_path / "cache")
    assert (fetched / "model.safetensors").read_bytes() == path.read_bytes()
    assert steps == list(STEPS)


def test_the_same_content_again_is_the_same_version(registry: Registry, name: str, weights: Weights) -> None:
    first = registry.register(name, weights(1, {"note": name}))

    again = registry.register(name, weights(1, {"note": "other bytes, same tensors"}))

    assert (again.version, again.created) == (first.version, False)
    assert len(list(registry.versions(name))) == 1


def test_shards_are_registered_with_their_index(registry: Registry, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "sharded"
    folder.mkdir()
    rng = np.random.default_rng(int(name[2:], 16))
    weight_map = {}
    for i in range(2):
        file = f"model-{i}.safetensors"
        write_safetensors(folder / file, {f"t{i}": rng.normal(size=5).astype(np.float32)})
        weight_map[f"t{i}"] = file
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    version = registry.register(name, folder).version

    with Checkpoint.open(registry.fetch_weights(version, tmp_path / "cache")) as fetched:
        assert fetched.digest == version.digest
        assert len(fetched.files) == 2


def test_the_same_content_under_another_name_is_a_marked_version_of_its_own(
    registry: Registry, name: str, weights: Weights
) -> None:
    path = weights()
    first = registry.register(name, path).version

    other = registry.register(f"{name}-copy", path)

    assert other.created
    assert other.version.tags[DUPLICATE_OF] == first.address
    assert DUPLICATE_OF not in registry.version(first.address).tags


def test_a_forged_tag_does_not_make_the_real_version_a_duplicate(
    registry: Registry, name: str, weights: Weights, raw: Any
) -> None:
    path = weights()
    with Checkpoint.open(path) as checkpoint:
        digest = checkpoint.digest
    raw.create_registered_model(f"{name}-forged")
    run = raw.create_run("0")
    forged = {"heritage.digest": digest, "heritage.family": "x"}
    raw.create_model_version(f"{name}-forged", f"runs:/{run.info.run_id}/weights", run.info.run_id, tags=forged)

    version = registry.register(name, path).version

    assert DUPLICATE_OF not in version.tags


def test_a_deleted_version_is_registered_anew_even_where_its_number_was_used_again(
    registry: Registry, name: str, weights: Weights, raw: Any
) -> None:
    lost = weights()
    first = registry.register(name, lost).version
    raw.delete_registered_model(name)
    other = registry.register(name, weights()).version
    assert other.version == first.version

    again = registry.register(name, lost)

    assert (again.version.version, again.created) == ("2", True)
    assert again.version.digest == first.digest
    assert registry.version(other.address).tags.keys().isdisjoint({DUPLICATE_OF})


def test_a_child_inherits_its_parents_family_and_tells_its_parents(
    registry: Registry, name: str, weights: Weights
) -> None:
    root = registry.register(name, weights(), Description(family="letters")).version
    edge = ParentEdge(root.digest, Relation.FINETUNE, Origin.ATTESTED, name=name, version="1")

    child = registry.register(name, weights(), Description(parents=(edge,))).version

    assert child.tags[FAMILY] == "letters"
    assert child.tags[f"heritage.parent.{root.digest[:12]}"] == "finetune:attested:1.0"
    assert [v.address for v in registry.versions(parent=root.digest)] == [child.address]
    assert [v.address for v in registry.versions(family="letters", name=name)] == [root.address, child.address]
    graph = registry.graph()
    assert graph.ancestors(child.digest) == (root.digest,)
    assert graph.at(name, "2").digest == child.digest


def test_a_circle_is_refused_and_leaves_nothing(registry: Registry, name: str, weights: Weights) -> None:
    old, middle, new = weights(), weights(), weights()
    with Checkpoint.open(old) as checkpoint:
        digest = checkpoint.digest
    edge = ParentEdge(digest, Relation.FINETUNE, Origin.DECLARED)  # not registered yet: allowed, and recorded
    second = registry.register(name, middle, Description(parents=(edge,))).version
    edge = ParentEdge(second.digest, Relation.PRUNE, Origin.DECLARED)
    third = registry.register(name, new, Description(parents=(edge,))).version

    with pytest.raises(LineageCycle, match="circle"):
        registry.register(name, old, Description(parents=(ParentEdge(third.digest, Relation.COPY, Origin.DECLARED),)))

    assert len(list(registry.versions(name))) == 2
    assert registry.register(name, old).created


def test_weights_may_contradict_what_was_said_and_both_sides_stand(
    registry: Registry, name: str, weights: Weights
) -> None:
    first = registry.register(name, weights()).version
    said = ParentEdge(first.digest, Relation.FINETUNE, Origin.DECLARED)
    second = registry.register(name, weights(), Description(parents=(said,))).version
    manifest = registry.manifest(first)
    assert manifest
    seen = ParentEdge(second.digest, Relation.PRUNE, Origin.RECOVERED, 0.97)

    registry.amend(first, dataclasses.replace(manifest, parents=(seen,)))

    assert registry.graph().ancestors(second.digest) == (first.digest,)
    assert registry.graph().ancestors(first.digest) == ()
    stored = registry.manifest(registry.version(first.address))
    assert stored
    assert stored.parents == (seen,)
    with pytest.raises(LineageCycle):
        registry.amend(
            first, dataclasses.replace(manifest, parents=(dataclasses.replace(seen, origin=Origin.DECLARED),))
        )


def test_a_case_twin_is_refused(registry: Registry, name: str, weights: Weights, raw: Any) -> None:
    registry.register(name, weights())
    raw.create_registered_model(f"{name}_By_Hand")

    with pytest.raises(UnsafeName, match=f"only in case; use '{name}'"):
        registry.register(name.upper(), weights())
    with pytest.raises(UnsafeName, match="By_Hand"):
        registry.register(f"{name}_by_hand", weights())


@pytest.mark.parametrize(
    "bad", ["<img src=x onerror=alert(1)>", "%2e%2e%2f", "a\n", "a‮b", "ａ", "x" * 500, "🦆", "latest", "a/b", ".."]
)
def test_unsafe_names_are_refused_before_anything_is_read(bad: str, registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(UnsafeName):
        registry.register(bad, tmp_path / "not-there")


def test_a_file_that_changes_meanwhile_makes_no_version(registry: Registry, name: str, weights: Weights) -> None:
    path = weights()

    def change(step: str) -> None:
        if step == "weights_uploaded":
            path.write_bytes(weights().read_bytes())

    with pytest.raises(UnsafeCheckpoint, match="changed while"):
        registry.register(name, path, on_step=change)
    assert list(registry.versions(name)) == []
    assert registry.register(name, path).created


@pytest.mark.parametrize("path", ["weights/x.npz", "heritage/manifest.json", "../x", "/etc/passwd", "a//b"])
def test_extras_stay_in_their_place(path: str, registry: Registry, name: str, weights: Weights) -> None:
    with pytest.raises(BadInput):
        registry.register(name, weights(), extras={path: b""})


def test_long_values_are_refused_not_cut(registry: Registry, name: str, weights: Weights) -> None:
    with pytest.raises(BadInput, match="5001 characters"):
        registry.register(name, weights(), Description(tags={"note": "x" * 5001}))
    version = registry.register(name, weights(), Description(tags={"note": "x" * 5000})).version
    with pytest.raises(BadInput, match="8001 characters"):
        registry.set_tag(version, "note", "y" * 8001)
    assert registry.version(version.address).tags["note"] == "x" * 5000
