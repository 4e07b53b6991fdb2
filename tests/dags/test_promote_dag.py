"""heritage_promote in this process, on a small registered model: what fails is taken back, and nothing else is."""

import pytest
from dag_runs import outcome

from heritage.local.environment import client_environment
from heritage.settings import settings
from tests.deployed import connection, held

__all__ = ["connection"]

pytestmark = [pytest.mark.services, pytest.mark.airflow]


@pytest.fixture
def contest(connection, tmp_path, monkeypatch):
    """Registry, model name, and the parameters of a run for a version that the gate accepted."""
    found = held(connection, tmp_path)
    ctx, conf = found.ctx, found.accepted()
    variables = {
        **client_environment(ctx.settings.s3, ctx.settings.mlflow.tracking_uri),
        "HERITAGE_WORK_DIR": str(ctx.settings.work_dir),
        "HERITAGE_ALLOWED_BUILDERS": "torch.nn",
    }
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    settings.cache_clear()
    yield ctx.registry, found.name, {"address": conf["address"], "plan": conf["plan"]}
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
