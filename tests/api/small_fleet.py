"""What the tests of the application make: small versions, verdicts, a decision, and a login by header."""

import dataclasses
import json
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import HTTPException, Request

from heritage.api import Run
from heritage.drift.comparison import ColumnVerdict
from heritage.drift.measures import Interval
from heritage.drift.parts import Family
from heritage.drift.verdict import Verdict
from heritage.flows.check_drift import verdict_key
from heritage.flows.context import Context
from heritage.records import ModelVersion, Origin, ParentEdge, Relation
from heritage.registry import FAMILY, Description
from heritage.weights.write import write_safetensors

HOSTILE = '<img src=x onerror="alert(1)">'
PLAN = "5" * 64


@dataclasses.dataclass(frozen=True)
class Fleet:
    """Six versions: a root, two children, a merge of those two, one by hand, and one with a hostile name."""

    ctx: Context
    versions: Mapping[str, ModelVersion]

    def digest(self, name: str) -> str:
        return self.versions[name].digest


def register(ctx: Context, folder: Path, name: str, parents: tuple[ModelVersion, ...] = ()) -> ModelVersion:
    """A tiny version of `name`, made from `parents`, in the family 'small'."""
    rng = np.random.default_rng(uuid.uuid4().int)
    path = folder / uuid.uuid4().hex / "model.safetensors"
    path.parent.mkdir()
    write_safetensors(path, {"w": rng.normal(size=(4, 3)).astype(np.float32)})
    relation = Relation.MERGE if len(parents) > 1 else Relation.FINETUNE
    edges = tuple(ParentEdge(p.digest, relation, Origin.DECLARED, 1.0, p.name, p.version) for p in parents)
    version = ctx.registry.register(name, path, Description(parents=edges)).version
    ctx.registry.set_tag(version, FAMILY, "small")
    return ctx.registry.version(version.address)


def register_by_hand(ctx: Context, folder: Path, name: str, tags: dict[str, str]) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(ctx.settings.mlflow.tracking_uri)
    run = client.create_run(ctx.registry._connection.experiment_id())
    path = folder / uuid.uuid4().hex / "model.safetensors"
    path.parent.mkdir()
    write_safetensors(path, {"w": np.ones((2, 2), np.float32)})
    client.log_artifact(run.info.run_id, str(path), "weights")
    client.create_registered_model(name)
    client.create_model_version(name, f"runs:/{run.info.run_id}/weights", run.info.run_id, tags=tags)


def judge(ctx: Context, version: ModelVersion, window: str, status: str) -> None:
    """Store a verdict on a window as the drift check does."""
    effect = {"ok": 0.01, "drift": 0.4}[status]
    nan = float("nan")
    columns = {
        name: ColumnVerdict(Family.INPUT, 900, e, e, nan, e, Interval(e, 1.0), nan, 0.5, e, level, judged=True)
        for name, e, level in (("x0", effect, status), ("x1", 0.0, "ok"))
    }
    verdict = Verdict(status, 900, columns, window=window)
    record = {"sources": "", "verdict": verdict.record()}
    ctx.store.put(verdict_key(version, window), json.dumps(record, allow_nan=False).encode())
    ctx.registry.set_tag(version, "heritage.drift", f"{status}:{window}")


def decision() -> dict[str, Any]:
    """What a search stores, in short."""
    return {
        "model": "left", "window": "2026-11-22T02", "champion": "left/1", "decision": "accept", "rung": "hull",
        "reason": "it is better", "gate": {"before": 0.5, "after": 0.8, "gain": 0.3, "rows": 100},
    }  # fmt: skip


@dataclasses.dataclass
class Started:
    """The DAG runs that were asked for."""

    runs: list[tuple[str, dict[str, Any], str]] = dataclasses.field(default_factory=list)

    def __call__(self, dag: str, conf: Mapping[str, Any], user: str) -> Run:
        self.runs.append((dag, dict(conf), user))
        return Run(dag, f"run-{len(self.runs)}")


def login(request: Request) -> str:
    user = request.headers.get("x-user")
    if not user:
        raise HTTPException(401, "log in")
    return user


def may_start(_: str) -> Callable[[Request], str]:
    def check(request: Request) -> str:
        user = login(request)
        if user == "viewer":
            raise HTTPException(403, "viewers start nothing")
        return user

    return check


def until(happened: Callable[[], object], limit_s: float = 30.0) -> None:
    """Wait until it happened."""
    deadline = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
