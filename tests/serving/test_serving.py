"""`heritage serve` on real sockets: no request and no row is lost, whatever happens to alias, storage and registry."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from heritage.drift import predictions
from heritage.drift.window import Window, merge_all
from heritage.flows.networks import manifest_of, network_of, state_of
from heritage.flows.profiles import profile_of
from heritage.local.environment import client_environment
from heritage.local.faults import LOST, REFUSED, failure, fault_proxy
from heritage.weights.network import probabilities
from heritage.weights.write import write_safetensors

pytestmark = pytest.mark.services

X = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)


def ask(client, rows, ids=None):
    body = {"instances": rows.tolist(), **({"ids": ids} if ids else {})}
    return client.post("/predict", json=body)


def soon(holds, limit_s=60.0):
    until = time.monotonic() + limit_s
    while not holds() and time.monotonic() < until:
        time.sleep(0.02)
    return holds()


def metric(client, name):
    found = re.search(rf"^{name}(?:{{.*}})? (\S+)$", client.get("/metrics").text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def stored(deployed, version):
    """Rows counted, rows told as lost, and ids of all logged predictions of a version."""
    store, profile = deployed.ctx.store, profile_of(deployed.ctx, version)
    base = f"{version.name}/{version.version}/"
    keys = [key for key in store.list("windows/") if key.startswith(f"windows/{base}")]
    window = merge_all(profile, [Window.from_bytes(profile, store.get(key), key) for key in keys])
    logs = [predictions.from_bytes(store.get(key), key) for key in store.list(f"predictions/{base}")]
    return window.rows, window.lost, [id_ for ids, _ in logs for id_ in ids.tolist()]


def networks(deployed):
    ctx = deployed.ctx
    return {v.version: network_of(ctx, manifest_of(ctx, v), state_of(ctx, v)) for v in deployed.versions}


def test_answers_are_those_of_the_version_with_an_id_each(deployed, serve):
    server = serve()
    found = ask(server.client, X[:5]).json()
    assert (found["model"], found["version"]) == (deployed.name, "1")
    expected = probabilities(networks(deployed)["1"], X[:5])
    np.testing.assert_allclose(found["probabilities"], expected, rtol=1e-5)
    assert found["predictions"] == expected.argmax(axis=1).tolist()
    assert len(set(found["ids"])) == 5
    assert ask(server.client, X[:2], ["order/7", "order/8"]).json()["ids"] == ["order/7", "order/8"]

    server.stop()

    rows, lost, ids = stored(deployed, deployed.versions[0])
    assert (rows, lost) == (7, 0)
    assert sorted(ids) == sorted([*found["ids"], "order/7", "order/8"])


def test_an_alias_that_moves_under_load_loses_no_request_and_no_row(deployed, serve):
    server = serve()
    answers, failed, over = [], [], threading.Event()

    def client(name):
        with httpx.Client(base_url=server.url, timeout=120) as http:
            for i in range(10_000):
                if over.is_set():
                    return
                size = 1 + (i + name) % 7
                ids = [f"c{name}-{i}-{k}" for k in range(size)]
                answer = ask(http, X[i % 50 : i % 50 + size], ids)
                (answers if answer.status_code == 200 else failed).append((i, ids, answer.json()))

    clients = [threading.Thread(target=client, args=(name,)) for name in range(6)]
    for thread in clients:
        thread.start()
    for target in ("2", "1", "2"):
        time.sleep(0.3)
        deployed.point(target)
        assert soon(lambda target=target: server.client.get("/healthz").json()["version"] == target)
    time.sleep(0.2)
    over.set()
    for thread in clients:
        thread.join()
    server.stop()

    assert failed == []
    assert len(answers) > 50
    assert {a["version"] for _, _, a in answers} == {"1", "2"}
    known = networks(deployed)
    whole = {number: probabilities(network, X) for number, network in known.items()}
    for i, ids, answer in answers:
        assert answer["ids"] == ids
        at = i % 50
        np.testing.assert_allclose(answer["probabilities"], whole[answer["version"]][at : at + len(ids)], atol=1e-6)
    for version in deployed.versions:
        expected = sorted(id_ for _, ids, a in answers if a["version"] == version.version for id_ in ids)
        rows, lost, logged = stored(deployed, version)
        assert (rows, lost) == (len(expected), 0)
        assert sorted(logged) == expected


def test_a_request_in_flight_ends_with_the_weights_it_began_with(deployed, serve):
    server = serve(poll_s=3600)
    with server.champion.using() as old:
        deployed.point("2")
        assert server.champion.refresh()
        assert ask(server.client, X[:1]).json()["version"] == "2"
        said = old.answer(X[:3], ("a", "b", "c"))
        assert old.version.version == "1"
        assert old.agent.status.dropped == 0
    np.testing.assert_allclose(said, probabilities(networks(deployed)["1"], X[:3]), rtol=1e-6)
    # the last request is over, so the old agent has been told to write
    assert soon(lambda: stored(deployed, deployed.versions[0])[0] == 3)


def test_a_champion_that_cannot_be_loaded_leaves_the_old_one_serving(deployed, serve, tmp_path):
    server = serve()
    # given a version whose network belongs to no allowed package
    from heritage.records import Architecture
    from heritage.registry import Description

    write_safetensors(tmp_path / "w.safetensors", {"w": X})
    described = Description(architecture=Architecture("evil.package:run"))
    bad = deployed.ctx.registry.register(deployed.name, tmp_path / "w.safetensors", described).version
    deployed.point(bad.version)

    assert soon(lambda: server.client.get("/healthz").json()["status"] == "stale")
    health = server.client.get("/healthz")
    assert health.status_code == 200
    assert health.json()["version"] == "1"
    assert "evil.package" in health.json()["problem"]
    assert ask(server.client, X[:3]).json()["version"] == "1"
    assert metric(server.client, "heritage_stale") == 1
    # it is not downloaded again at every look
    time.sleep(0.5)
    assert server.champion.failures <= 4

    deployed.point("2")
    assert soon(lambda: server.client.get("/healthz").json()["status"] == "ok")
    assert ask(server.client, X[:3]).json()["version"] == "2"


def test_with_storage_away_rows_are_kept_and_written_later(deployed, serve):
    s3 = deployed.ctx.settings.s3
    with fault_proxy(urlsplit(s3.endpoint_url).port) as proxy:
        server = serve(s3=s3.model_copy(update={"endpoint_url": proxy.url}), flush_deadline_s=0.5)
        proxy.plan(then=REFUSED)
        for _ in range(5):
            assert ask(server.client, X[:10]).status_code == 200
        assert soon(lambda: metric(server.client, "heritage_drift_flush_failures_total") >= 2)
        assert metric(server.client, "heritage_drift_rows_waiting") == 50
        assert metric(server.client, "heritage_drift_rows_dropped_total") == 0
        # and back: slow, with lost answers, then well
        proxy.plan(failure(503, "SlowDown"), LOST)
        assert soon(lambda: metric(server.client, "heritage_drift_rows_flushed_total") == 50)
        server.stop()
    rows, lost, ids = stored(deployed, deployed.versions[0])
    assert (rows, lost, len(set(ids)), len(ids)) == (50, 0, 50, 50)


def test_rows_lost_with_a_replaced_version_stay_in_the_metrics(deployed, serve):
    s3 = deployed.ctx.settings.s3
    with fault_proxy(urlsplit(s3.endpoint_url).port) as proxy:
        server = serve(s3=s3.model_copy(update={"endpoint_url": proxy.url}), close_s=0.2, flush_deadline_s=0.5)
        proxy.plan(then=REFUSED)
        assert ask(server.client, X[:20]).status_code == 200
        deployed.point("2")
        assert soon(lambda: metric(server.client, "heritage_drift_rows_dropped_total") == 20)
        proxy.plan()
        assert ask(server.client, X[:20]).json()["version"] == "2"
        assert soon(lambda: metric(server.client, "heritage_drift_rows_flushed_total") == 20)
        assert metric(server.client, "heritage_drift_rows_observed_total") == 40
        assert metric(server.client, "heritage_drift_rows_dropped_total") == 20
        server.stop()
    assert stored(deployed, deployed.versions[0])[0] == 0
    assert stored(deployed, deployed.versions[1])[0] == 20


def test_a_registry_that_is_away_is_told_and_harms_nobody(deployed, serve, monkeypatch):
    server = serve()
    real = server.champion._find
    monkeypatch.setattr(server.champion, "_find", lambda: real() and (_ for _ in ()).throw(ConnectionError("away")))
    assert soon(lambda: "away" in server.client.get("/healthz").json()["problem"])
    assert ask(server.client, X[:3]).status_code == 200
    monkeypatch.setattr(server.champion, "_find", real)
    assert soon(lambda: server.client.get("/healthz").json()["status"] == "ok")


def test_a_version_without_a_profile_answers_and_is_not_watched(deployed, serve, tmp_path):
    import torch

    from heritage.flows import register
    from heritage.records import Architecture

    write_safetensors(tmp_path / "bare.safetensors", torch.nn.Linear(4, 2).state_dict())
    network = Architecture("torch.nn:Linear", {"in_features": 4, "out_features": 2})
    bare = register.Registration(f"{deployed.name}-bare", tmp_path / "bare.safetensors", network)
    server = serve(register.run(deployed.ctx, bare).address)
    assert server.client.get("/healthz").json()["watched"] is False
    assert ask(server.client, X[:3]).status_code == 200
    assert "takes inputs" in ask(server.client, X[:3, :2]).text or ask(server.client, X[:3, :2]).status_code == 422


def test_sigterm_finishes_and_writes_what_was_seen(deployed, tmp_path):
    ctx = deployed.ctx
    environment = {
        **os.environ,
        **client_environment(ctx.settings.s3, ctx.settings.mlflow.tracking_uri),
        "HERITAGE_ALLOWED_BUILDERS": "torch.nn",
        "HERITAGE_WORK_DIR": str(ctx.settings.work_dir),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "heritage.cli", "serve", f"{deployed.name}@champion", "--port", "0"]
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            line = process.stdout.readline()
            url = re.search(r"http://127\.0\.0\.1:\d+", line).group()
            assert f"serving {deployed.name}/1 at" in line
            with httpx.Client(base_url=url, timeout=120) as client:
                assert ask(client, X[:40]).status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(120) == 0, process.stderr.read()
        finally:
            process.kill()
    assert stored(deployed, deployed.versions[0])[:2] == (40, 0)
