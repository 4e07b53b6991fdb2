"""heritage_promote in this process, on a small registered model: what fails is taken back, and nothing else is."""

import dataclasses
import uuid

import pytest
from dag_runs import outcome

from heritage.flows import register, validate, windows
from heritage.local.environment import client_environment
from heritage.records import Architecture
from heritage.registry import INITIAL
from heritage.settings import settings
from tests.deployed import connection, reference, weights

__all__ = ["connection"]

pytestmark = [pytest.mark.services, pytest.mark.airflow]


@pytest.fixture
def contest(connection, tmp_path, monkeypatch):
    """Registry, model name, and the parameters of a run for a version that the gate accepted."""
    name = f"moved-{uuid.uuid4().hex[:8]}"
    linear = Architecture("torch.nn:Linear", {"in_features": 4, "out_features": 3})
    versions = [
        register.run(connection, register.Registration(name, weights(tmp_path, seed), linear, reference(1)))
        for seed in (1, 2)
    ]
    connection.registry.promote(name, "1", None, INITIAL)
    windows.keep_rows(connection, versions[0], "w1", reference(2, 600))
    lenient = connection.settings.repair.model_copy(update={"original_margin": 1.0})
    ctx = dataclasses.replace(connection, settings=connection.settings.model_copy(update={"repair": lenient}))
    found = validate.run(ctx, versions[1].address)
    variables = {
        **client_environment(ctx.settings.s3, ctx.settings.mlflow.tracking_uri),
        "HERITAGE_WORK_DIR": str(ctx.settings.work_dir),
        "HERITAGE_ALLOWED_BUILDERS": "torch.nn",
    }
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    settings.cache_clear()
    yield ctx.registry, name, {"address": found["address"], "plan": found["plan"]}
    settings.cache_clear()


def run(bag, conf: dict) -> dict[str, str]:
    return outcome(bag.dags["heritage_promote"].test(run_conf=conf, mark_success_pattern="approve"))


def test_a_champion_that_its_server_does_not_serve_is_taken_back(bag, contest, monkeypatch):
    registry, name, conf = contest
    monkeypatch.setenv("HERITAGE_PROMOTE__SERVED_AT", "http://127.0.0.1:9")
    monkeypatch.setenv("HERITAGE_PROMOTE__SERVED_WAIT_S", "0.2")
    settings.cache_clear()
    states = run(bag, conf)
    assert (states["move_aliases"], states["smoke_test"], states["roll_back"]) == ("success", "failed", "success")
    assert registry.aliases(name)["champion"] == "1"
    assert [move.kind for move in registry.history(name)] == ["initial", "promote", "rollback"]


def test_a_plan_that_is_not_the_versions_own_moves_and_takes_back_nothing(bag, contest):
    registry, name, conf = contest
    states = run(bag, {**conf, "plan": "d" * 64})
    assert states["brief"] in ("failed", "up_for_retry")
    assert registry.aliases(name)["champion"] == "1"
    assert [move.kind for move in registry.history(name)] == ["initial"]
