"""Mails that Airflow's own notifier sends, to a mail server of this test."""

import json
import socketserver
import threading
import time
from email import message_from_bytes
from email.policy import default

import pytest

from heritage.settings import settings

pytestmark = pytest.mark.airflow

SMTP = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
WORDS = {"to": "ops@example.org", "from_email": "airflow@example.org", "subject": "{subject}", "html_content": "{html}"}


class Mail(socketserver.ThreadingTCPServer):
    """A mail server that keeps what it gets; `silent` accepts connections and says nothing."""

    allow_reuse_address = daemon_threads = True
    silent = False

    def __init__(self) -> None:
        self.got = []
        super().__init__(("127.0.0.1", 0), Session)


class Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        if self.server.silent:
            time.sleep(20)
            return
        self.say(b"220 test")
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word == b"DATA":
                self.say(b"354 go on")
                lines = []
                while (part := self.rfile.readline()) != b".\r\n":
                    lines.append(part)
                self.server.got.append(message_from_bytes(b"".join(lines), policy=default))
            self.say(b"221 bye" if word == b"QUIT" else b"250 ok")
            if word == b"QUIT":
                return

    def say(self, line: bytes) -> None:
        self.wfile.write(line + b"\r\n")


@pytest.fixture
def mail(monkeypatch):
    server = Mail()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    extra = '{"disable_tls": true, "disable_ssl": true, "timeout": 5, "retry_limit": 1}'
    connection = f'{{"conn_type": "smtp", "host": "127.0.0.1", "port": {server.server_address[1]}, "extra": {extra}}}'
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", connection)
    monkeypatch.setenv("HERITAGE_NOTIFY__NOTIFIER", SMTP)
    monkeypatch.setenv("HERITAGE_NOTIFY__ARGUMENTS", json.dumps(WORDS))
    monkeypatch.setenv("HERITAGE_NOTIFY__DEADLINE_S", "3")
    monkeypatch.setenv("HERITAGE_API__AIRFLOW_URL", "http://people.example/airflow")
    settings.cache_clear()
    yield server
    server.shutdown()
    server.server_close()
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
