"""Two workers carry out one repair at the same time, as a zombie and its retry do: one challenger."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from heritage.flows import check_drift, repair
from heritage.flows.context import Context
from heritage.registry import CHALLENGER, CHAMPION, DUPLICATE_OF, Registry, Timing
from heritage.settings import RepairSettings
from heritage.storage import ObjectStore
from tests.faults import invariants
from tests.stages import Stage

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(900)]


def own(ctx: Context) -> Context:
    """Connections of this process, and the cheapest rungs: the search itself is no matter here."""
    store = ObjectStore.connect(ctx.settings.s3)
    registry = Registry(ctx.settings.mlflow.tracking_uri, store, timing=Timing(lease_s=5.0, wait_s=120.0))
    cheap = ctx.settings.model_copy(update={"repair": RepairSettings(rungs="none,rollback")})
    return dataclasses.replace(ctx, store=store, registry=registry, settings=cheap)


def at_once(jobs: list[Callable[[], object]], folder: Path) -> list[object]:
    """What each job returns in a process of its own, all begun together."""
    gate, hold = os.pipe()
    pids = []
    for i, job in enumerate(jobs):
        if pid := os.fork():
            pids.append(pid)
            continue
        code = 1
        try:
            os.close(hold)
            os.read(gate, 1)
            (folder / f"{i}.json").write_text(json.dumps(job()))
            code = 0
        finally:
            os._exit(code)
    os.close(hold)
    os.close(gate)
    statuses = [os.waitpid(pid, 0)[1] for pid in pids]
    assert statuses == [0] * len(jobs)
    return [json.loads((folder / f"{i}.json").read_text()) for i in range(len(jobs))]


def test_two_workers_on_one_repair_make_one_challenger(stage: Stage, tmp_path: Path) -> None:
    ctx, model = own(stage.ctx), stage.champion.name
    check_drift.run(ctx, stage.champion.address)
    before = invariants.fingerprints(ctx.registry, tmp_path / "before", [stage.champion])

    plans = at_once([lambda: repair.search(own(ctx), model)["plan"]] * 2, tmp_path)
    assert len(set(plans)) == 1
    found = at_once([lambda: repair.register_challenger(own(ctx), plans[0])["address"]] * 2, tmp_path)

    assert len(set(found)) == 1
    challenger = ctx.registry.version(f"{model}@{CHALLENGER}")
    assert challenger.address == found[0]
    versions = [v for v in ctx.registry.versions(name=model) if DUPLICATE_OF not in v.tags]
    assert len(versions) == 2
    assert ctx.registry.aliases(model)[CHAMPION] == stage.champion.version
    invariants.check_untouched(before, invariants.fingerprints(ctx.registry, tmp_path / "after", [stage.champion]))
    invariants.check_registry(ctx.registry, tmp_path / "check", [v.name for v in stage.family.values()])
