"""OpenLineage events over a real transport: what arrives, and that nothing waits for what does not."""

import json
import logging
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from heritage import events
from heritage.events import Event, Version, emit
from heritage.records import Origin, ParentEdge, Relation
from heritage.settings import EventsSettings

REGISTRY = "http://mlflow.example:5000"
ON = EventsSettings(openlineage=True, deadline_s=2.0)
EDGE = ParentEdge("a" * 64, Relation.FINETUNE, Origin.DECLARED, 1.0, "root", "1")
LEFT = Version("left/1", "b" * 64, "small", (EDGE,))
EVENT = Event("register", "k", (Version("root/1", "a" * 64),), (LEFT,), {"gain": float("nan"), "rows": 3})


class Lineage(ThreadingHTTPServer):
    """A lineage server that keeps what it is sent; it answers after `delay_s` with `status`."""

    def __init__(self) -> None:
        self.got: list[dict] = []
        self.delay_s, self.status = 0.0, 201
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.server.delay_s)
        self.server.got.append(json.loads(body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def send_to(monkeypatch, address: str) -> None:
    # not OPENLINEAGE_URL: the client sets further variables from it, which would outlive the test
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT", json.dumps({"type": "http", "url": address}))


@pytest.fixture
def lineage(monkeypatch):
    server = Lineage()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    send_to(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Every test begins without a client, a pause or a count."""
    module = sys.modules["heritage.events.emit"]
    module._client.cache_clear()
    monkeypatch.setattr(module, "_paused_until_s", 0.0)
    monkeypatch.setattr(module, "_dropped", 0)
    yield
    module._client.cache_clear()


def test_a_run_arrives_with_its_versions_and_their_ancestry(lineage):
    assert emit(EVENT, ON, REGISTRY)
    begun, ended = lineage.got
    assert (begun["eventType"], ended["eventType"]) == ("START", "COMPLETE")
    assert begun["run"]["runId"] == ended["run"]["runId"]
    assert ended["job"] == {"namespace": "heritage", "name": "register", "facets": ended["job"].get("facets", {})}
    assert [(d["namespace"], d["name"]) for d in ended["inputs"]] == [(REGISTRY, "root/1")]
    model = ended["outputs"][0]["facets"]["heritage_model"]
    assert (model["digest"], model["family"]) == ("b" * 64, "small")
    assert model["parents"] == [
        {"digest": "a" * 64, "address": "root/1", "relation": "finetune", "origin": "declared", "confidence": 1.0}
    ]
    assert ended["run"]["facets"]["heritage_result"]["result"] == {"rows": 3}
    assert all(model[key].startswith("urn:heritage:") for key in ("_producer", "_schemaURL"))


def test_the_same_work_is_the_same_run(lineage):
    for event in (EVENT, EVENT, Event("register", "other")):
        emit(event, ON, REGISTRY)
    runs = [told["run"]["runId"] for told in lineage.got]
    assert len(runs) == 6
    assert len(set(runs)) == 2


def test_nothing_is_sent_unless_it_was_asked_for(lineage):
    assert not emit(EVENT, EventsSettings(), REGISTRY)
    assert lineage.got == []
    assert events.dropped() == 0


def test_a_slow_server_holds_work_up_for_the_deadline_once(lineage, caplog):
    lineage.delay_s = 30.0
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING):
        for _ in range(20):
            assert not emit(EVENT, EventsSettings(openlineage=True, deadline_s=0.3), REGISTRY)
    assert time.monotonic() - begun < 2.0
    assert events.dropped() == 20
    assert len([r for r in caplog.records if r.name == "heritage.events.emit"]) == 1
    lineage.delay_s = 0.0


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "nonsense://x", "http://[broken"])
def test_a_server_that_is_away_or_set_up_wrongly_stops_nothing(monkeypatch, address):
    send_to(monkeypatch, address)
    begun = time.monotonic()
    assert not emit(EVENT, EventsSettings(openlineage=True, deadline_s=1.0), REGISTRY)
    assert time.monotonic() - begun < 3.0
    assert events.dropped() == 1


def test_after_a_pause_it_is_tried_again(lineage, monkeypatch):
    module = sys.modules["heritage.events.emit"]
    monkeypatch.setattr(module, "_paused_until_s", time.monotonic() + 0.2)
    assert not emit(EVENT, ON, REGISTRY)
    time.sleep(0.25)
    assert emit(EVENT, ON, REGISTRY)
