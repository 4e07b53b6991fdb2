"""MLflow's webhooks: what is refused without a trace, and what follows from those that MLflow sends."""

import json
import threading
import time
import uuid
from collections.abc import Iterator

import pytest
import uvicorn

from heritage.api import create_app, token_guard
from heritage.api.signature import WINDOW_S, signature
from heritage.errors import Unavailable
from heritage.flows import notices
from heritage.local.ports import free_ports
from tests.api.small_fleet import Started, register_by_hand, until

SECRET = "a secret of this test"
HAND = {"entity": "model_version", "action": "created", "data": {"name": "hand", "version": "1"}}


def signed(event: object, age_s: float = 0.0, secret: str = SECRET, **changes: str) -> dict:
    """Arguments of a post as MLflow would send it."""
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    delivery, at = str(uuid.uuid4()), str(int(time.time() - age_s))
    headers = {
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": at,
        "X-MLflow-Signature": signature(secret, delivery, at, body),
    }
    return {"url": "/webhooks/mlflow", "content": body, "headers": headers | changes}


def alias(action: str, name: str, alias: str, version: str = "") -> dict:
    return {
        "entity": "model_version_alias",
        "action": action,
        "data": {"name": name, "alias": alias, "version": version},
    }


def test_a_registration_by_hand_starts_its_ingest(client, started):
    answer = client.post(**signed(HAND))
    assert (answer.status_code, answer.json()["dag"]) == (202, "heritage_ingest")
    assert started.runs == [("heritage_ingest", {"address": "hand/1"}, "mlflow-webhook")]


REFUSED = {
    "without a signature": (lambda: signed(HAND, **{"X-MLflow-Signature": ""}), 401),
    "with another secret": (lambda: signed(HAND, secret="guessed"), 401),
    "of another body": (lambda: {**signed(HAND), "content": b"{}"}, 401),
    "under another id": (lambda: signed(HAND, **{"X-MLflow-Delivery-Id": str(uuid.uuid4())}), 401),
    "from long ago": (lambda: signed(HAND, age_s=2 * WINDOW_S), 401),
    "from the future": (lambda: signed(HAND, age_s=-2 * WINDOW_S), 401),
    "with no time": (lambda: signed(HAND, **{"X-MLflow-Timestamp": "now"}), 401),
    "with 100 MB announced": (lambda: signed(HAND, **{"Content-Length": str(10**8)}), 413),
    "with a large body": (lambda: signed(b" " * 2**17), 413),
    "with no event": (lambda: signed(b"[]"), 400),
    "with a deep body": (lambda: signed(b"[" * 20_000), 400),
    "with a long name": (lambda: signed({**HAND, "data": {"name": "x" * 2000, "version": "1"}}), 400),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_delivery_is_refused_and_nothing_is_done(client, started, fleet, case):
    make, status = REFUSED[case]
    before = list(fleet.ctx.store.list("webhooks/"))
    # a login does not stand in for a signature
    assert client.post(**make()).status_code == status
    assert started.runs == []
    assert list(fleet.ctx.store.list("webhooks/")) == before


def test_a_delivery_counts_once_also_in_another_process(client, started, fleet):
    delivery = signed(HAND)
    assert client.post(**delivery).status_code == 202
    other = create_app(token_guard(""), Started(), lambda: fleet.ctx)
    from fastapi.testclient import TestClient

    for receiver in (client, TestClient(other, base_url="http://127.0.0.1")):
        assert receiver.post(**delivery).status_code == 409
    assert len(started.runs) == 1


@pytest.mark.parametrize(
    ("fault", "status"), [(Unavailable("Airflow is away"), 503), (OSError("Airflow's database is away"), 500)]
)
def test_what_could_not_be_done_may_be_sent_again(fleet, fault, status):
    from fastapi.testclient import TestClient

    down = [True]

    def trigger(dag, conf, user):
        if down[0]:
            raise fault
        return Started()(dag, conf, user)

    app = create_app(token_guard(""), trigger, lambda: fleet.ctx)
    receiver = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
    delivery = signed(HAND)
    assert receiver.post(**delivery).status_code == status
    down[0] = False
    assert receiver.post(**delivery).status_code == 202


@pytest.mark.parametrize(
    "event",
    [
        {"entity": "prompt", "action": "created", "data": {"name": "hello"}},
        {"entity": "model_version", "action": "created", "data": {"name": "left", "version": "1"}},
        {"entity": "model_version", "action": "created", "data": {"name": "../../x", "version": "1"}},
        {"entity": "model_version", "action": "created", "data": {"name": "nobody", "version": "1"}},
        alias("created", "left", "champion", "1"),
    ],
)
def test_events_from_which_nothing_follows_start_nothing(client, started, event):
    assert client.post(**signed(event)).status_code == 202
    assert started.runs == []


def test_without_a_secret_nothing_is_taken(fleet, tmp_path):
    import dataclasses

    from fastapi.testclient import TestClient

    from heritage.settings import ApiSettings

    bare = fleet.ctx.settings.model_copy(update={"api": ApiSettings(), "work_dir": tmp_path})
    app = create_app(token_guard(""), connect=lambda: dataclasses.replace(fleet.ctx, settings=bare))
    receiver = TestClient(app, base_url="http://127.0.0.1")
    assert receiver.post(**signed(HAND, secret="")).status_code == 503
    (tmp_path / "webhook.secret").write_text("from the file\n")
    assert receiver.post(**signed(HAND, secret="from the file")).status_code == 503  # no Airflow to start it in


@pytest.fixture
def receiver(fleet, started) -> Iterator[str]:
    """The application on a port of loopback."""
    port = free_ports(1)[0]
    app = create_app(token_guard(""), started, lambda: fleet.ctx)
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}/webhooks/mlflow"
    server.should_exit = True
    thread.join(10)


def test_mlflow_tells_what_people_do_in_its_pages(fleet, started, receiver, tmp_path):
    from mlflow.tracking import MlflowClient

    registry, name = fleet.ctx.registry, f"m-{uuid.uuid4().hex[:12]}"
    hook = registry.subscribe(receiver, SECRET)
    mlflow = MlflowClient(fleet.ctx.settings.mlflow.tracking_uri)
    try:
        assert registry.subscribe(receiver, SECRET) == hook
        assert registry.try_webhook(hook) == ""
        time.sleep(1.1)  # the server keeps its list of webhooks for a second

        register_by_hand(fleet.ctx, tmp_path, name, {})
        until(lambda: started.runs)
        assert started.runs == [("heritage_ingest", {"address": f"{name}/1"}, "mlflow-webhook")]

        mlflow.set_registered_model_alias(name, "challenger", "1")
        until(lambda: len(started.runs) == 2)
        assert started.runs[1] == ("heritage_validate", {"address": f"{name}/1"}, "mlflow-webhook")

        mlflow.set_registered_model_alias(name, "champion", "1")
        until(lambda: registry.history(name))
        mlflow.set_registered_model_alias(name, "blue", "1")
        mlflow.delete_registered_model_alias(name, "blue")
        until(lambda: len(notices.by_hand(fleet.ctx, name)) == 4)
        assert [(m.kind, m.version) for m in registry.history(name)] == [("manual", "1")]
        assert registry.promotion_findings(name) == ()
        moves = [(move.alias, move.version) for move in notices.by_hand(fleet.ctx, name)]
        assert sorted(moves) == [("blue", ""), ("blue", "1"), ("challenger", "1"), ("champion", "1")]
        assert len(started.runs) == 2
    finally:
        assert registry.unsubscribe()
        mlflow.delete_registered_model(name)
