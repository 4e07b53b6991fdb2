"""A small registry on servers of its own, and the application over it with a login by header."""

import json
import uuid
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from heritage.api import Guard, create_app
from heritage.flows.context import Context
from heritage.local import processes
from heritage.local import tracking as tracking_server
from heritage.records import ModelVersion
from heritage.registry import INITIAL, Registry
from heritage.settings import ApiSettings, MlflowSettings, S3Settings, Settings
from heritage.storage import ObjectStore
from tests.api.small_fleet import (
    HOSTILE,
    PLAN,
    Fleet,
    Started,
    decision,
    judge,
    login,
    may_start,
    register,
    register_by_hand,
)


@pytest.fixture(scope="session")
def api_tracking(seaweed: S3Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = tracking_server.start(tmp_path_factory.mktemp("mlflow-api"), seaweed)
    yield server.uri
    processes.stop(server.process, grace_s=3.0)


@pytest.fixture(scope="session")
def fleet(api_tracking: str, seaweed: S3Settings, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    store = ObjectStore.connect(seaweed.model_copy(update={"bucket": f"api-{uuid.uuid4().hex}"}))
    store.make_bucket()
    settings = Settings(
        mlflow=MlflowSettings(tracking_uri=api_tracking),
        s3=seaweed.model_copy(update={"bucket": store.bucket}),
        api=ApiSettings(refresh_s=0.05, webhook_secret="a secret of this test"),
        work_dir=tmp_path_factory.mktemp("work"),
    )
    ctx = Context(Registry.connect(settings, store), store, settings)
    folder = tmp_path_factory.mktemp("weights")
    versions: dict[str, ModelVersion] = {}
    for name, parents in (("root", ()), ("left", ("root",)), ("right", ("root",)), ("both", ("left", "right"))):
        versions[name] = register(ctx, folder, name, tuple(versions[parent] for parent in parents))
    ctx.registry.promote("left", "1", None, INITIAL)
    by_hand = {"hand": {}, HOSTILE: {"heritage.family": HOSTILE, "note": "<script>alert(1)</script>"}}
    for name, tags in by_hand.items():
        register_by_hand(ctx, folder, name, tags)
    for hour, status in enumerate(("ok", "drift", "drift")):
        judge(ctx, versions["left"], f"2026-11-22T0{hour}", status)
    judge(ctx, versions["right"], "2026-11-22T00", "ok")
    store.put(f"repairs/{PLAN}/decision.json", json.dumps(decision()).encode())
    return Fleet(ctx, versions)


@pytest.fixture
def started() -> Started:
    return Started()


@pytest.fixture
def client(fleet: Fleet, started: Started) -> Iterator[TestClient]:
    """Somebody who may do everything; the header x-user names another."""
    app = create_app(Guard(login, may_start), started, lambda: fleet.ctx, "http://airflow.example")
    with TestClient(app, headers={"x-user": "ana"}) as found:
        found.get("/api/models")
        app.state.services.follower.wait(30.0)
        yield found
