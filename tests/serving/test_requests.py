"""Requests that are no question: each has one clear answer, and the server goes on."""

import json
import socket
import threading
import tracemalloc
from types import SimpleNamespace
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from heritage.drift.agent import DriftAgent
from heritage.drift.columns import as_frame
from heritage.drift.profile import DriftProfile
from heritage.errors import BadInput, Misconfigured, Unavailable
from heritage.records import ModelVersion
from heritage.serving import server as serving
from heritage.serving.champion import Champion
from heritage.serving.request import parse
from heritage.serving.served import Served
from heritage.settings import ServeSettings
from tests.serving.conftest import running

VERSION = ModelVersion("m", "1", "ab" * 32, "r", "runs:/r/weights")
X = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)


def served(version=VERSION, agent=None):
    torch.manual_seed(int(version.version))
    return Served(version, torch.nn.Linear(4, 3).eval(), (4,), agent)


@pytest.fixture(scope="module")
def server():
    own = ServeSettings(max_rows=8, max_body_bytes=2_000, max_requests=3, body_s=0.5)
    champion = Champion(lambda: VERSION, lambda _: served(), 3600)
    champion.start()
    with running(champion, own) as started:
        yield started


ROW = [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 422, "not JSON"),
        (b"{", 422, "not JSON"),
        (b"\xff\xfe", 422, "not JSON"),
        (b"[" * 900 + b"]" * 900, 422, ""),
        (b'{"instances": [[NaN, 1, 2, 3]]}', 422, "NaN"),
        (b'{"instances": [[1, 2, 3, -Infinity]]}', 422, "-Infinity"),
        (b"[[1, 2, 3, 4]]", 422, "expected an object"),
        ({}, 422, "expected an object"),
        ({"instances": [ROW], "weights": 1}, 422, "weights"),
        ({"instances": []}, 422, "at least one row"),
        ({"instances": "rows"}, 422, "at least one row"),
        ({"instances": [1, 2]}, 422, "one list a row"),
        ({"instances": [[]]}, 422, "one list a row"),
        ({"instances": [ROW, ROW[:3]]}, 422, "differ in shape"),
        ({"instances": [["1", "2", "3", "4"]]}, 422, "lists of numbers"),
        ({"instances": [[1, 2, 3, None]]}, 422, "lists of numbers"),
        ({"instances": [[1, 2, 3, {"a": 1}]]}, 422, "lists of numbers"),
        ({"instances": [[1, 2, 3, 10**400]]}, 422, "beyond float64"),
        ({"instances": [ROW, [1, 2, 3, [4]]]}, 422, "list, number"),
        ({"instances": [ROW, [1, 2, 3, 1e300]]}, 422, "row 1 holds a number beyond float32"),
        ({"instances": [ROW[:3]]}, 422, "rows have shape [3]; m/1 takes [4]"),
        ({"instances": [[ROW]]}, 422, "rows have shape [1, 4]"),
        ({"instances": [ROW] * 9}, 422, "9 rows in one request; the limit is 8"),
        ({"instances": [ROW], "ids": ["a", "b"]}, 422, "2 for 1 rows"),
        ({"instances": [ROW], "ids": "a"}, 422, "str for 1 rows"),
        ({"instances": [ROW], "ids": [7]}, 422, "'7' is not allowed"),
        ({"instances": [ROW], "ids": [""]}, 422, "is not allowed"),
        ({"instances": [ROW], "ids": ["a b"]}, 422, "is not allowed"),
        ({"instances": [ROW], "ids": ["\u0000"]}, 422, "is not allowed"),
        ({"instances": [ROW], "ids": ["x" * 129]}, 422, "is not allowed"),
        ({"instances": [ROW] * 2, "ids": ["a", "a"]}, 422, "twice"),
        (b" " * 2_001, 413, "more than 2000 bytes"),
    ],
)
def test_each_has_one_reason(server, body, status, reason):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = server.client.post("/predict", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert reason in answer.json()["error"]
    assert "Traceback" not in answer.text
    assert server.client.post("/predict", json={"instances": [ROW]}).status_code == 200


def test_only_json_is_taken_and_only_under_our_own_names(server):
    plain = server.client.post(
        "/predict", content=b'{"instances": [[1,2,3,4]]}', headers={"content-type": "text/plain"}
    )
    assert plain.status_code == 415
    assert server.client.get("/healthz", headers={"host": "evil.example"}).status_code == 400
    assert server.client.get("/predict").status_code == 405
    assert server.client.get("/docs").status_code == 404
    assert "/predict" in server.client.get("/openapi.json").json()["paths"]


def test_a_body_that_does_not_come_is_not_waited_for(server):
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as slow:
        slow.sendall(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 99\r\n\r\n{"
        )
        assert b" 408 " in slow.recv(1_000)


def test_refusals_are_counted_by_their_code(server):
    server.client.post("/predict", json={})
    text = server.client.get("/metrics").text
    assert 'heritage_requests_total{code="422"}' in text
    assert 'heritage_served{digest="' in text


def test_more_requests_than_may_be_at_work_are_told_to_come_back():
    begun, go_on = threading.Semaphore(0), threading.Event()

    class Slow(torch.nn.Linear):
        def forward(self, x):
            begun.release()
            go_on.wait(20)
            return super().forward(x)

    champion = Champion(lambda: VERSION, lambda _: Served(VERSION, Slow(4, 3).eval(), (4,)), 3600)
    champion.start()
    with running(champion, ServeSettings(max_requests=2)) as started:
        codes = []

        def one():
            with httpx.Client(base_url=started.url, timeout=120) as client:
                codes.append(client.post("/predict", json={"instances": [ROW]}).status_code)

        held = [threading.Thread(target=one) for _ in range(2)]
        for thread in held:
            thread.start()
        for _ in held:
            assert begun.acquire(timeout=10)
        refused = started.client.post("/predict", json={"instances": [ROW]})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert started.client.get("/healthz").status_code == 200
        go_on.set()
        for thread in held:
            thread.join()
        assert codes == [200, 200]


def test_values_that_are_not_finite_are_an_error_and_not_json(tmp_path):
    network = torch.nn.Linear(4, 3)
    torch.nn.init.constant_(network.weight, 1e38)
    champion = Champion(lambda: VERSION, lambda _: Served(VERSION, network.eval(), (4,)), 3600)
    champion.start()
    with running(champion, ServeSettings()) as started:
        answer = started.client.post("/predict", json={"instances": [[1e38, 1, 1, 1]]})
    assert answer.status_code == 422
    assert "not finite" in answer.json()["error"]


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=4)))
def test_whatever_is_sent_is_a_question_or_bad_input(value):
    try:
        question = parse(json.dumps({"instances": value}).encode(), 100)
    except BadInput:
        return
    assert np.isfinite(question.x).all()
    assert len(question.ids) == len(question.x) > 0


def test_a_long_text_takes_no_more_room_than_it_has():
    body = json.dumps({"instances": [["x" * 200_000]] + [["y"]] * 99}).encode()
    tracemalloc.start()
    with pytest.raises(BadInput, match="values of type text"):
        parse(body, 100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * len(body)


# --- the champion without a network in between


class Slot:
    """An alias in memory."""

    def __init__(self):
        self.number, self.loads, self.stored = "1", [], {}
        self.profile = DriftProfile.fit(*as_frame(X)[:1])

    def find(self):
        return ModelVersion("m", self.number, "", "r", "runs:/r/weights")

    def make(self, version):
        self.loads.append(version.version)
        if version.version == "13":
            raise BadInput("broken")
        agent = DriftAgent(
            self.profile, lambda key, data: self.stored.setdefault(key, data) is data, "m", version.version
        )
        return served(version, agent)


def test_a_replaced_agent_is_closed_after_its_last_request():
    slot = Slot()
    champion = Champion(slot.find, slot.make, 3600)
    champion.start()
    with champion.using() as first, champion.using() as same:
        slot.number = "2"
        assert champion.refresh()
        assert first is same
        first.answer(X[:5], ())
        assert slot.stored == {}
    champion.close()
    assert len(slot.stored) == 1
    assert champion.totals.flushed == 5
    with pytest.raises(Unavailable), champion.using():
        pass
    champion.close()


def test_a_broken_version_is_tried_less_and_less_often_and_another_at_once():
    slot = Slot()
    champion = Champion(slot.find, slot.make, 0.2)
    champion.start()
    slot.number = "13"
    for _ in range(5):
        assert not champion.refresh()
    assert slot.loads == ["1", "13"]
    assert champion.problem == "m/13: broken"
    slot.number = "2"
    assert champion.refresh()
    assert champion.problem == ""
    champion.close()


def test_a_first_version_that_cannot_be_loaded_is_an_error_at_once():
    slot = Slot()
    slot.number = "13"
    with pytest.raises(BadInput, match="broken"):
        Champion(slot.find, slot.make).start()


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        own = ServeSettings(port=taken.getsockname()[1])
        ctx = SimpleNamespace(settings=SimpleNamespace(serve=own))
        with pytest.raises(Misconfigured, match=f"127.0.0.1:{own.port} cannot be listened on"):
            serving.run(ctx, "m@champion", print)
