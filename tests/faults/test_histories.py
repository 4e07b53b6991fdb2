"""Races on the champion: every history of three promoters ends in a state that a single one could have made."""

import shutil
from pathlib import Path

import pytest

from heritage.registry import Registry
from heritage.registry.journal import DONE
from heritage.storage import ObjectStore
from tests.faults import invariants
from tests.faults.histories import History
from tests.faults.tiny import copy_tables, three_versions

pytestmark = pytest.mark.services
MODEL = "raced"


@pytest.fixture(scope="module")
def begun(tables: Path, seaweed: object, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ObjectStore]:
    """Three versions with the first as champion: a database to copy, and the storage of it."""
    folder = tmp_path_factory.mktemp("begun")
    uri = copy_tables(tables, folder)
    store = ObjectStore.connect(seaweed.model_copy(update={"bucket": "histories-begun", "deadline_s": 20.0}))
    store.make_bucket()
    three_versions(Registry(uri, store), folder, MODEL)
    return folder / "mlflow.db", store


def play(seed: int, begun: tuple[Path, ObjectStore], folder: Path, buckets: ObjectStore) -> dict[str, int]:
    """One history, checked; counts of how its actors ended."""
    database, original = begun
    uri = copy_tables(database, folder / str(seed))
    store = original.at_bucket(f"{buckets.bucket[:40]}-{seed}")
    store.make_bucket()
    for key in original.list("journal/"):
        store.put(key, original.get(key))
    history = History(seed, uri, store, MODEL)

    actors = history.play()
    registry = history.settle()

    try:
        invariants.check_champion(registry, MODEL)
        done = [move for move in registry.history(MODEL) if move.state == DONE]
        for actor in actors:
            # who was told that it is done finds it in the journal; who was told nothing may have been completed
            if actor.said:
                assert actor.said.sequence in {move.sequence for move in done}
                assert actor.expected in (None, actor.said.replaced), actor.said
    except AssertionError as error:
        raise AssertionError(f"history {seed}: {'; '.join(history.told)}: {error}") from error
    shutil.rmtree(folder / str(seed))
    return {
        "done": sum(actor.said is not None for actor in actors),
        "refused": sum(actor.error is not None for actor in actors),
        "killed": sum(actor.dead for actor in actors),
        "moves": len(done),
    }


def total(found: list[dict[str, int]]) -> dict[str, int]:
    return {key: sum(one[key] for one in found) for key in found[0]}


def test_26_histories(begun: tuple[Path, ObjectStore], tmp_path: Path, store: ObjectStore) -> None:
    # 1373: who was overtaken puts the aliases back, and is overtaken in that too
    found = total([play(seed, begun, tmp_path, store) for seed in [*range(25), 1373]])

    # the histories are not all alike
    assert min(found["done"], found["refused"], found["killed"]) > 0
    assert found["moves"] > 25


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_1000_histories(begun: tuple[Path, ObjectStore], tmp_path: Path, store: ObjectStore) -> None:
    seeds = range(1000, 2000)
    print(f"\n{len(seeds)} histories:", total([play(seed, begun, tmp_path, store) for seed in seeds]))
