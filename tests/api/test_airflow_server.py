"""The application in a running Airflow: permissions, webhooks that become DAG runs, a mail that asks for approval."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest

from heritage.errors import Unavailable
from heritage.flows.context import Context
from heritage.local.airflow_rest import AirflowApi
from heritage.local.stack import Plan, Stack
from heritage.registry import Registry
from heritage.settings import MlflowSettings, Settings
from heritage.storage import ObjectStore
from tests.api.mail import SMTP, WORDS, Mail, connection
from tests.api.small_fleet import register, register_by_hand

pytestmark = [pytest.mark.slow, pytest.mark.services, pytest.mark.airflow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
DAGS = ("heritage_drift_check", "heritage_ingest", "heritage_validate", "heritage_recluster")
ASKS = """
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import dag, task
from heritage_notify import approval_asked

@dag(schedule=None, dag_id="asks")
def asks():
    @task
    def brief():
        return {"subject": "Promote left/2?"}

    brief() >> ApprovalOperator(task_id="approve", subject="?", notifiers=approval_asked("brief"), retries=0)

asks()
"""


@pytest.fixture(scope="module")
def mail():
    with Mail() as server:
        yield server


@pytest.fixture(scope="module")
def stack(tmp_path_factory, mail):
    dags = tmp_path_factory.mktemp("dags")
    (dags / "asks.py").write_text(ASKS)
    for name in DAGS:
        shutil.copy(ROOT / "dags" / f"{name}.py", dags)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", connection(mail))
        patch.setenv("HERITAGE_NOTIFY__NOTIFIER", SMTP)
        patch.setenv("HERITAGE_NOTIFY__ARGUMENTS", json.dumps(WORDS))
        plan = Plan(airflow=True, dags=dags, plugins=ROOT / "plugins")
        with Stack.running(tmp_path_factory.mktemp("stack"), plan=plan) as running:
            yield running


@pytest.fixture(scope="module")
def ctx(stack, tmp_path_factory) -> Context:
    settings = Settings(mlflow=MlflowSettings(tracking_uri=stack.tracking_uri), s3=stack.s3, work_dir=stack.work_dir)
    store = ObjectStore.connect(stack.s3)
    found = Context(Registry.connect(settings, store), store, settings)
    register(found, tmp_path_factory.mktemp("weights"), "left")
    return found


@pytest.fixture
def user(stack):
    """Airflow's API as somebody who may start runs; every DAG is known to it."""
    api = AirflowApi(stack.airflow_url, "approver", stack.passwords()["approver"])
    until(lambda: _are_read(api), "the DAGs are read")
    yield api
    api.close()


def _are_read(api: AirflowApi) -> bool:
    try:
        return all(api.knows(dag) for dag in (*DAGS, "asks"))
    except Unavailable:  # busy with its start
        return False


def until(happened, what: str, limit_s: float = 240.0):
    deadline = time.monotonic() + limit_s
    while not (found := happened()):
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.5)
    return found


@contextmanager
def session(stack, name: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.airflow_url, timeout=120, trust_env=False) as client:
        token = client.post("/auth/token", json={"username": name, "password": stack.passwords()[name]}).json()
        client.headers["Authorization"] = f"Bearer {token['access_token']}"
        yield client


def test_who_may_what_over_http(stack, ctx, user):
    anonymous = httpx.get(f"{stack.airflow_url}/heritage/api/models", trust_env=False)
    assert anonymous.status_code == 401
    with session(stack, "viewer") as viewer, session(stack, "approver") as approver:
        assert [m["address"] for m in viewer.get("/heritage/api/models?query=left").json()["models"]] == ["left/1"]
        assert viewer.post("/heritage/api/clustering/recluster").status_code == 403
        started = approver.post("/heritage/api/clustering/recluster")
        assert started.status_code == 202, started.text
        assert started.json()["url"].startswith(f"{stack.airflow_url}/dags/heritage_recluster/runs/")
    assert started.json()["run"] in [run["dag_run_id"] for run in user.runs("heritage_recluster")]


def test_what_people_do_in_mlflow_starts_dags(stack, ctx, user, tmp_path):
    from mlflow.tracking import MlflowClient

    url = f"{stack.airflow_url}/heritage/webhooks/mlflow"
    environment = {**stack.environment(), "PATH": "/usr/bin:/bin", "HERITAGE_CONFIG": "/dev/null"}
    command = [sys.executable, "-m", "heritage.cli", "webhook", "register", url, "--json"]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["problem"] == ""
    time.sleep(1.1)  # the server keeps its list of webhooks for a second

    register_by_hand(ctx, tmp_path, "by-hand", {})
    wanted = {"address": "by-hand/1"}
    until(lambda: [r for r in user.runs("heritage_ingest") if r["conf"] == wanted], "an ingest of by-hand/1")
    MlflowClient(stack.tracking_uri).set_registered_model_alias("by-hand", "challenger", "1")
    run = until(lambda: [r for r in user.runs("heritage_validate") if r["conf"] == wanted], "a validation of by-hand/1")
    assert run[0]["triggering_user_name"] == "mlflow-webhook"


def test_the_link_of_the_mail_leads_to_the_approval_that_waits(stack, user, mail):
    run = user.start("asks")
    user.approval("asks", run, "approve", 240)
    until(lambda: mail.got, "a mail")
    html = mail.got[0].get_body(("html",)).get_content()
    link = urlsplit(html.partition('href="')[2].partition('"')[0].replace("&amp;", "&"))
    assert f"{link.scheme}://{link.netloc}" == stack.airflow_url
    _, dags, dag, runs, told, tasks, task, page = map(unquote, link.path.split("/"))
    assert (dags, dag, runs, told, tasks, task, page) == (
        "dags",
        "asks",
        "runs",
        run,
        "tasks",
        "approve",
        "required_actions",
    )
    assert parse_qs(link.query) == {"map_index": ["-1"]}
    with session(stack, "approver") as approver:
        waiting = approver.get(f"/api/v2/dags/{dag}/dagRuns/{told}/hitlDetails").json()["hitl_details"]
    assert [detail["task_instance"]["task_id"] for detail in waiting] == ["approve"]
