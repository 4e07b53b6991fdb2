"""Parts of the stack go away while a DAG runs; the run ends well, and once."""

import time
from pathlib import Path

import pytest

from heritage.errors import HeritageError
from heritage.flows.context import Context
from heritage.local.airflow_rest import AirflowApi
from heritage.local.production import Production
from tests.faults import invariants
from tests.faults.tiny import client, tiny_weights

DAG = "heritage_ingest"
# where Redis goes while a task is sent, Airflow believes that it was sent, and sends it again after five minutes
LIMIT_S = 600.0


def by_hand(production: Production, name: str, folder: Path) -> str:
    """A version without heritage, which the DAG has to ingest; its address."""
    mlflow = client(production.url("mlflow"))
    experiment = mlflow.get_experiment_by_name("hand")
    number = experiment.experiment_id if experiment else mlflow.create_experiment("hand")
    run = mlflow.create_run(number).info.run_id
    mlflow.log_artifact(run, str(tiny_weights(folder)), "weights")
    mlflow.create_registered_model(name)
    made = mlflow.create_model_version(name, f"runs:/{run}/weights", run, await_creation_for=0)
    return f"{name}/{made.version}"


@pytest.mark.parametrize(
    "away",
    [["postgres"], ["redis"], ["mlflow"], ["airflow-api-server", "airflow-scheduler"], ["seaweedfs"]],
    ids="+".join,
)
def test_a_run_outlives_an_outage(
    away: list[str], production: Production, ctx: Context, airflow: AirflowApi, tmp_path: Path
) -> None:
    name = f"outlived-{away[0]}"
    address = by_hand(production, name, tmp_path)
    run = airflow.start(DAG, {"address": address})
    time.sleep(4.0)

    for unit in reversed(away):
        production.stop(unit, grace_s=3.0)
    time.sleep(5.0)
    for unit in away:
        production.start(unit)
    for unit in away:
        if unit != "postgres":
            production.wait(unit)

    began = time.monotonic()
    state, revived = "", []
    while state not in ("success", "failed") and time.monotonic() - began < LIMIT_S:
        revived += production.revive()
        state = state_of(production, run)
        time.sleep(2.0)
    print(f"\n{'+'.join(away)} away for 5 s: {state} {time.monotonic() - began:.0f} s later, started again: {revived}")
    assert state == "success"
    invariants.check_registry(ctx.registry, tmp_path / "check", [name])
    assert ctx.registry.version(address).digest


def state_of(production: Production, run: str) -> str:
    """The run's state; '' while Airflow does not answer."""
    after = AirflowApi(production.url("airflow-api-server"), "admin", production.passwords()["admin"])
    try:
        return next((r["state"] for r in after.runs(DAG) if r["dag_run_id"] == run), "")
    except HeritageError:
        return ""
    finally:
        after.close()
