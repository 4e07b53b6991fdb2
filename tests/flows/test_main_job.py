"""Drift, repair, approval and promotion on real servers; every step is done twice."""

import json
from types import SimpleNamespace

import pytest

from heritage.errors import NotFound, Refused
from heritage.flows import check_drift, decisions, promote, repair, windows
from heritage.records import Relation
from heritage.registry import GATE
from heritage.weights.checkpoint import Checkpoint

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def played(stage):
    ctx, model = stage.ctx, stage.champion.name
    facts = SimpleNamespace(model=model)
    facts.planned = check_drift.run(ctx, stage.champion.address, dry_run=True)
    facts.verdicts_after_dry_run = check_drift.verdicts(ctx, stage.champion)
    facts.checked = check_drift.run(ctx, stage.champion.address)
    facts.checked_again = check_drift.run(ctx, stage.champion.address)
    facts.dry = repair.search(ctx, model, dry_run=True)
    facts.objects_after_dry_run = list(ctx.store.list("repairs/"))
    facts.found = repair.search(ctx, model, facts.checked["window"])
    facts.recorded_again = decisions.record(ctx, facts.found["plan"])
    facts.experiment = ctx.registry._connection.experiment_id()
    facts.checked_late = check_drift.run(ctx, stage.champion.address)
    facts.registered = repair.register_challenger(ctx, facts.found["plan"])
    facts.registered_again = repair.register_challenger(ctx, facts.found["plan"])
    facts.challenger = ctx.registry.version(f"{model}@challenger")
    facts.brief = promote.brief(ctx, facts.registered["address"], facts.found["plan"])
    facts.moved = promote.promote(ctx, facts.registered["address"], facts.found["plan"])
    facts.moved_again = promote.promote(ctx, facts.registered["address"], facts.found["plan"])
    facts.smoke = promote.smoke_test(ctx, model)
    facts.history = ctx.registry.history(model)
    facts.champion = ctx.registry.version(f"{model}@champion")
    return facts


def test_a_calm_window_is_ok_and_drifted_ones_are_drift(stage, played):
    statuses = {v.window: v.status for v in check_drift.verdicts(stage.ctx, stage.champion)}
    assert statuses == {"hour-01": "ok", "hour-02": "drift", "hour-03": "drift"}


def test_a_dry_run_judges_and_writes_nothing(played):
    assert played.planned["judged"] == ["hour-01", "hour-02", "hour-03"]
    assert not played.planned["triggered"]
    assert played.verdicts_after_dry_run == []


def test_a_second_check_has_nothing_to_judge_but_keeps_the_alarm(played):
    assert played.checked["triggered"]
    assert played.checked_again["judged"] == []
    assert played.checked_again["triggered"]


def test_an_alarm_is_over_once_a_repair_was_started(played):
    assert not played.checked_late["triggered"]


def test_the_evidently_report_is_an_artifact_of_the_version(stage, played):
    html = stage.ctx.registry.artifact(stage.champion, "heritage/drift/hour-03.html")
    assert b"<html" in html.lower()


def test_the_verdict_is_a_tag(stage, played):
    assert stage.ctx.registry.version(stage.champion.address).tags["heritage.drift"] == "drift:hour-03"


def test_the_same_search_gives_the_same_plan(played):
    assert played.found["plan"] == played.dry["plan"]


def test_a_dry_search_stores_nothing(played):
    assert played.objects_after_dry_run == []


def test_the_gate_accepts_what_is_better_on_guard_rows(played):
    assert played.found["decision"] == "accept", played.found["reason"]
    assert played.found["gate"]["gain"] > 0.1
    assert played.found["rung"] != "none"


def test_only_drifted_windows_are_repaired_for(played):
    assert played.found["windows"] == ["hour-02", "hour-03"]


def test_one_challenger_however_often_it_is_registered(stage, played):
    assert played.registered == played.registered_again
    assert len(list(stage.ctx.registry.versions(name=played.model))) == 2
    assert played.challenger.address == played.registered["address"]
    assert played.challenger.tags[GATE] == f"accept:{played.found['plan']}"


def test_the_challenger_holds_the_weights_that_the_gate_saw(stage, played):
    plan = json.loads(stage.ctx.store.get(f"repairs/{played.found['plan']}/plan.json"))
    path = stage.ctx.registry.fetch_weights(played.challenger, stage.ctx.settings.work_dir / "weights")
    with Checkpoint.open(path) as checkpoint:
        assert checkpoint.digest == plan["result"] == played.challenger.digest


def test_the_challenger_descends_from_the_drifted_version_and_its_donors(stage, played):
    parents = stage.ctx.registry.manifest(played.challenger).parents
    used = {label for label, share in played.found["coefficients"].items() if share}
    assert {p.relation for p in parents} == {Relation.REPAIR}
    assert {f"{p.name}/{p.version}" for p in parents} == {stage.champion.address, *used}


def test_the_brief_tells_both_accuracies(played):
    assert f"{100 * played.found['gate']['after']:.1f} %" in played.brief["body"]
    assert f"{100 * played.found['gate']['before']:.1f} %" in played.brief["body"]


def test_one_move_however_often_it_is_promoted(played):
    assert played.moved == played.moved_again
    assert [move.kind for move in played.history] == ["initial", "promote"]
    assert played.champion.address == played.registered["address"]


def test_the_new_champion_runs_as_recorded(played):
    assert played.smoke["accuracy"] == pytest.approx(played.found["gate"]["after"], abs=0.01)


def test_an_approval_for_another_plan_promotes_nothing(stage, played):
    with pytest.raises(Refused, match="changed since"):
        promote.brief(stage.ctx, played.registered["address"], "0" * 64)
    with pytest.raises(NotFound):
        promote.promote(stage.ctx, played.registered["address"], "0" * 64)


def test_the_decision_is_one_run_of_mlflow_with_plan_curves_and_report(stage, played):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(stage.ctx.settings.mlflow.tracking_uri)
    plan = played.found["plan"]
    (run,) = client.search_runs([played.experiment], f"tags.`heritage.plan` = '{plan}'")
    assert run.info.run_id == played.found["run"] == played.recorded_again
    assert run.info.status == "FINISHED"
    assert {f.path for f in client.list_artifacts(run.info.run_id)} == {
        "decision.json", "evidence.json", "plan.json", "report.html",
    }  # fmt: skip
    assert run.data.params["decision"] == "accept"
    assert run.data.metrics["gain"] == pytest.approx(played.found["gate"]["gain"])
    along = [k for k in run.data.metrics if k.startswith("nll along ")]
    assert len(along) == len(played.found["donors"])
    points = client.get_metric_history(run.info.run_id, along[0])
    assert points[0].step == 0
    assert len({p.step for p in points}) == len(points) > 5


def test_the_report_tells_classes_before_and_after(stage, played):
    page = stage.ctx.registry.artifact(played.challenger, "heritage/repair/report.html").decode()
    assert f"Repair of {stage.champion.address}" in page
    assert "Current rows, class by class" in page
    assert "Original domain, class by class" in page
    assert "against plain rollback" in page


def test_guard_rows_are_in_no_other_part(stage, played):
    base = f"repairs/{played.found['plan']}"
    parts = {
        name: set(windows.from_npz(stage.ctx.store.get(f"{base}/{name}.npz"), name).row_digests())
        for name in ("labelled", "unlabelled", "guard")
    }
    assert not parts["guard"] & parts["labelled"]
    assert not parts["guard"] & parts["unlabelled"]


def test_the_repaired_version_can_be_watched_in_turn(stage, played):
    again = check_drift.run(stage.ctx, played.champion.address)
    assert again["status"] == "insufficient"
    assert again["window"] == ""
