"""The agent against a real S3 server."""

import threading

import numpy as np

from heritage.drift import predictions
from heritage.drift.agent import DriftAgent, Limits
from heritage.drift.columns import as_frame
from heritage.drift.profile import DriftProfile
from heritage.drift.window import Window, merge_all

X = np.random.default_rng(0).normal(size=(2_000, 5)).astype(np.float32)
P = np.random.default_rng(1).dirichlet(np.ones(3), 2_000).astype(np.float32)
INPUTS, OUTPUTS = as_frame(X, P)
PROFILE = DriftProfile.fit(INPUTS, outputs=OUTPUTS)


def stored(store):
    keys = [key for key in store.list("windows/digits/3/") if key.endswith(".npz")]
    return merge_all(PROFILE, [Window.from_bytes(PROFILE, store.get(key), key) for key in keys])


def test_four_agents_write_every_row_once(store):
    agents = [
        DriftAgent(PROFILE, store.create, "digits", "3", limits=Limits(fold_rows=64, flush_rows=200)) for _ in range(4)
    ]

    def serve(agent, first):
        for start in range(first, first + 500, 50):
            agent.observe(X[start : start + 50], P[start : start + 50], [f"id-{i}" for i in range(start, start + 50)])

    threads = [threading.Thread(target=serve, args=(agent, 500 * i)) for i, agent in enumerate(agents)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for agent in agents:
        agent.close()
    assert stored(store).to_bytes() == Window.empty(PROFILE).update(INPUTS, OUTPUTS).to_bytes()
    logs = [predictions.from_bytes(store.get(key), key) for key in store.list("predictions/digits/3/")]
    assert sorted(id_ for ids, _ in logs for id_ in ids) == sorted(f"id-{i}" for i in range(2_000))


def test_a_named_producer_that_runs_again_adds_nothing(store):
    for _ in range(2):
        with DriftAgent(PROFILE, store.create, "digits", "3", producer="nightly", window_of=lambda _: "w") as agent:
            agent.observe(X[:300], P[:300])
    assert (agent.status.flushed, agent.status.repeated) == (0, 300)
    assert stored(store).rows == 300
