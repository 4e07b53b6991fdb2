"""The drift check on a small deployed model: rules of its own, late labels, late windows, past hours, ancestors."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
import structlog
from typer.testing import CliRunner

from heritage.cli import app
from heritage.drift.agent import DriftAgent
from heritage.errors import BadInput
from heritage.flows import check_drift, judgements, late_labels, register, windows
from heritage.flows.health import drift_of_ancestors
from heritage.flows.networks import manifest_of, network_of, state_of
from heritage.flows.observe import observe
from heritage.flows.profiles import fit_profile, profile_of
from heritage.local.environment import client_environment
from heritage.records import Architecture, Origin, ParentEdge, Relation
from heritage.rows import Rows
from heritage.settings import DriftSettings, settings
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.network import load, probabilities
from tests.deployed import connection, deployed, reference, registered, weights

__all__ = ["connection", "deployed", "registered"]

pytestmark = pytest.mark.services

HOURS = [f"2026-01-05T{hour:02d}" for hour in range(24)]


def rows(seed, n=300, shift=0.0):
    x = np.random.default_rng([seed, 9]).normal(shift, size=(n, 4)).astype(np.float32)
    return Rows(x)


def with_drift(deployed, **drift):
    chosen = deployed.ctx.settings.model_copy(update={"drift": DriftSettings.model_validate(drift)})
    return dataclasses.replace(deployed.ctx, settings=chosen)


def answers(deployed, window, seed=0, n=600, prefix=""):
    """What a server leaves behind: counters and predictions by id; returns ids and probabilities."""
    ctx, version = deployed.ctx, deployed.versions[0]
    network = network_of(ctx, manifest_of(ctx, version), state_of(ctx, version))
    x = rows(seed, n).x
    said, ids = probabilities(network, x), [f"{prefix}{window}-{i}" for i in range(n)]
    profile = profile_of(ctx, version)
    with DriftAgent(profile, ctx.store.create, version.name, version.version, window_of=lambda _: window) as agent:
        agent.observe(x, said, ids)
    return ids, said


def reference_like(deployed, said, seed=1, wrong=0.0):
    """Labels as right as on the reference, but for a share of `wrong` ones."""
    accuracy = profile_of(deployed.ctx, deployed.versions[0]).performance.scores.accuracy
    rng = np.random.default_rng(seed)
    right = rng.random(len(said)) < accuracy * (1 - wrong)
    best = said.argmax(axis=1)
    return np.where(right, best, (best + 1) % 3).astype(np.int64)


# --- rules


def test_a_model_may_have_rules_of_its_own(deployed):
    version, name = deployed.versions[0], deployed.name
    observe(deployed.ctx, version, HOURS[0], rows(1), keep=False)
    assert check_drift.run(deployed.ctx, version.address)["status"] == "ok"

    def judged(hour, **own):
        ctx = with_drift(deployed, models={name: own, "another": {"rule": "ks"}})
        observe(ctx, version, HOURS[hour], rows(hour), keep=False)
        return check_drift.run(ctx, version.address)

    assert judged(1, rule="psi", psi_above=1e-6)["status"] == "drift"
    assert judged(4, rule="psi", psi_above=1e-6, mute=[f"x{i}" for i in range(4)])["moved"] == ["prediction"]
    assert judged(5, min_rows=301)["status"] == "insufficient"


def test_columns_windows_and_the_count_of_windows_are_set_per_model(deployed):
    version, name = deployed.versions[0], deployed.name
    drifted = Rows(rows(2).x + np.array([1.0, 0, 0, 0], np.float32))
    quiet = {f"probability_{i}": {"judged": False} for i in range(3)} | {"entropy": {"judged": False}}
    quiet |= {"prediction": {"judged": False}}
    own = {"windows_needed": 1, "columns": quiet}

    def judged(hour, **more):
        ctx = with_drift(deployed, columns={"x3": {"judged": False}}, models={name: own | more})
        observe(ctx, version, HOURS[hour], drifted, keep=False)
        return check_drift.run(ctx, version.address)

    found = judged(0)
    assert (found["status"], found["triggered"]) == ("drift", True)
    assert not check_drift.run(deployed.ctx, version.address)["triggered"]  # two of three, as for all others
    loose = judged(1, columns=quiet | {"x0": {"warning_effect": 0.1, "drift_effect": 0.9}})
    assert loose["status"] == "warning"
    muted = judged(2, mute_windows=[[HOURS[2], HOURS[3]]])
    assert (muted["status"], muted["muted"]) == ("drift", True)
    verdict = check_drift.verdicts(deployed.ctx, version)[-1]
    assert not verdict.columns["x3"].judged


@pytest.mark.parametrize(
    "wrong", [{"rule": "magic"}, {"unknown": 1}, {"min_rows": 0}, {"models": {}}, {"columns": {"a": {"limit": 1}}}]
)
def test_exceptions_that_make_no_sense_are_refused_when_settings_are_read(wrong):
    with pytest.raises(ValueError, match=r"drift|validation"):
        DriftSettings(models={"churn": wrong})


# --- late labels


def test_labels_that_come_late_show_concept_drift_that_inputs_do_not(deployed):
    ctx, version = deployed.ctx, deployed.versions[0]
    ids, said = answers(deployed, HOURS[0])
    assert check_drift.run(ctx, version.address)["status"] == "ok"
    before = check_drift.verdicts(ctx, version)[0].performance
    assert (before.status, before.labels) == ("insufficient", 0)
    assert before.estimated_accuracy is not None

    labels = reference_like(deployed, said, wrong=0.3)
    found = late_labels.take(ctx, version.address, [*ids, "somebody-else"], np.append(labels, 0))
    assert (found["taken"], found["unknown"], found["unknown_ids"]) == (600, 1, ["somebody-else"])
    result = check_drift.run(ctx, version.address)

    assert (result["status"], result["moved"], result["judged"]) == ("drift", ["performance"], [HOURS[0]])
    after = check_drift.verdicts(ctx, version)[0].performance
    assert after.labels == 600
    assert after.current.accuracy == np.mean(labels == said.argmax(axis=1))
    # the same labels again change nothing
    late_labels.take(ctx, version.address, ids, labels)
    assert check_drift.run(ctx, version.address)["judged"] == []


def test_a_model_as_right_as_before_is_ok_and_labels_find_their_version_by_the_models_name(deployed):
    ctx, version = deployed.ctx, deployed.versions[0]
    first, said = answers(deployed, HOURS[0])
    second, also = answers(deployed, HOURS[1], seed=5)
    labels = np.append(reference_like(deployed, said), reference_like(deployed, also, seed=2))
    found = late_labels.take(ctx, deployed.name, [*first, *second], labels)
    assert found["windows"] == {f"{version.address} {HOURS[1]}": 600, f"{version.address} {HOURS[0]}": 600}
    check_drift.run(ctx, version.address)
    assert [(v.status, v.performance.labels) for v in check_drift.verdicts(ctx, version)] == [("ok", 600)] * 2


def test_few_labels_a_window_are_judged_together_where_the_settings_say_so(deployed):
    version = deployed.versions[0]
    for hour in range(2):
        ids, said = answers(deployed, HOURS[hour], seed=hour, n=200)
        wrong = (said[:25].argmax(axis=1) + 1) % 3
        late_labels.take(deployed.ctx, version.address, ids[:25], wrong)
    check_drift.run(deployed.ctx, version.address)
    assert check_drift.verdicts(deployed.ctx, version)[-1].performance.status == "insufficient"

    ctx = with_drift(deployed, performance_windows=2)
    assert check_drift.run(ctx, version.address)["moved"] == ["performance"]
    assert check_drift.verdicts(ctx, version)[-1].performance.labels == 50
    # a label for the first hour counts for every window that is judged with it
    late_labels.take(ctx, version.address, [f"{HOURS[0]}-30"], np.array([0]))
    assert check_drift.run(ctx, version.address)["judged"] == HOURS[:2]


def test_a_corrected_label_replaces_the_first_and_hand_labelled_rows_count_once(deployed):
    ctx, version = deployed.ctx, deployed.versions[0]
    ids, said = answers(deployed, HOURS[0], n=100)
    best = said.argmax(axis=1)
    late_labels.take(ctx, version.address, ids[:40], (best[:40] + 1) % 3)
    later = dataclasses.replace(ctx, now=lambda: datetime.now(UTC) + timedelta(hours=1))
    late_labels.take(later, version.address, ids[:40], best[:40])
    windows.keep_rows(ctx, version, HOURS[0], Rows(rows(0, 100).x[:10], best[:10], np.array(ids[:10])))
    check_drift.run(ctx, version.address)
    found = check_drift.verdicts(ctx, version)[0].performance
    assert (found.labels, found.current.accuracy) == (40, 1.0)


def test_labels_that_are_no_class_are_refused_and_nothing_is_kept(deployed):
    ctx, version = deployed.ctx, deployed.versions[0]
    ids, _ = answers(deployed, HOURS[0], n=100)
    with pytest.raises(BadInput, match=r"label 3 is no class; the model has classes 0 to 2"):
        late_labels.take(ctx, version.address, ids[:2], np.array([0, 3]))
    with pytest.raises(BadInput, match="2 ids came with 1 labels"):
        late_labels.take(ctx, version.address, ids[:2], np.array([0]))
    assert late_labels.take(ctx, version.address, ids, np.zeros(100, np.int64), dry_run=True)["taken"] == 100
    assert list(ctx.store.list("truth/")) == []


def test_rows_that_a_server_kept_are_labelled_by_what_came_later(deployed):
    ctx, version = deployed.ctx, deployed.versions[0]
    x, profile = rows(6, 80).x, profile_of(deployed.ctx, version)
    said = np.full((80, 3), 1 / 3, np.float32)
    with DriftAgent(
        profile, ctx.store.create, version.name, version.version, window_of=lambda _: HOURS[7], keep_rows=True
    ) as agent:
        agent.observe(x, said, [f"r{i}" for i in range(80)])
    late_labels.take(ctx, version.address, [f"r{i}" for i in range(60)], np.arange(60) % 3)
    late_labels.take(ctx, version.address, ["r0"], np.array([2]))

    kept = windows.read_rows(ctx, version, [HOURS[7]])

    assert (len(kept.labelled), len(kept.unlabelled)) == (60, 20)
    found = dict(zip(kept.labelled.ids.tolist(), kept.labelled.y.tolist(), strict=True))
    assert found == {f"r{i}": i % 3 for i in range(60)} | {"r0": 2}
    at = kept.labelled.ids.tolist().index("r17")
    assert kept.labelled.x[at].tolist() == x[17].tolist()
    # the check joins labels to the answers instead, and counts none of them twice
    assert windows.read_rows(ctx, version, [HOURS[7]], late=False).labelled is None


# --- windows that are late, past, gone


def series(ctx, version, name):
    from mlflow.tracking import MlflowClient

    history = MlflowClient(ctx.settings.mlflow.tracking_uri).get_metric_history(version.run_id, name)
    return {(datetime.fromtimestamp(m.timestamp / 1000, UTC).strftime("%Y-%m-%dT%H"), m.step, m.value) for m in history}


def test_late_rows_change_their_own_window_and_not_what_the_newest_says(deployed):
    ctx, version = deployed.ctx, deployed.versions[0]
    for hour, shift in ((10, 0.0), (11, 2.0)):
        observe(ctx, version, HOURS[hour], rows(hour, shift=shift), keep=False)
    check_drift.run(ctx, version.address)
    newest = ctx.store.get(check_drift.verdict_key(version, HOURS[11]))

    observe(ctx, version, HOURS[10], rows(99, n=77), keep=False)
    again = check_drift.run(ctx, version.address)

    assert again["judged"] == [HOURS[10]]
    assert [v.rows for v in check_drift.verdicts(ctx, version)] == [377, 300]
    assert ctx.store.get(check_drift.verdict_key(version, HOURS[11])) == newest
    assert ctx.registry.version(version.address).tags["heritage.drift"] == f"drift:{HOURS[11]}"
    step = int(datetime(2026, 1, 5, 10, tzinfo=UTC).timestamp() // 3600)
    counted = {point for point in series(ctx, version, "window_rows") if point[0] in HOURS[10:12]}
    assert counted == {(HOURS[10], step, 300.0), (HOURS[10], step, 377.0), (HOURS[11], step + 1, 300.0)}


def test_a_run_for_a_past_hour_judges_what_came_before_it_and_raises_no_alarm_that_was_overtaken(deployed):
    ctx, version = with_drift(deployed, windows_needed=1), deployed.versions[0]
    for hour, shift in ((12, 2.0), (13, 2.0), (14, 0.0)):
        observe(ctx, version, HOURS[hour], rows(hour, shift=shift), keep=False)
    at = lambda hour: datetime(2026, 1, 5, hour, tzinfo=UTC)  # noqa: E731

    first = check_drift.run(ctx, version.address, until=at(13))
    assert (first["judged"], first["window"], first["triggered"]) == ([HOURS[12]], HOURS[12], True)
    assert check_drift.run(ctx, version.address, until=at(12))["window"] == ""
    check_drift.run(ctx, version.address)
    kept = {key: ctx.store.get(key) for key in ctx.store.list("verdicts/")}

    again = check_drift.run(ctx, version.address, until=at(13))
    assert (again["judged"], again["window"], again["triggered"]) == ([], HOURS[12], False)
    assert {key: ctx.store.get(key) for key in ctx.store.list("verdicts/")} == kept


def test_a_window_that_begins_to_expire_keeps_its_verdict(deployed):
    ctx, version = deployed.ctx, deployed.versions[0]
    for seed in (1, 2):
        observe(ctx, version, HOURS[15], rows(seed), keep=False)
    check_drift.run(ctx, version.address)
    ctx.store.delete(next(ctx.store.list("windows/")))
    assert check_drift.run(ctx, version.address)["judged"] == []
    assert check_drift.verdicts(ctx, version)[0].rows == 600


def test_finding_what_is_due_reads_no_object(deployed, monkeypatch):
    ctx, version = deployed.ctx, deployed.versions[0]
    for hour in range(5):
        observe(ctx, version, HOURS[hour], rows(hour), keep=False)
    check_drift.run(ctx, version.address)
    read = []
    real = type(ctx.store).read
    monkeypatch.setattr(type(ctx.store), "read", lambda store, key: read.append(key) or real(store, key))
    assert judgements.pending(ctx, version) == []
    assert read == []


@pytest.mark.parametrize(
    ("window", "start"),
    [
        ("2026-01-05T07", datetime(2026, 1, 5, 7, tzinfo=UTC)),
        ("2026-01-05", datetime(2026, 1, 5, tzinfo=UTC)),
        ("2026-01-05T07-30", datetime(2026, 1, 5, 7, 30, tzinfo=UTC)),
        ("2026-02-30", None),
        ("hour-01", None),
    ],
)
def test_window_ids_may_tell_when_they_begin(window, start):
    assert windows.start_of(window) == start
    assert windows.is_before(window, None)
    assert windows.is_before(window, datetime(2026, 1, 5, 7, tzinfo=UTC)) == (start is None or start.hour < 7)


# --- relatives, and what is missing


def test_a_drifted_window_is_compared_with_what_each_ancestor_was_trained_on(deployed, tmp_path):
    # given a child that was made for other data, and whose reference rows are not kept
    ctx = deployed.ctx
    network = Architecture("torch.nn:Linear", {"in_features": 4, "out_features": 3})
    # of weights that no other model has: an ancestor is any version of that content
    parent = register.run(
        ctx, register.Registration(f"{deployed.name}-parent", weights(tmp_path, 31), network, reference(31))
    )
    edge = ParentEdge(parent.digest, Relation.FINETUNE, Origin.DECLARED)
    path = weights(tmp_path, 7)
    with Checkpoint.open(path) as checkpoint:
        own = load(network, checkpoint, ("torch.nn",))
    profile = fit_profile(Rows(reference(7).x + 3), own)
    wanted = register.Registration(f"{deployed.name}-child", path, network, profile=profile, parents=(edge,))
    child = register.run(ctx, wanted)

    observe(ctx, child, HOURS[0], rows(3))
    result = check_drift.run(ctx, child.address)

    assert result["status"] == "drift"
    found = result["ancestors"][parent.address]
    assert (found["generation"], found["status"], found["effect"]) == (1, "ok", 0.0)
    assert check_drift.ancestors(ctx, child, HOURS[0]) == result["ancestors"]

    # each ancestor is judged by the rules of its own model
    strict = with_drift(deployed, models={parent.name: {"min_rows": 10_000}})
    assert drift_of_ancestors(strict, child, rows(3))[parent.address]["status"] == "insufficient"

    # a parent whose tag was edited is told as such, and the check goes on
    ctx.registry.set_tag(parent, "heritage.digest", "0" * 64)
    try:
        assert drift_of_ancestors(ctx, child, rows(3)) == {}
    finally:
        ctx.registry.set_tag(parent, "heritage.digest", parent.digest)
    assert ctx.registry.artifact(child, check_drift.TIMELINE).startswith(b"\x89PNG")
    page = ctx.registry.artifact(child, f"heritage/drift/{HOURS[0]}.html").decode()
    assert f"Drift of {child.address}" in page


def test_without_a_profile_nothing_is_judged_and_the_reason_is_told(deployed, tmp_path):
    ctx = deployed.ctx
    profile = profile_of(ctx, deployed.versions[0])
    bare = register.run(ctx, register.Registration(f"{deployed.name}-unwatched", weights(tmp_path, 8)))
    windows.keep_counts(ctx, bare, HOURS[0], check_drift.Window.empty(profile), "p", 0)
    result = check_drift.run(ctx, bare.address)
    assert (result["status"], result["judged"], result["triggered"]) == ("insufficient", [], False)
    assert "has no drift profile" in result["reason"]


# --- from a shell


def test_batches_and_late_labels_are_taken_from_tables(deployed, tmp_path, monkeypatch):
    chosen, version = deployed.ctx.settings, deployed.versions[0]
    variables = client_environment(chosen.s3, chosen.mlflow.tracking_uri) | {
        "HERITAGE_ALLOWED_BUILDERS": "torch.nn",
        "HERITAGE_WORK_DIR": str(chosen.work_dir),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    monkeypatch.setattr(structlog, "configure", lambda **_: None)  # else it goes on writing to this test's stderr
    run = lambda *args: CliRunner().invoke(app, [*map(str, args)])  # noqa: E731
    ids, said = answers(deployed, HOURS[20])
    frame = pd.DataFrame(rows(20).x, columns=list("abcd"))
    frame.to_parquet(tmp_path / "rows.parquet")
    labels = pd.DataFrame({"id": [*ids, "nobody"], "label": [*reference_like(deployed, said, wrong=0.5), 1]})
    labels.to_csv(tmp_path / "late.csv", index=False)

    assert run("observe", version.address, HOURS[20], tmp_path / "rows.parquet", "--counters-only").exit_code == 0
    taken = run("drift", "labels", deployed.name, tmp_path / "late.csv", "--json")
    checked = run("drift", "run", deployed.name, "--json")

    assert taken.exit_code == 3  # one id is unknown
    assert json.loads(taken.stdout) | {"windows": 1} == {
        "taken": 600,
        "windows": 1,
        "unknown": 1,
        "unknown_ids": ["nobody"],
    }
    assert checked.exit_code == 3
    assert json.loads(checked.stdout)[0]["moved"] == ["performance"]
    assert check_drift.verdicts(deployed.ctx, version)[0].rows == 900
    for bad, reason in (("id,label\na,1.5\n", "row 1 has no id, or a label"), ("id\na\n", "has no column label")):
        (tmp_path / "bad.csv").write_text(bad)
        refused = run("drift", "labels", deployed.name, tmp_path / "bad.csv")
        assert (refused.exit_code, reason in " ".join(refused.stderr.split())) == (1, True)
    settings.cache_clear()


def test_rows_that_others_keep_as_parquet_are_read_with_ours(deployed):
    ctx, version = deployed.ctx, deployed.versions[0]
    frame = pd.DataFrame(rows(21, 50).x, columns=list("abcd")).assign(y=1, id=[f"r{i}" for i in range(50)])
    key = f"{windows.prefix('rows', version, HOURS[21])}part-0.parquet"
    ctx.store.put(key, frame.to_parquet())
    windows.keep_rows(ctx, version, HOURS[21], Rows(rows(22, 30).x))
    kept = windows.read_rows(ctx, version, [HOURS[21]])
    assert (len(kept.labelled), len(kept.unlabelled)) == (50, 30)
    assert set(kept.labelled.ids) == set(frame["id"])
    for broken, reason in (
        (frame.assign(a="text"), "columns a hold no numbers"),
        (frame.assign(y=1.5), "column y holds float64"),
        (frame[["y"]], "beside y and id hold no numbers"),
    ):
        ctx.store.put(key, broken.to_parquet())
        with pytest.raises(BadInput, match=reason):
            windows.read_rows(ctx, version, [HOURS[21]])
    ctx.store.put(key, frame.to_parquet()[:-40])
    with pytest.raises(BadInput, match=r"part-0\.parquet: not a readable table"):
        windows.read_rows(ctx, version, [HOURS[21]])
