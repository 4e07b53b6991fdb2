"""The triggerer goes away under runs that wait for people: none is lost, and approvals do not need it."""

import time
from pathlib import Path

from heritage.flows.context import Context
from heritage.local.airflow_rest import AirflowApi
from heritage.local.production import Production
from tests.stack.contests import (
    LABEL,
    LIMIT_S,
    PROMOTE,
    answer_all,
    check_contests,
    ended,
    promotion,
    states,
    unlabelled,
    until,
)

TRIGGERER = "airflow-triggerer"


def test_runs_that_wait_for_labels_outlive_the_triggerer(
    production: Production, ctx: Context, airflow: AirflowApi, tmp_path: Path
) -> None:
    before, during = (unlabelled(ctx, tmp_path / name) for name in ("before", "during"))
    contest, conf = promotion(ctx, tmp_path / "promoted")
    first = airflow.start(LABEL, {"model": before.name})
    until(production, lambda: states(airflow, LABEL, first)["wait"] == "deferred", "the first wait")

    production.stop(TRIGGERER, grace_s=0.5)
    second = airflow.start(LABEL, {"model": during.name})
    until(production, lambda: states(airflow, LABEL, second)["wait"] == "deferred", "a wait without triggerer")
    runs = [first, second]
    for run in runs:
        answer_all(ctx, airflow.result(LABEL, run, "request")["request"])
    # an approval is not the triggerer's
    promoting = airflow.start(PROMOTE, conf)
    airflow.approval(PROMOTE, promoting, "approve", LIMIT_S)
    airflow.answer(PROMOTE, promoting, "approve", "Approve", LIMIT_S)
    assert airflow.wait(PROMOTE, promoting, LIMIT_S) == "success"
    assert contest.champion == "2"
    assert [states(airflow, LABEL, run)["wait"] for run in runs] == ["deferred", "deferred"]

    production.start(TRIGGERER)
    back = time.monotonic()
    found = [until(production, ended(airflow, LABEL, run), f"the end of {run}") for run in runs]
    print(
        f"\ntriggerer away under two waits and a promotion: {found} {time.monotonic() - back:.0f} s after it was back"
    )
    assert found == ["success", "success"]
    for run in runs:
        assert states(airflow, LABEL, run)["collect"] == "success"
        request = airflow.result(LABEL, run, "request")["request"]
        assert ctx.store.exists(f"labels/{request}/DONE")
    check_contests(ctx, tmp_path)
