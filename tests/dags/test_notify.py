"""Mails that Airflow's own notifier sends, to a mail server of this test."""

import json
import time

import pytest

from heritage.settings import settings
from tests.api.mail import SMTP, WORDS, Mail, connection

pytestmark = pytest.mark.airflow


@pytest.fixture
def mail(monkeypatch):
    with Mail() as server:
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", connection(server))
        monkeypatch.setenv("HERITAGE_NOTIFY__NOTIFIER", SMTP)
        monkeypatch.setenv("HERITAGE_NOTIFY__ARGUMENTS", json.dumps(WORDS))
        monkeypatch.setenv("HERITAGE_NOTIFY__DEADLINE_S", "3")
        monkeypatch.setenv("HERITAGE_API__AIRFLOW_URL", "http://people.example/airflow")
        settings.cache_clear()
        yield server
    settings.cache_clear()


DAG = """
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import dag, task
from heritage_notify import approval_asked, failed

@dag(schedule=None, dag_id="asks", on_failure_callback=failed())
def asks():
    @task
    def brief():
        return {"subject": "Promote <b>left/2</b>? {{ 7 * 7 }} {link}"}

    approve = ApprovalOperator(task_id="approve", subject="?", notifiers=approval_asked("brief"), retries=0)
    brief() >> approve

asks()
"""


def approve(airflow_db, tmp_path):
    """Run the DAG up to its approval, as a worker would; it then waits for a person."""
    from airflow.dag_processing.dagbag import DagBag

    (tmp_path / "asks.py").write_text(DAG)
    bag = DagBag(dag_folder=str(tmp_path))
    assert bag.import_errors == {}
    return bag.dags["asks"]


def context_of(dag, subject: str) -> dict:
    """What Airflow hands to a notifier, as far as this one looks."""
    from types import SimpleNamespace

    run = SimpleNamespace(dag_id="asks", run_id="manual__2026-11-22T10:00:00+00:00")
    pulled = SimpleNamespace(task_id="approve", map_index=-1, xcom_pull=lambda **_: {"subject": subject})
    return {"dag": dag, "dag_run": run, "ti": pulled, "task": dag.get_task("approve")}


def test_a_waiting_approval_is_mailed_with_a_link_and_as_text_only(mail, airflow_db, tmp_path):
    dag = approve(airflow_db, tmp_path)
    (notifier,) = dag.get_task("approve").notifiers
    notifier(context_of(dag, "Promote <b>left/2</b>? {{ 7 * 7 }} {link}"))
    (told,) = mail.got
    html = told.get_body(("html",)).get_content()
    assert told["To"] == "ops@example.org"
    assert told["Subject"] == "Promote <b>left/2</b>? {{ 7 * 7 }} {link}"
    assert "&lt;b&gt;left/2&lt;/b&gt;? {{ 7 * 7 }} {link}" in html
    wanted = (
        "http://people.example/airflow/dags/asks/runs/manual__2026-11-22T10%3A00%3A00%2B00%3A00"
        "/tasks/approve/required_actions?map_index=-1"
    )
    assert f'href="{wanted}"' in html


@pytest.mark.parametrize("fault", ["silent", "away", "no such class", "wrong arguments"])
def test_a_notifier_that_fails_or_hangs_fails_no_task(mail, airflow_db, tmp_path, monkeypatch, fault):
    if fault == "silent":
        mail.silent = True
    elif fault == "away":
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", '{"conn_type": "smtp", "host": "127.0.0.1", "port": 9}')
    elif fault == "no such class":
        monkeypatch.setenv("HERITAGE_NOTIFY__NOTIFIER", "airflow.nothing.Here")
    else:
        monkeypatch.setenv("HERITAGE_NOTIFY__ARGUMENTS", '{"unknown": "x"}')
    monkeypatch.setenv("HERITAGE_NOTIFY__DEADLINE_S", "1")
    settings.cache_clear()
    dag = approve(airflow_db, tmp_path)
    (notifier,) = dag.get_task("approve").notifiers
    begun = time.monotonic()
    notifier(context_of(dag, "hello"))
    assert time.monotonic() - begun < 5
    assert mail.got == []


def test_nobody_is_told_unless_the_settings_say_whom(airflow_db, tmp_path):
    dag = approve(airflow_db, tmp_path)
    assert list(dag.get_task("approve").notifiers) == []
    assert not dag.on_failure_callback
