"""heritage_drift_check for past hours: each gets its own verdict, and a second run changes nothing."""

from datetime import UTC, datetime

import numpy as np
import pytest
from dag_runs import outcome

from heritage.flows import check_drift
from heritage.flows.observe import observe
from heritage.local.environment import client_environment
from heritage.rows import Rows
from heritage.settings import settings
from tests.deployed import connection, deployed, registered

__all__ = ["connection", "deployed", "registered"]

pytestmark = [pytest.mark.services, pytest.mark.airflow]

HOURS = [f"2026-02-01T0{hour}" for hour in range(3)]


@pytest.fixture
def watched(deployed, monkeypatch):
    """Three hours of the champion, of which the last two drifted."""
    chosen = deployed.ctx.settings
    variables = client_environment(chosen.s3, chosen.mlflow.tracking_uri) | {
        "HERITAGE_ALLOWED_BUILDERS": "torch.nn",
        "HERITAGE_WORK_DIR": str(chosen.work_dir),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    for hour, window in enumerate(HOURS):
        x = np.random.default_rng(hour).normal(2.0 * (hour > 0), size=(300, 4)).astype(np.float32)
        observe(deployed.ctx, deployed.versions[0], window, Rows(x), keep=False)
    yield deployed
    settings.cache_clear()


def test_a_backfill_judges_each_hour_and_changes_nothing_the_second_time(bag, watched):
    ctx, version, dag = watched.ctx, watched.versions[0], bag.dags["heritage_drift_check"]

    def backfill(hour):
        at = None if hour is None else datetime(2026, 2, 1, hour, tzinfo=UTC)
        run = dag.test(logical_date=at, run_conf={"model": watched.name})
        return outcome(run), {v.window: v.status for v in check_drift.verdicts(ctx, version)}

    states, judged = backfill(1)
    assert (states["check[0]"], states["alarm[0]"]) == ("success", "skipped")
    assert judged == {HOURS[0]: "ok"}
    states, judged = backfill(3)
    assert states["alarm[0]"] == "success"
    assert judged == {HOURS[0]: "ok", HOURS[1]: "drift", HOURS[2]: "drift"}
    kept = {key: ctx.store.get(key) for kind in ("verdicts/", "judged/") for key in ctx.store.list(kind)}

    states, _ = backfill(2)

    assert (states["check[0]"], states["alarm[0]"]) == ("success", "skipped")  # a later hour has been judged since
    assert {key: ctx.store.get(key) for kind in ("verdicts/", "judged/") for key in ctx.store.list(kind)} == kept
    states, judged = backfill(None)  # started by hand, for no hour in particular
    assert (states["alarm[0]"], len(judged)) == ("success", 3)
