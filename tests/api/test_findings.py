"""Drift, repairs, labels and audit, as the pages read them."""

import json

import numpy as np
import pytest

from heritage.flows import audit
from heritage.labelling.pool import Selection
from heritage.labelling.request import RequestOptions, make_request
from heritage.rows import Rows, to_npz
from tests.api.small_fleet import PLAN


def test_the_fleet_is_listed_worst_first(client):
    found = client.get("/api/drift").json()["models"]
    assert [(m["address"], m["health"], m["verdict"]["columns"]) for m in found] == [
        ("left/1", "drift", ["x0"]),
        ("right/1", "ok", []),
    ]
    first = client.get("/api/drift?limit=1").json()
    assert client.get("/api/drift", params={"limit": 1, "cursor": first["next"]}).json()["models"] == found[1:]


def test_the_windows_of_a_version_run_from_old_to_new(client):
    found = client.get("/api/models/left@champion/drift").json()
    assert [(t["window"], t["status"]) for t in found["timeline"]] == [
        ("2026-11-22T00", "ok"),
        ("2026-11-22T01", "drift"),
        ("2026-11-22T02", "drift"),
    ]
    assert [(c["name"], c["level"], c["psi"], c["kl"]) for c in found["columns"]] == [
        ("x0", "drift", 0.4, None),
        ("x1", "ok", 0.0, None),
    ]
    assert found["series"]["x0"]["psi"] == [0.01, 0.4, 0.4]
    assert found["series"]["x0"]["kl"] == [None, None, None]
    assert "heritage/drift/2026-11-22T02.html" in found["report"]


def test_windows_and_columns_are_as_many_as_asked_for(client):
    found = client.get("/api/models/left/1/drift?windows=1&columns=1").json()
    assert [t["window"] for t in found["timeline"]] == ["2026-11-22T02"]
    assert list(found["series"]) == ["x0"]
    assert list(client.get("/api/models/left/1/drift?column=x1").json()["series"]) == ["x1"]
    assert client.get("/api/models/root/1/drift").json()["timeline"] == []


def test_a_repair_is_told_in_short_and_in_full(client):
    found = client.get("/api/repairs?model=left").json()["repairs"]
    assert [(r["plan"], r["kind"], r["decision"], r["before"], r["after"]) for r in found] == [
        (PLAN, "repair", "accept", 0.5, 0.8)
    ]
    assert client.get("/api/repairs?decision=refuse").json()["repairs"] == []
    whole = client.get(f"/api/repairs/{PLAN}").json()
    assert (whole["repair"], whole["decision"]["gate"]["rows"]) == (found[0], 100)
    assert client.get(f"/api/repairs/{'0' * 64}").status_code == 404
    assert client.get("/api/repairs/..%2Fjournal").status_code in (404, 422)


def test_the_moves_of_a_champion_are_told(client):
    found = client.get("/api/moves?model=left").json()
    assert [(m["kind"], m["version"], m["state"]) for m in found["moves"]] == [("initial", "1", "done")]
    assert client.get("/api/moves?model=nobody").json() == {"model": "nobody", "moves": [], "by_hand": []}
    assert client.get("/api/moves?model=..%2Fx").status_code == 400


@pytest.fixture
def request_id(fleet) -> str:
    """A request for the labels of three rows."""
    rows = Rows(np.arange(6, dtype=np.float32).reshape(3, 2))
    options = RequestOptions(
        "left/1", fleet.digest("left"), "2026-11-22T02", ("no", "yes"), "random", deadline="2999-01-01T00:00:00+00:00"
    )
    wanted = make_request(rows, Selection(np.arange(3), ("random",) * 3), options)
    base = f"labels/{wanted.request_id}/"
    for name, data in (
        ("rows.npz", to_npz(wanted.rows)),
        ("tasks.jsonl", wanted.tasks),
        ("manifest.json", wanted.manifest),
    ):
        fleet.ctx.store.create(base + name, data)
    yield wanted.request_id
    for key in list(fleet.ctx.store.list(base)):
        fleet.ctx.store.delete(key)


def test_people_answer_under_their_own_names(client, request_id):
    assert [r["request"] for r in client.get("/api/labels").json()["requests"]] == [request_id]
    tasks = client.get(f"/api/labels/{request_id}/tasks?limit=2").json()
    assert (tasks["total"], len(tasks["tasks"]), tasks["classes"]) == (3, 2, ["no", "yes"])

    answers = [{k: t[k] for k in ("sample_id", "row_sha256")} | {"label": "yes"} for t in tasks["tasks"]]
    told = client.post(f"/api/labels/{request_id}/answers", json={"answers": answers})

    assert (told.status_code, told.json()["answered"], told.json()["added"]) == (200, 2, 2)
    assert told.json()["annotators"] == {"ana": 2}
    assert [t["label"] for t in client.get(f"/api/labels/{request_id}/tasks").json()["tasks"]] == [1, 1, None]
    others = client.get(f"/api/labels/{request_id}/tasks", headers={"x-user": "bo"}).json()["tasks"]
    assert {t["label"] for t in others} == {None}


def test_answers_that_fit_no_task_change_nothing(client, request_id):
    task = client.get(f"/api/labels/{request_id}/tasks").json()["tasks"][0]
    good = {"sample_id": task["sample_id"], "row_sha256": task["row_sha256"], "label": "no"}
    for wrong, status in (
        ({**good, "row_sha256": "0" * 64}, 400),
        ({**good, "label": "perhaps"}, 400),
        ({**good, "sample_id": "another"}, 400),
        ({**good, "annotator": "the boss"}, 422),
        ({**good, "label": True}, 422),
    ):
        assert client.post(f"/api/labels/{request_id}/answers", json={"answers": [good, wrong]}).status_code == status
    viewer = client.post(f"/api/labels/{request_id}/answers", json={"answers": [good]}, headers={"x-user": "viewer"})
    assert viewer.status_code == 403
    assert client.get(f"/api/labels/{request_id}").json()["answered"] == 0


def test_the_audit_is_told_as_it_was_stored(client, fleet):
    assert client.get("/api/audit").json() == {"findings": [], "counts": {}, "total": 0, "audited_at": "", "next": None}
    stored = audit.run(fleet.ctx)
    try:
        found = client.get("/api/audit?limit=1000").json()
        assert found["counts"] == stored["counts"]
        assert found["findings"] == json.loads(json.dumps(stored["findings"]))
        errors = client.get("/api/audit?severity=error").json()
        assert errors["total"] == stored["counts"]["error"]
    finally:
        fleet.ctx.store.delete(audit.KEY)
