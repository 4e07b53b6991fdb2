"""The agent: counts everything once, from many threads, through outages, and never disturbs its host."""

import logging
import os
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pandas as pd
import pytest

from heritage.drift import outbox, predictions
from heritage.drift.agent import DriftAgent, Limits, hour_of
from heritage.drift.columns import as_frame
from heritage.drift.outbox import Address
from heritage.drift.profile import DriftProfile
from heritage.drift.verdict import check
from heritage.drift.window import Window, merge_all
from heritage.errors import BadInput, UnsafeName
from heritage.rows import Rows, concatenate, from_npz

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4_000, 6)).astype(np.float32)
P = RNG.dirichlet(np.ones(3), 4_000).astype(np.float32)
INPUTS, OUTPUTS = as_frame(X, P)
PROFILE = DriftProfile.fit(INPUTS, outputs=OUTPUTS)
QUICK = Limits(flush_s=0.05, close_s=0.3)


class Storage:
    """A sink that keeps what it is given, and can be away or lose answers."""

    def __init__(self):
        self.objects, self.away, self.lose_answers, self.calls = {}, False, False, 0
        self._lock = threading.Lock()

    def create(self, key, data):
        with self._lock:
            self.calls += 1
            if self.away:
                raise ConnectionError("storage is away")
            created = key not in self.objects
            self.objects.setdefault(key, data)
            if self.lose_answers:
                raise TimeoutError("no answer")
            return created

    def windows(self):
        found = {}
        for key, data in sorted(self.objects.items()):
            if key.startswith("windows/"):
                found.setdefault(key.split("/")[3], []).append(Window.from_bytes(PROFILE, data, key))
        return {window: merge_all(PROFILE, pieces) for window, pieces in found.items()}


@pytest.fixture
def storage():
    return Storage()


@pytest.fixture
def clock():
    class Clock:
        now = 1_795_330_800.0  # 2026-11-22T07:00 UTC

        def __call__(self):
            return self.now

    return Clock()


@pytest.fixture
def agent(storage, clock):
    with DriftAgent(PROFILE, storage.create, "digits", "3", limits=Limits(close_s=0.3), clock=clock) as made:
        yield made


def counted(status):
    return (status.observed, status.flushed, status.repeated, status.dropped, status.waiting)


def direct(rows):
    return Window.empty(PROFILE).update(*as_frame(X[:rows], P[:rows]))


def test_what_was_observed_is_written_as_if_counted_at_once(agent, storage):
    for start in range(0, 1_000, 37):
        agent.observe(X[start : min(start + 37, 1_000)], P[start : min(start + 37, 1_000)])
    assert agent.flush()
    (window,) = storage.windows().values()
    assert window.to_bytes() == direct(1_000).to_bytes()
    assert counted(agent.status) == (1_000, 1_000, 0, 0, 0)


def test_keys_name_model_version_window_producer_and_number(storage, clock):
    with DriftAgent(PROFILE, storage.create, "digits", "3", producer="gpu-7", clock=clock) as agent:
        agent.observe(X[:5], P[:5])
        agent.flush()
        clock.now += 3_600
        agent.observe(X[:7], P[:7])
    assert sorted(storage.objects) == [
        "windows/digits/3/2026-11-22T07/gpu-7-000001.npz",
        "windows/digits/3/2026-11-22T08/gpu-7-000002.npz",
    ]
    assert {k: w.rows for k, w in storage.windows().items()} == {"2026-11-22T07": 5, "2026-11-22T08": 7}


def test_rows_belong_to_the_window_in_which_they_were_observed(agent, storage, clock):
    agent.observe(X[:5], P[:5])
    clock.now += 7_200
    agent.observe(X[:9], P[:9])
    agent.flush()
    assert {k: w.rows for k, w in storage.windows().items()} == {"2026-11-22T07": 5, "2026-11-22T09": 9}


def test_frames_and_single_rows_by_name_are_taken_too(agent, storage):
    agent.observe(INPUTS.iloc[:50], P[:50])
    for i in range(50, 60):
        agent.observe(INPUTS.iloc[i].to_dict(), P[i : i + 1])
    agent.flush()
    (window,) = storage.windows().values()
    assert window.counters.tolist() == direct(60).counters.tolist()


def test_later_changes_of_the_callers_arrays_do_not_matter(agent, storage):
    x, p = X[:100].copy(), P[:100].copy()
    agent.observe(x, p)
    x[:], p[:] = 99, 0
    agent.flush()
    (window,) = storage.windows().values()
    assert window.to_bytes() == direct(100).to_bytes()


def test_eight_threads_lose_no_row(storage):
    limits = Limits(fold_rows=512, max_waiting_rows=2_000, flush_rows=5_000, flush_s=0.02)
    with DriftAgent(PROFILE, storage.create, "digits", "3", limits=limits) as agent:

        def serve(name):
            for i in range(100):
                agent.observe(X[i : i + 17], P[i : i + 17], [f"{name}-{i}-{k}" for k in range(17)])

        threads = [threading.Thread(target=serve, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counted(agent.status) == (13_600, 13_600, 0, 0, 0)
    assert sum(window.rows for window in storage.windows().values()) == 13_600
    logs = [predictions.from_bytes(d, k) for k, d in storage.objects.items() if k.startswith("predictions/")]
    assert len({id_ for ids, _ in logs for id_ in ids}) == 13_600


def test_flushes_come_by_time_and_by_count(storage):
    with DriftAgent(PROFILE, storage.create, "digits", "3", limits=QUICK) as agent:
        agent.observe(X[:10], P[:10])
        assert _soon(lambda: agent.status.flushed == 10)
    by_count = Limits(fold_rows=64, flush_rows=200, flush_s=3_600.0)
    with DriftAgent(PROFILE, storage.create, "digits", "3", limits=by_count) as agent:
        for _ in range(5):
            agent.observe(X[:100], P[:100])
        assert _soon(lambda: agent.status.flushed >= 200)


def _soon(holds, limit_s=10.0):
    until = time.monotonic() + limit_s
    while not holds() and time.monotonic() < until:
        time.sleep(0.01)
    return holds()


# --- storage away


def test_an_outage_loses_nothing_and_counts_nothing_twice(agent, storage, caplog):
    storage.away = True
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            agent.observe(X[:100], P[:100])
            assert not agent.flush()
    assert counted(agent.status) == (500, 0, 0, 0, 500)
    assert agent.status.failures == 5
    assert agent.status.last_error == "ConnectionError: storage is away"
    assert len([r for r in caplog.records if "storage is away" in r.message]) == 1  # once, not every time
    storage.away = False
    assert agent.flush()
    assert counted(agent.status) == (500, 500, 0, 0, 0)
    assert sum(window.rows for window in storage.windows().values()) == 500


def test_a_lost_answer_is_not_counted_twice(agent, storage):
    storage.lose_answers = True
    agent.observe(X[:100], P[:100])
    assert not agent.flush()
    assert len(storage.objects) == 1
    storage.lose_answers = False
    assert agent.flush()
    assert counted(agent.status) == (100, 100, 0, 0, 0)
    assert sum(window.rows for window in storage.windows().values()) == 100


def test_memory_stays_bounded_through_a_long_outage_and_lost_rows_are_told(agent, storage, clock, monkeypatch):
    monkeypatch.setattr(outbox, "MAX_WINDOWS", 4)
    storage.away = True
    for _ in range(10):
        agent.observe(X[:10], P[:10])
        agent.flush()
        clock.now += 3_600
    box = agent._outbox
    assert len(box.open) == 4
    assert len(box.pieces) == 1
    assert counted(agent.status) == (100, 0, 0, 50, 50)
    storage.away = False
    agent.flush()
    windows = storage.windows()
    assert sum(window.rows for window in windows.values()) == 50
    assert sum(window.lost for window in windows.values()) == 50
    told = check(PROFILE, merge_all(PROFILE, list(windows.values())))
    assert told.quality["lost_rows"] == 50


def test_closing_while_storage_is_away_ends_in_time_and_says_what_is_lost(storage, caplog):
    storage.away = True
    agent = DriftAgent(PROFILE, storage.create, "digits", "3", limits=QUICK)
    agent.observe(X[:30], P[:30])
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        agent.close()
    assert time.monotonic() - started < 3
    assert counted(agent.status) == (30, 0, 0, 30, 0)
    assert "30 rows dropped at close" in caplog.text


def test_a_sink_that_hangs_does_not_hang_the_serving(clock):
    hanging, release = threading.Event(), threading.Event()

    def sink(key, data):
        hanging.set()
        release.wait(10)
        return True

    agent = DriftAgent(PROFILE, sink, "digits", "3", limits=QUICK, clock=clock)
    agent.observe(X[:10], P[:10])
    assert hanging.wait(5)
    started = time.monotonic()
    for _ in range(50):
        agent.observe(X[:10], P[:10])
        agent.observe("nonsense", 3)
    assert agent.status.observed == 10 + 50 * 18
    assert time.monotonic() - started < 2
    closing = threading.Thread(target=agent.close)
    closing.start()
    closing.join(5)
    assert not closing.is_alive()
    release.set()
    assert _soon(lambda: not agent._sending.locked())
    status = agent.status
    assert status.observed == status.flushed + status.repeated + status.dropped + status.waiting


def test_a_producer_that_dies_and_repeats_itself_is_counted_once(storage, clock):
    for _ in range(2):  # a batch job with a name of its own, run twice
        with DriftAgent(PROFILE, storage.create, "digits", "3", producer="batch-17", clock=clock) as agent:
            agent.observe(X[:200], P[:200])
            agent.flush()
            agent.observe(X[200:300], P[200:300])
    assert counted(agent.status) == (300, 0, 300, 0, 0)
    (window,) = storage.windows().values()
    assert window.to_bytes() == direct(300).to_bytes()


def test_producers_without_a_name_never_collide(storage, clock):
    for _ in range(3):
        with DriftAgent(PROFILE, storage.create, "digits", "3", clock=clock) as agent:
            agent.observe(X[:10], P[:10])
    assert len(storage.objects) == 3


# --- bad batches


@pytest.mark.parametrize(
    "batch",
    [
        (None,),
        (object(), P[:3]),
        (X[:3], P[:2]),
        (X[:3], P[:3], ["one id"]),
        (np.array(["a", "b"]), P[:2]),
        (X[:3], np.zeros((3, 1), np.float32)),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]),),
        ({"x0": [1, 2]}, P[:2]),
    ],
)
def test_a_bad_batch_is_counted_never_raised_and_takes_nothing_with_it(agent, storage, batch):
    agent.observe(X[:100], P[:100])
    agent.observe(*batch)
    agent.observe(X[100:200], P[100:200])
    assert agent.flush()
    status = agent.status
    assert status.flushed == 200
    assert status.observed == 200 + status.dropped
    assert status.dropped >= 1
    assert status.last_error
    (window,) = storage.windows().values()
    assert window.lost == status.dropped
    assert window.counters.tolist() == direct(200).counters.tolist()


def test_rows_of_another_shape_are_schema_and_not_lost(agent, storage):
    agent.observe(X[:100, :4], P[:100])
    agent.flush()
    (window,) = storage.windows().values()
    assert check(PROFILE, window).status == "schema"
    assert set(check(PROFILE, window).schema) == {"x4", "x5"}


def test_a_bad_window_name_drops_rows_instead_of_raising(storage):
    with DriftAgent(PROFILE, storage.create, "digits", "3", limits=QUICK, window_of=lambda _: "../up") as agent:
        agent.observe(X[:10], P[:10])
        assert agent.status.dropped == 10
    assert storage.objects == {}
    assert "'../up' is not allowed" in agent.status.last_error


def test_observing_after_close_is_counted_as_dropped(agent):
    agent.close()
    agent.observe(X[:10], P[:10])
    agent.close()
    assert counted(agent.status) == (10, 0, 0, 10, 0)


@pytest.mark.parametrize("wrong", [("../m", "1", "p"), ("m", "one", "p"), ("m", "1", "a/b"), ("m", "1", "")])
def test_addresses_are_checked(wrong):
    with pytest.raises(UnsafeName):
        Address(*wrong)


# --- predictions by id


def test_predictions_are_kept_by_id_and_joined_with_late_labels(agent, storage):
    agent.observe(X[:50], P[:50], [f"id-{i}" for i in range(50)])
    agent.observe(X[50:60], P[50:60])
    agent.observe(X[60:90], P[60:90], [f"id-{i}" for i in range(60, 90)])
    agent.flush()
    ((key, data),) = [item for item in storage.objects.items() if item[0].startswith("predictions/digits/3/")]
    ids, probabilities = predictions.from_bytes(data, key)
    assert ids.tolist() == [f"id-{i}" for i in [*range(50), *range(60, 90)]]
    joined, labels = predictions.join(ids, probabilities, ["id-70", "id-3", "unknown"], np.array([2, 0, 1]))
    assert joined.tolist() == [P[70].tolist(), P[3].tolist()]
    assert labels.tolist() == [2, 0]


def test_joining_takes_the_last_answer_and_the_last_label():
    ids = np.array(["a", "b", "a"])
    p = np.array([[0.1, 0.9], [0.5, 0.5], [0.8, 0.2]], np.float32)
    joined, labels = predictions.join(ids, p, ["a", "a"], np.array([0, 1]))
    assert joined.tolist() == [p[2].tolist()]
    assert labels.tolist() == [1]
    nothing, none = predictions.join(ids, p, [], np.array([], np.int64))
    assert (nothing.shape, none.shape) == ((0, 2), (0,))
    with pytest.raises(BadInput, match="give one label an id"):
        predictions.join(ids, p, ["a"], np.array([0, 1]))


def test_a_damaged_log_is_refused():
    good = predictions.to_bytes(np.array(["a"]), np.ones((1, 2), np.float32))
    assert predictions.from_bytes(good, "k")[0].tolist() == ["a"]
    with pytest.raises(BadInput, match=r"k: \(2,\) ids for probabilities of shape \(1, 2\)"):
        predictions.from_bytes(predictions.to_bytes(np.array(["a", "b"]), np.ones((1, 2), np.float32)), "k")
    with pytest.raises(BadInput, match="not a heritage prediction log"):
        predictions.from_bytes(PROFILE.to_bytes(), "k")


def test_late_labels_survive_their_file_and_damaged_ones_are_refused():
    came = predictions.LateLabels(np.array(["a", "b"]), np.array([1, 0]), "2026-01-05T07:00:00+00:00")
    again = predictions.LateLabels.from_bytes(came.to_bytes(), "k")
    assert (again.ids.tolist(), again.labels.tolist(), again.arrived) == (["a", "b"], [1, 0], came.arrived)
    assert again.digest == came.digest
    later = predictions.LateLabels(came.ids, came.labels, "2027-01-01T00:00:00+00:00")
    assert later.digest == came.digest  # the same labels again are the same labels
    for wrong in (
        predictions.LateLabels(came.ids, came.labels[:1]),
        predictions.LateLabels(came.ids, came.labels.astype(float)),
        predictions.LateLabels(np.array([1, 2]), came.labels),
    ):
        with pytest.raises(BadInput, match=r"k: .*damaged"):
            predictions.LateLabels.from_bytes(wrong.to_bytes(), "k")
    with pytest.raises(BadInput, match="not a heritage late labels"):
        predictions.LateLabels.from_bytes(PROFILE.to_bytes(), "k")


def test_rows_are_kept_where_that_is_asked_for(storage, clock, monkeypatch):
    with DriftAgent(PROFILE, storage.create, "digits", "3", clock=clock, keep_rows=True) as agent:
        storage.away = True
        agent.observe(X[:50], P[:50], [f"id-{i}" for i in range(50)])
        agent.observe(X[50:60], P[50:60])
        agent.observe(INPUTS.iloc[:5], P[:5])
        assert not agent.flush()
        storage.away = False
        assert agent.flush()
        monkeypatch.setattr(outbox, "MAX_KEPT_BYTES", X[:30].nbytes)
        agent.observe(X[:20], P[:20])
        agent._fold_all()
        agent.observe(X[20:40], P[20:40])
        assert agent.flush()
    kept = [
        from_npz(data, key) for key, data in storage.objects.items() if key.startswith("rows/digits/3/2026-11-22T07/")
    ]
    assert agent.status.unkept == 20
    assert agent.status.flushed == 105
    rows = concatenate([Rows(part.x) for part in kept]).x
    assert sorted(rows.tolist()) == sorted([*X[:60].tolist(), *X[:20].tolist()])


def test_kept_rows_carry_the_ids_of_their_predictions(agent, storage, clock):
    assert not any(key.startswith("rows/") for key in storage.objects)
    with DriftAgent(PROFILE, storage.create, "digits", "4", clock=clock, keep_rows=True) as keeping:
        keeping.observe(X[:30], P[:30], [f"id-{i}" for i in range(30)])
    ((key, data),) = [item for item in storage.objects.items() if item[0].startswith("rows/")]
    kept = from_npz(data, key)
    assert kept.ids.tolist() == [f"id-{i}" for i in range(30)]
    assert kept.x.tolist() == X[:30].tolist()


def test_logs_are_bounded_too(agent, monkeypatch):
    monkeypatch.setattr(outbox, "MAX_LOGGED", 60)
    agent.observe(X[:50], P[:50], [str(i) for i in range(50)])
    agent._fold_all()
    agent.observe(X[:50], P[:50], [str(i) for i in range(50)])
    agent.flush()
    assert agent.status.unlogged == 50
    assert agent.status.flushed == 100


# --- the host process


def run(code, *, expect=0):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == expect, done.stderr
    return done.stdout


PREAMBLE = """
import os, sys
import numpy as np
from heritage.drift.agent import DriftAgent
from heritage.drift.columns import as_frame
from heritage.drift.profile import DriftProfile
from heritage.drift.window import Window

x = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)
profile = DriftProfile.fit(as_frame(x)[0])

def sink(key, data):
    print(key, Window.from_bytes(profile, data, key).rows, flush=True)
    return True

agent = DriftAgent(profile, sink, "m", "1", window_of=lambda s: "w")
"""


def test_a_process_that_just_ends_writes_what_it_observed():
    out = run(PREAMBLE + "agent.observe(x)\n")
    assert out.strip().endswith(" 500")


def test_a_process_that_fails_writes_what_it_observed():
    out = run(PREAMBLE + "agent.observe(x)\nraise SystemExit(4)\n", expect=4)
    assert out.strip().endswith(" 500")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("producer", ["", "server"])
def test_forked_children_write_under_names_of_their_own_and_only_their_rows(producer):
    out = run(
        PREAMBLE
        + f"""
agent = DriftAgent(profile, sink, "m", "1", producer={producer!r}, window_of=lambda s: "w")
agent.observe(x[:100])
if os.fork() == 0:
    agent.observe(x[:7])
    agent.close()
    os._exit(0)
os.wait()
agent.close()
"""
    )
    lines = [line.split() for line in out.splitlines()]
    assert sorted(int(rows) for _, rows in lines) == [7, 100]
    assert len({key for key, _ in lines}) == 2


def test_hours_are_in_utc():
    assert hour_of(0.0) == "1970-01-01T00"
    assert hour_of(1_795_330_799.9) == "2026-11-22T06"
    assert hour_of(1_795_330_800.0) == "2026-11-22T07"
