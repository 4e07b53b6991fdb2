"""What flows tell OpenLineage, on a real registry, through the client's own file transport."""

import json
import uuid

import numpy as np
import pytest

from heritage.drift.verdict import Verdict
from heritage.flows import news, register
from heritage.flows.context import Context
from heritage.records import Origin, ParentEdge, Relation
from heritage.registry import Registry
from heritage.settings import EventsSettings, MlflowSettings, Settings
from heritage.weights.write import write_safetensors

pytestmark = pytest.mark.services


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Reads the events that were sent."""
    from heritage.events.emit import _client

    file = tmp_path / "events.jsonl"
    transport = {"type": "file", "log_file_path": str(file), "append": True}
    monkeypatch.setenv("OPENLINEAGE__TRANSPORT", json.dumps(transport))
    _client.cache_clear()
    yield lambda: [json.loads(line) for line in file.read_text().splitlines()]
    _client.cache_clear()


def test_registration_verdict_decision_and_promotion_are_told(tracking, store, tmp_path, told):
    settings = Settings(mlflow=MlflowSettings(tracking_uri=tracking), events=EventsSettings(openlineage=True))
    ctx = Context(Registry(tracking, store), store, settings)
    name = f"m-{uuid.uuid4().hex[:12]}"
    edge = ParentEdge("a" * 64, Relation.FINETUNE, Origin.DECLARED, 1.0, "base", "1")
    write_safetensors(tmp_path / "model.safetensors", {"w": np.random.default_rng(0).normal(size=(4, 3)).astype("f4")})

    version = register.run(ctx, register.Registration(name, tmp_path / "model.safetensors", parents=(edge,)))
    news.judged(ctx, version, Verdict("ok", 10, {}, window="2026-11-22T07"))
    gate = {"before": 0.5, "after": 0.75, "gain": 0.25, "rows": 8}
    news.decided(
        ctx,
        {
            "champion": f"{name}/1",
            "plan": "5" * 64,
            "decision": "accept",
            "coefficients": {"base/1": 0.5},
            "gate": gate,
        },
    )
    news.promoted(ctx, "promote", {"model": name, "version": "2", "replaced": "1"})

    ended = [event for event in told() if event["eventType"] == "COMPLETE"]
    jobs = [(e["job"]["name"], [d["name"] for d in e["inputs"]], [d["name"] for d in e["outputs"]]) for e in ended]
    assert jobs == [
        ("register", ["base/1"], [f"{name}/1"]),
        ("drift_check", [f"{name}/1"], []),
        ("repair", [f"{name}/1", "base/1"], []),
        ("promote", [f"{name}/1"], [f"{name}/2"]),
    ]
    assert {dataset["namespace"] for event in ended for dataset in event["outputs"]} == {tracking}
    assert ended[0]["outputs"][0]["facets"]["heritage_model"]["digest"] == version.digest
    assert ended[2]["run"]["facets"]["heritage_result"]["result"]["gain"] == 0.25
