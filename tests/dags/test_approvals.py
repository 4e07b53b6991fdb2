"""Approvals as a real Airflow handles them: no answer in time, an answer by the wrong person, a changed plan."""

import os
from pathlib import Path

import pytest

from heritage.errors import Misconfigured, Unavailable
from heritage.local import airflow, airflow_rest, processes
from heritage.local.airflow_rest import AirflowApi
from heritage.local.environment import client_environment
from tests.deployed import connection, held

__all__ = ["connection"]

pytestmark = [pytest.mark.services, pytest.mark.airflow, pytest.mark.slow, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 90
LIMIT_S = 400.0
PROMOTE = "heritage_promote"


@pytest.fixture(scope="module")
def contest(connection, tmp_path_factory):
    return held(connection, tmp_path_factory.mktemp("contest"))


@pytest.fixture(scope="module")
def accepted(contest):
    found = contest.accepted()
    return {"address": found["address"], "plan": found["plan"]}


@pytest.fixture(scope="module")
def server(contest, tmp_path_factory):
    ctx, home = contest.ctx, tmp_path_factory.mktemp("airflow")
    (home / "dags").mkdir()
    os.symlink(ROOT / "dags" / f"{PROMOTE}.py", home / "dags" / f"{PROMOTE}.py")
    variables = {
        **client_environment(ctx.settings.s3, ctx.settings.mlflow.tracking_uri),
        "HERITAGE_WORK_DIR": str(ctx.settings.work_dir),
        "HERITAGE_ALLOWED_BUILDERS": "torch.nn",
        "HERITAGE_PROMOTE__APPROVERS": '["approver"]',
        "HERITAGE_PROMOTE__TIMEOUT_HOURS": str(TIMEOUT_S / 3600),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(airflow, "READY_LIMIT_S", 600.0)  # slow tests may run on a busy machine
        running = airflow.start(home / "home", home / "dags", ROOT / "plugins", variables)
    yield running, home / "home"
    processes.stop(running.process, airflow.STOP_GRACE_S)


class Patient(AirflowApi):
    """Asks again where a busy machine's server did not answer in time."""

    def _send(self, method, path, body):
        for _ in range(8):
            try:
                return super()._send(method, path, body)
            except Unavailable:
                if method != "GET":
                    raise
        return super()._send(method, path, body)


def session(server, user: str) -> AirflowApi:
    running, home = server
    return Patient(running.url, user, airflow.passwords(home / airflow.PASSWORDS_FILE)[user])


def states(api: AirflowApi, run: str) -> dict[str, str]:
    return {t["task_id"]: t["state"] for t in api.tasks(PROMOTE, run)}


def test_silence_is_a_no_a_stranger_is_refused_and_the_approver_promotes(contest, accepted, server, monkeypatch):
    admin, approver = session(server, "admin"), session(server, "approver")
    admin._until(lambda: admin.knows(PROMOTE) or None, LIMIT_S, "the DAG")

    silent = admin.start(PROMOTE, accepted)
    asked = admin.approval(PROMOTE, silent, "approve", LIMIT_S)
    assert asked["assigned_users"] == [{"id": "approver", "name": "approver"}]
    with pytest.raises(Misconfigured, match="403"):
        admin.answer(PROMOTE, silent, "approve", "Approve", LIMIT_S)
    assert admin.wait(PROMOTE, silent, LIMIT_S) == "success"
    assert {k: states(admin, silent)[k] for k in ("approve", "move_aliases", "smoke_test")} == {
        "approve": "success", "move_aliases": "skipped", "smoke_test": "skipped",
    }  # fmt: skip
    (told,) = admin._call("GET", f"/dags/{PROMOTE}/dagRuns/{silent}/hitlDetails")["hitl_details"]
    assert told["chosen_options"] == ["Reject"]
    assert contest.champion == "1"

    # the plan that was shown is no longer that of the version when the answer comes
    late = admin.start(PROMOTE, accepted)
    admin.approval(PROMOTE, late, "approve", LIMIT_S)
    contest.ctx.registry.accept(contest.ctx.registry.version(accepted["address"]), "d" * 64)
    approver.answer(PROMOTE, late, "approve", "Approve", LIMIT_S)
    assert admin.wait(PROMOTE, late, LIMIT_S) == "failed"
    assert states(admin, late)["move_aliases"] == "failed"
    assert contest.champion == "1"

    contest.ctx.registry.accept(contest.ctx.registry.version(accepted["address"]), accepted["plan"])
    # an answer that Airflow loses, because it comes at once, is asked for and given again
    monkeypatch.setattr(airflow_rest, "_PAUSES_S", (0.0, 10.0, 15.0))
    yes = admin.start(PROMOTE, accepted)
    admin.approval(PROMOTE, yes, "approve", LIMIT_S)
    approver.answer(PROMOTE, yes, "approve", "Approve", LIMIT_S)
    assert admin.wait(PROMOTE, yes, LIMIT_S) == "success"
    assert states(admin, yes)["smoke_test"] == "success"
    assert contest.champion == "2"
