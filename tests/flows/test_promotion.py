"""What may become champion, and what is taken back: approvals bound to plans, smoke tests through the served model."""

import dataclasses
import json
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import numpy as np
import pytest
import structlog
from typer.testing import CliRunner

from heritage.cli import app
from heritage.errors import BadInput, Conflict, NotFound, Refused, Unavailable
from heritage.flows import decisions, promote, validate, windows
from heritage.local.environment import client_environment
from heritage.registry import GATE
from heritage.rows import Rows
from heritage.serving.champion import Champion
from heritage.serving.served import load
from heritage.settings import settings
from tests.deployed import connection, held, network_of_seed, reference
from tests.serving.conftest import running

__all__ = ["connection"]

pytestmark = pytest.mark.services


@pytest.fixture
def contest(connection, tmp_path):
    return held(connection, tmp_path, versions=3)


@pytest.fixture
def accepted(contest):
    return contest.accepted()


def test_a_validated_version_is_promoted_once_and_leaves_a_run(contest, accepted):
    ctx = contest.ctx
    brief = promote.brief(ctx, accepted["address"], accepted["plan"])
    assert accepted["address"] in brief["subject"]
    moved = [promote.promote(ctx, accepted["address"], accepted["plan"]) for _ in range(2)]
    assert moved[0] == moved[1]
    assert contest.champion == "2"
    assert accepted["run"] == decisions.record(ctx, accepted["plan"])
    assert b"class by class" in ctx.registry.artifact(contest.versions[1], "heritage/validation/report.html")
    assert json.loads(decisions.read(ctx, accepted["plan"], "decision.json"))["decision"] == "accept"


def test_a_version_that_is_no_better_is_not_nominated(contest):
    found = validate.run(contest.ctx, contest.versions[2].address)
    assert found["decision"] != "accept"
    assert "challenger" not in contest.ctx.registry.aliases(contest.name)
    with pytest.raises(Refused):
        promote.promote(contest.ctx, found["address"], found["plan"])
    assert contest.champion == "1"


def test_under_other_levels_it_is_another_decision_that_people_are_shown(contest):
    strict = contest.ctx.settings.repair.model_copy(update={"original_margin": 0.0})
    ctx = dataclasses.replace(contest.ctx, settings=contest.ctx.settings.model_copy(update={"repair": strict}))
    refused = validate.run(ctx, contest.versions[1].address)
    assert refused["decision"] != "accept"
    accepted = contest.accepted()  # after somebody raised the margin
    assert decisions.decision(ctx, accepted["plan"])["decision"] == "accept"
    assert "within the margin" in promote.brief(ctx, accepted["address"], accepted["plan"])["body"]
    assert accepted["run"] != refused["run"]


def test_a_dry_run_leaves_nothing(contest):
    before = sorted(contest.ctx.store.list("repairs/"))
    found = validate.run(contest.ctx, contest.versions[1].address, dry_run=True)
    assert sorted(contest.ctx.store.list("repairs/")) == before
    assert GATE not in contest.ctx.registry.version(found["address"]).tags


def test_an_approval_for_another_plan_moves_nothing(contest, accepted):
    other = validate.run(contest.ctx, contest.versions[2].address)
    with pytest.raises(Refused, match="changed since"):
        promote.brief(contest.ctx, accepted["address"], other["plan"])
    with pytest.raises(Refused):
        promote.promote(contest.ctx, accepted["address"], other["plan"])
    with pytest.raises(NotFound):
        promote.promote(contest.ctx, accepted["address"], "0" * 64)
    assert contest.champion == "1"


def test_an_approval_that_comes_after_the_plan_changed_moves_nothing(contest, accepted):
    # shown to a person; then more labels came and the gate decided again, on other rows
    promote.brief(contest.ctx, accepted["address"], accepted["plan"])
    windows.keep_rows(contest.ctx, contest.versions[0], "w1", reference(1, 300))
    again = validate.run(contest.ctx, accepted["address"])
    assert again["plan"] != accepted["plan"]
    with pytest.raises(Refused):
        promote.promote(contest.ctx, accepted["address"], accepted["plan"])
    assert contest.champion == "1"


def test_an_approval_that_comes_after_another_champion_moves_nothing(contest, accepted):
    ctx = contest.ctx
    ctx.registry.accept(contest.versions[2], "d" * 64)
    ctx.registry.promote(contest.name, "3", "1", "meanwhile", "d" * 64)
    with pytest.raises(Conflict, match="not 1 as the plan expects"):
        promote.promote(ctx, accepted["address"], accepted["plan"])
    assert contest.champion == "3"


def serving(contest, **changes):
    ctx = contest.ctx
    served = Champion(partial(ctx.registry.version, f"{contest.name}@champion"), partial(load, ctx), 0.05)
    served.start()
    return running(served, ctx.settings.serve)


def with_server(contest, url: str, wait_s: float = 20.0):
    own = contest.ctx.settings.promote.model_copy(update={"served_at": url, "served_wait_s": wait_s})
    settings = contest.ctx.settings.model_copy(update={"promote": own})
    return dataclasses.replace(contest.ctx, settings=settings)


def test_the_smoke_test_waits_for_the_server_and_compares_its_answers(contest, accepted):
    with serving(contest) as server:
        ctx = with_server(contest, server.url)
        promote.promote(ctx, accepted["address"], accepted["plan"])
        tested = promote.smoke_test(ctx, contest.name)
    assert (tested["version"], tested["served"]) == ("2", 16)
    assert tested["accuracy"] is not None


class _Stub(BaseHTTPRequestHandler):
    said: dict = {}  # noqa: RUF012 set by each test

    def do_GET(self):
        self._send(self.said.get("health"))

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self._send(self.said.get("answer"))

    def _send(self, body):
        data = json.dumps(body).encode()
        self.send_response(200 if body is not None else 503)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def stub():
    server = HTTPServer(("127.0.0.1", 0), _Stub)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def said_by(seed: int, rows: Rows) -> list:
    import torch

    with torch.inference_mode():
        return network_of_seed(seed)(torch.from_numpy(rows.x[:16])).softmax(dim=1).double().numpy().tolist()


@pytest.mark.parametrize(
    ("seed", "version", "error", "message"),
    [
        (1, "1", None, ""),
        (3, "1", BadInput, "away from those of"),
        (1, "2", Unavailable, "does not serve"),
        (None, "1", BadInput, "shape"),
    ],
)
def test_a_server_that_answers_otherwise_fails_the_smoke_test(contest, stub, seed, version, error, message):
    answer = [] if seed is None else said_by(seed, reference(1))
    _Stub.said = {
        "health": {"model": contest.name, "version": version, "status": "ok"},
        "answer": {"version": version, "probabilities": answer},
    }
    ctx = with_server(contest, stub, wait_s=0.6)
    if error is None:
        assert promote.smoke_test(ctx, contest.name)["served"] == 16
        return
    with pytest.raises(error, match=message):
        promote.smoke_test(ctx, contest.name)


def test_by_hand_too_a_champion_that_does_not_run_is_taken_back(contest, accepted, monkeypatch):
    chosen = contest.ctx.settings
    variables = client_environment(chosen.s3, chosen.mlflow.tracking_uri) | {
        "HERITAGE_ALLOWED_BUILDERS": "torch.nn",
        "HERITAGE_WORK_DIR": str(chosen.work_dir),
        "HERITAGE_PROMOTE__SERVED_AT": "http://127.0.0.1:9",
        "HERITAGE_PROMOTE__SERVED_WAIT_S": "0.1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    monkeypatch.setattr(structlog, "configure", lambda **_: None)  # else it goes on writing to this test's stderr
    failed = CliRunner().invoke(app, ["promote", accepted["address"]])
    settings.cache_clear()
    assert failed.exit_code == 1
    assert f"the move was taken back, {contest.name}/1 is champion" in " ".join(failed.stderr.split())
    assert contest.champion == "1"


def test_a_server_that_is_down_is_waited_for_and_named(contest):
    with pytest.raises(Unavailable, match="does not serve"):
        promote.smoke_test(with_server(contest, "http://127.0.0.1:9", 0.6), contest.name)


def test_a_move_is_taken_back_once_and_the_reason_is_kept(contest, accepted):
    ctx = contest.ctx
    promote.promote(ctx, accepted["address"], accepted["plan"])
    moved = [promote.roll_back(ctx, contest.name, "the smoke test failed", "2") for _ in range(2)]
    assert moved[0] == moved[1] == {"model": contest.name, "version": "1", "replaced": "2"}
    assert contest.champion == "1"
    assert ctx.registry.history(contest.name)[-1].reason == "the smoke test failed"


def test_rows_that_are_all_of_one_class_show_no_gain(contest):
    ctx, rows = contest.ctx, reference(2, 600)
    one = Rows(rows.x[rows.y == 0], np.zeros(int((rows.y == 0).sum()), np.int64))
    windows.keep_rows(ctx, contest.versions[0], "w2", one)
    found = validate.run(ctx, contest.versions[1].address, "w2")
    assert found["gate"]["rows"] <= len(one)
    assert found["decision"] in ("accept", "shadow", "ask_labels", "refuse")
