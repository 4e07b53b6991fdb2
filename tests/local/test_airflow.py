import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from heritage.local import airflow, processes
from heritage.local.airflow_rest import AirflowApi
from heritage.local.ports import is_free

pytestmark = [pytest.mark.services, pytest.mark.airflow]

DAG = """
import os
from airflow.sdk import dag, task

@dag(schedule=None, params={"wanted": "here"})
def two_steps():
    @task
    def first():
        return os.environ["HERITAGE_WORK_DIR"]

    @task
    def second(value, params):
        if value != params["wanted"]:
            raise ValueError(f"{value} is not {params['wanted']}")

    second(first())

two_steps()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("airflow")
    for name in ("dags", "plugins"):
        (folder / name).mkdir()
    (folder / "dags" / "two_steps.py").write_text(DAG)
    running = airflow.start(folder / "home", folder / "dags", folder / "plugins", {"HERITAGE_WORK_DIR": "here"})
    yield running
    processes.stop(running.process, airflow.STOP_GRACE_S)
    assert processes.members(running.process) == []
    assert is_free(running.port)


def home(server: airflow.Airflow) -> Path:
    return Path(server.process.log).parent


@contextmanager
def signed_in(server: airflow.Airflow, user: str) -> Iterator[httpx.Client]:
    password = airflow.passwords(home(server) / airflow.PASSWORDS_FILE)[user]
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        token = client.post("/auth/token", json={"username": user, "password": password}).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def test_a_dag_runs_with_the_environment_it_was_given(server):
    with signed_in(server, "approver") as client:
        while client.get("/api/v2/dags/two_steps").status_code != httpx.codes.OK:
            time.sleep(0.5)
        started = client.post("/api/v2/dags/two_steps/dagRuns", json={"logical_date": None, "conf": {}}).json()
        run = f"/api/v2/dags/two_steps/dagRuns/{started['dag_run_id']}"
        while (state := client.get(run).json()["state"]) not in ("success", "failed"):
            time.sleep(0.5)

        log = client.get(f"{run}/taskInstances/first/logs/1").text

    assert state == "success", log
    assert "attempt=1.log" in log


def test_a_run_that_failed_says_which_task_and_why(server):
    api = AirflowApi(server.url, "admin", airflow.passwords(home(server) / airflow.PASSWORDS_FILE)["admin"])
    api._until(lambda: api.knows("two_steps") or None, 60.0, "the DAG")
    run = api.start("two_steps", {"wanted": "there"})

    assert api.wait("two_steps", run, 120.0) == "failed"
    assert api.failures("two_steps", run) == ["second: Task failed with exception here is not there"]
    api.close()


def test_a_viewer_starts_nothing(server):
    with signed_in(server, "viewer") as client:
        refused = client.post("/api/v2/dags/two_steps/dagRuns", json={"logical_date": None, "conf": {}})

    assert refused.status_code == httpx.codes.FORBIDDEN


def test_every_listener_is_on_loopback(server):
    """Airflow's own log servers would listen on all interfaces."""
    sockets = [s for member in processes.members(server.process) for s in member.net_connections(kind="tcp")]
    listening = {s.laddr for s in sockets if s.status == psutil.CONN_LISTEN}

    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert server.port in {address.port for address in listening}


def test_secrets_are_the_owners_only(server):
    for name in (airflow.PASSWORDS_FILE, "keys.json"):
        assert (home(server) / name).stat().st_mode & 0o777 == 0o600
