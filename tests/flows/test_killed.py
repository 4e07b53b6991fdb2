"""The process is killed at every write of a repair, and run again: one version, one set of files, nothing half-made."""

import dataclasses
import os
import signal

import pytest
import torch

from heritage.flows import check_drift, repair
from heritage.flows.context import Context
from heritage.registry import Registry, Timing
from heritage.settings import RepairSettings
from heritage.storage import ObjectStore

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]

_WRITES = ("register", "set_tag", "put_artifact", "accept", "nominate", "record_run")


def quick(ctx: Context) -> Context:
    """The same registry and storage over connections of this process, with a claim that is over after a second."""
    store = ObjectStore.connect(ctx.settings.s3)
    registry = Registry(ctx.settings.mlflow.tracking_uri, store, timing=Timing(lease_s=1.0, wait_s=60.0))
    # the search itself is no matter here, so its cheapest rungs do
    cheap = ctx.settings.model_copy(update={"repair": RepairSettings(rungs="none,rollback")})
    return dataclasses.replace(ctx, store=store, registry=registry, settings=cheap)


def killed_at(ctx: Context, write: int, job) -> bool:
    """Run `job` in a child that kills itself before its write number `write`; False where it had fewer writes."""
    pid = os.fork()
    if pid:
        status = os.waitpid(pid, 0)[1]
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child failed on its own"
        return os.WIFSIGNALED(status)
    code = 1
    try:
        torch.set_num_threads(1)  # threads of the parent do not come along with a fork: waiting for them never ends
        done = 0
        own = quick(ctx)

        def counted(method):
            def call(*args, **kwargs):
                nonlocal done
                done += 1
                if done == write:
                    os.kill(os.getpid(), signal.SIGKILL)
                return method(*args, **kwargs)

            return call

        for owner, names in ((own.store, ("create", "put")), (own.registry, _WRITES)):
            for name in names:
                setattr(owner, name, counted(getattr(owner, name)))
        job(own)
        code = 0
    finally:
        os._exit(code)


@pytest.fixture(scope="module")
def drifted(stage):
    check_drift.run(stage.ctx, stage.champion.address)
    return stage


def test_a_repair_killed_at_every_write_is_the_same_repair(drifted):
    ctx, model = quick(drifted.ctx), drifted.champion.name
    expected = repair.search(ctx, model, dry_run=True)["plan"]

    write = 1
    while killed_at(ctx, write, lambda own: repair.search(own, model)):
        # a plan with a decision is complete, one without is not used
        for key in ctx.store.list("repairs/"):
            if key.endswith("decision.json"):
                assert ctx.store.exists(key.replace("decision.json", "plan.json"))
        write += 1
    assert write > 5
    assert [k.split("/")[1] for k in ctx.store.list("repairs/") if k.endswith("decision.json")] == [expected]

    write = 1
    while killed_at(ctx, write, lambda own: repair.register_challenger(own, expected)):
        assert ctx.registry.version(f"{model}@champion").version == "1"
        assert len(list(ctx.registry.versions(name=model))) <= 2
        write += 1
    assert write > 5

    versions = list(ctx.registry.versions(name=model))
    assert len(versions) == 2
    challenger = ctx.registry.version(f"{model}@challenger")
    assert challenger.tags["heritage.gate"] == f"accept:{expected}"
    assert ctx.registry.fetch_weights(challenger, ctx.settings.work_dir / "weights").is_dir()
