"""From a request to a repair: a served champion drifts, labels come late by prediction id, its relatives mend it."""

import dataclasses
import socket
import threading
from functools import partial

import httpx
import numpy as np
import pytest

from heritage.demo import stage as demo
from heritage.flows import check_drift, late_labels, repair, windows
from heritage.serving.champion import Champion
from heritage.serving.served import load
from heritage.serving.server import server_of
from heritage.settings import ServeSettings

pytestmark = [pytest.mark.services, pytest.mark.slow]


def test_what_a_server_saw_is_enough_to_repair_its_model(stage):
    own = ServeSettings(keep_rows=True, close_s=60.0)
    ctx = dataclasses.replace(stage.ctx, settings=stage.ctx.settings.model_copy(update={"serve": own}))
    version, seen = stage.champion, demo.hours(0)["hour-03"]
    for key in [k for kind in ("windows", "rows") for k in ctx.store.list(f"{kind}/")]:
        ctx.store.delete(key)  # what the stage's own hours left
    champion = Champion(partial(ctx.registry.version, f"{version.name}@champion"), partial(load, ctx))
    champion.start()
    server = server_of(champion, own)
    ids = [f"row-{i}" for i in range(len(seen))]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with httpx.Client(base_url=url, timeout=120) as client:
            for start in range(0, len(seen), 50):
                body = {"instances": seen.x[start : start + 50].tolist(), "ids": ids[start : start + 50]}
                assert client.post("/predict", json=body).status_code == 200
        server.should_exit = True
        thread.join()

    labelled = int(0.75 * len(seen))
    taken = late_labels.take(ctx, version.name, ids[:labelled], seen.y[:labelled])
    checked = check_drift.run(ctx, version.address)
    found = repair.search(ctx, version.name, checked["window"])

    assert (taken["taken"], taken["unknown"]) == (labelled, 0)
    assert checked["status"] == "drift"
    assert {"input", "performance"} <= set(checked["moved"])
    assert checked["ancestors"]
    kept = windows.read_rows(ctx, version, [checked["window"]])
    assert len(kept.labelled) == len(np.unique(seen.x[:labelled].reshape(labelled, -1), axis=0))
    assert found["decision"] == "accept", found["reason"]
    assert found["gate"]["gain"] > 0.1
