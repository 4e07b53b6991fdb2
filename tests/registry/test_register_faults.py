"""Registration under races, kills and zombies: one canonical version, nothing half-written to be seen."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heritage.errors import Unavailable
from heritage.registry import DUPLICATE_OF, Registry, Timing
from heritage.registry.register import CLAIM_TAG, STEPS, Registration
from heritage.storage import ObjectStore

Weights = Callable[..., Path]
Children = Callable[..., list[dict[str, Any]]]
RACERS = 16


def _race(registry: Registry, name: str, path: Path, children: Children, uri: str) -> None:
    task = {"do": "register", "name": name, "weights": str(path)}

    outcomes = children([task] * RACERS, uri=uri)

    values = [outcome.get("value") or pytest.fail(str(outcome)) for outcome in outcomes]
    assert {value["version"] for value in values} == {"1"}
    assert sum(value["created"] for value in values) == 1
    (version,) = registry.versions(name)
    assert DUPLICATE_OF not in version.tags
    assert registry.manifest(version) is not None


def test_16_processes_make_one_version_on_sqlite(
    registry: Registry, name: str, weights: Weights, children: Children, tracking: str
) -> None:
    _race(registry, name, weights(), children, tracking)


def test_16_processes_make_one_version_on_postgresql(
    store: ObjectStore, name: str, weights: Weights, children: Children, tracking_postgres: str
) -> None:
    _race(Registry(tracking_postgres, store), name, weights(), children, tracking_postgres)


def test_two_names_at_once_leave_one_canonical_version(
    registry: Registry, name: str, weights: Weights, children: Children
) -> None:
    path = weights()
    names = [f"{name}-{i}" for i in range(4)]

    children([{"do": "register", "name": n, "weights": str(path)} for n in names])

    versions = [registry.version(n) for n in names]
    canonical = [v for v in versions if DUPLICATE_OF not in v.tags]
    assert len(canonical) == 1
    assert {v.tags[DUPLICATE_OF] for v in versions if v not in canonical} == {canonical[0].address}


@pytest.mark.parametrize("step", STEPS)
def test_a_process_killed_after_any_step_leaves_work_that_the_next_one_finishes(
    step: str,
    registry: Registry,
    later: Registry,
    name: str,
    weights: Weights,
    children: Children,
    raw: Any,
    tmp_path: Path,
) -> None:
    path = weights()
    assert children([{"do": "register", "name": name, "weights": str(path), "kill_at": step}]) == [{"signal": 9}]
    # whatever is visible as a version is complete
    for visible in registry.versions(name):
        assert step in ("version_created", "done")
        registry.fetch_weights(visible, tmp_path / "first")

    done = later.register(name, path)

    (version,) = registry.versions(name)
    assert version == done.version
    assert done.created == (step != "done")
    assert DUPLICATE_OF not in version.tags
    registry.fetch_weights(version, tmp_path / "second")
    experiment = raw.get_experiment_by_name("heritage").experiment_id
    runs = raw.search_runs([experiment], f"tags.`{CLAIM_TAG}` = '{name}/{version.digest}'")
    assert [run.info.run_id for run in runs] == [version.run_id]
    assert runs[0].info.status == "FINISHED"


@pytest.mark.parametrize("step", ["claimed", "run_created", "manifest_uploaded", "version_created"])
def test_a_process_that_slept_past_its_lease_takes_the_version_of_the_other(
    step: str, registry: Registry, later: Registry, name: str, weights: Weights
) -> None:
    path = weights()
    others = []

    def sleep(done: str) -> None:
        if done == step:
            others.append(later.register(name, path))

    mine = registry.register(name, path, on_step=sleep)

    assert mine.version == others[0].version
    assert [v for v in registry.versions(name) if DUPLICATE_OF not in v.tags] == [mine.version]


def test_a_version_that_was_created_too_late_is_marked(
    registry: Registry, later: Registry, name: str, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights()
    create = Registration._create_version
    others = []

    def overtaken(self: Registration, run_id: str) -> Any:
        monkeypatch.setattr(Registration, "_create_version", create)
        others.append(later.register(name, path))
        return create(self, run_id)

    monkeypatch.setattr(Registration, "_create_version", overtaken)

    mine = registry.register(name, path)

    assert (mine.created, mine.version) == (False, others[0].version)
    first, second = registry.versions(name)
    assert DUPLICATE_OF not in first.tags
    assert second.tags[DUPLICATE_OF] == first.address


def test_a_process_that_takes_over_with_other_metadata_writes_its_own_run(
    registry: Registry, later: Registry, name: str, weights: Weights, children: Children, tmp_path: Path
) -> None:
    path = weights(7, {"note": name})
    children([{"do": "register", "name": name, "weights": str(path), "kill_at": "manifest_uploaded"}])

    version = later.register(name, path, extras={"heritage/profile.npz": b"more"}).version

    assert registry.artifact(version, "heritage/profile.npz") == b"more"
    registry.fetch_weights(version, tmp_path / "cache")


def test_a_version_that_a_dead_process_created_is_kept_whatever_the_next_one_would_write(
    registry: Registry, later: Registry, name: str, weights: Weights, children: Children
) -> None:
    path = weights()
    children([{"do": "register", "name": name, "weights": str(path), "kill_at": "version_created"}])
    (made,) = registry.versions(name)

    done = later.register(name, path, extras={"heritage/profile.npz": b"more"})

    assert done.version == made
    assert list(registry.versions(name)) == [made]


def test_a_failure_frees_the_claim_at_once(
    registry: Registry, name: str, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights()

    def fail(self: Registration, run_id: str) -> None:
        raise Unavailable("the server went away")

    with monkeypatch.context() as patch:
        patch.setattr(Registration, "_create_version", fail)
        with pytest.raises(Unavailable, match="went away"):
            registry.register(name, path)

    assert registry.register(name, path).created
    assert len(list(registry.versions(name))) == 1


def test_waiting_for_another_process_ends(
    registry: Registry, store: ObjectStore, tracking: str, name: str, weights: Weights, children: Children
) -> None:
    path = weights()
    children([{"do": "register", "name": name, "weights": str(path), "kill_at": "claimed"}])

    with pytest.raises(Unavailable, match="another process is registering"):
        Registry(tracking, store, timing=Timing(wait_s=0.2)).register(name, path)


def test_a_long_registration_keeps_its_lease(tracking: str, store: ObjectStore, name: str, weights: Weights) -> None:
    timing = Timing(lease_s=0.6)
    registry = Registry(tracking, store, timing=timing)
    steps: list[str] = []

    def slow(step: str) -> None:
        steps.append(step)
        if step == "run_noted":
            time.sleep(1.5)
            # its lease would have run out twice without a sign of life
            with pytest.raises(Unavailable):
                Registry(tracking, store, timing=Timing(lease_s=0.6, wait_s=0.0)).register(name, path)

    path = weights()
    assert registry.register(name, path, on_step=slow).created
    assert steps == list(STEPS)
