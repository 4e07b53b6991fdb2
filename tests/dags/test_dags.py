"""Each DAG run by Airflow in this process, on real MLflow and S3."""

import ast
import json
from pathlib import Path

import pytest
from dag_runs import outcome

from heritage.demo import stage as demo
from heritage.flows import ingest

ROOT = Path(__file__).parents[2]
DAGS = {
    "heritage_audit",
    "heritage_drift_check",
    "heritage_ingest",
    "heritage_label",
    "heritage_promote",
    "heritage_rebuild_tree",
    "heritage_recluster",
    "heritage_repair",
    "heritage_validate",
}

pytestmark = [pytest.mark.services, pytest.mark.airflow]


def test_every_dag_is_read_without_an_error(bag):
    assert bag.import_errors == {}
    assert set(bag.dags) == DAGS


@pytest.mark.parametrize("name", sorted(DAGS))
def test_a_dag_says_what_it_does_and_retries(bag, name):
    dag = bag.dags[name]
    assert dag.doc_md
    assert "heritage" in dag.tags
    assert all(task.retries >= 1 for task in dag.tasks if task.task_id != "smoke_test")


@pytest.mark.parametrize("name", sorted(DAGS))
def test_a_dag_file_holds_nothing_but_steps(name):
    source = (ROOT / "dags" / f"{name}.py").read_text()
    assert len(source.splitlines()) <= 110
    heavy = {"torch", "mlflow", "boto3", "numpy", "pandas", "evidently", "sklearn"}
    imported = {
        alias.name.split(".")[0]
        for node in ast.parse(source).body
        for alias in getattr(node, "names", [])
        if isinstance(node, ast.Import | ast.ImportFrom)
    } | {(node.module or "").split(".")[0] for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)}
    assert not imported & heavy


@pytest.mark.slow  # heritage demo runs the same DAGs, in tests/integration
def test_the_main_job_runs_through_its_dags(bag, on_stage):
    ctx, model = on_stage.ctx, on_stage.champion.name

    checked = bag.dags["heritage_drift_check"].test(run_conf={"model": model})
    assert outcome(checked)["alarm[0]"] == "success"

    repaired = bag.dags["heritage_repair"].test(run_conf={"model": model})
    assert outcome(repaired)["register[0]"] == "success"
    assert outcome(repaired)["ask_for_labels[0]"] == "skipped"
    challenger = ctx.registry.version(f"{model}@challenger")
    plan = challenger.tags["heritage.repair"]

    promoted = bag.dags["heritage_promote"].test(
        run_conf={"address": challenger.address, "plan": plan}, mark_success_pattern="approve"
    )
    assert outcome(promoted)["smoke_test"] == "success"
    assert outcome(promoted)["roll_back"] == "skipped"
    assert ctx.registry.version(f"{model}@champion").address == challenger.address

    again = bag.dags["heritage_drift_check"].test(run_conf={"model": on_stage.champion.name})
    assert outcome(again)["alarm[0]"] == "skipped"


def test_validate_hands_on_nothing_that_does_not_pass(bag, on_stage):
    ctx = on_stage.ctx
    champion = ctx.registry.version(f"{on_stage.champion.name}@champion")
    demo.stream(ctx, champion, 0)
    other = ctx.registry.register(champion.name, on_stage.folder / "digits-pruned.safetensors", _like(ctx, champion))
    run = bag.dags["heritage_validate"].test(run_conf={"address": other.version.address, "dry_run": True})
    assert run.state == "success"
    assert outcome(run)["challenge"] == "skipped"


def test_ingest_gives_a_hand_registered_version_its_place(bag, on_stage, tmp_path):
    from mlflow.tracking import MlflowClient

    ctx = on_stage.ctx
    client = MlflowClient(ctx.settings.mlflow.tracking_uri)
    run = client.create_run(client.create_experiment("by-hand"))
    client.log_artifact(run.info.run_id, str(on_stage.folder / "digits-lora.safetensors"), "weights")
    client.create_registered_model("by-hand")
    tags = {"base_model": "digits-root", "base_model_relation": "adapter"}
    client.create_model_version("by-hand", f"runs:/{run.info.run_id}/weights", run.info.run_id, tags=tags)

    assert "by-hand/1" in ingest.pending(ctx)
    done = bag.dags["heritage_ingest"].test(run_conf={"address": "by-hand/1"})

    assert outcome(done) == {"pending": "success", "fingerprint[0]": "success", "place[0]": "success"}
    version = ctx.registry.version("by-hand/1")
    assert "heritage.ingest" not in version.tags, version.tags
    manifest = ctx.registry.manifest(version)
    assert manifest.digest == on_stage.family["digits-lora"].digest
    said = [p.digest for p in manifest.parents if p.origin == "declared"]
    assert said == [on_stage.family["digits-root"].digest]
    assert version.tags["heritage.family"] == "digits-root"
    assert version.tags["heritage.placed"] == "weights"


def test_ingest_tags_what_it_cannot_read_and_leaves_it_alone(bag, on_stage, tmp_path):
    from mlflow.tracking import MlflowClient

    ctx = on_stage.ctx
    client = MlflowClient(ctx.settings.mlflow.tracking_uri)
    run = client.create_run(client.create_experiment("broken"))
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 7)
    client.log_artifact(run.info.run_id, str(tmp_path / "model.safetensors"), "weights")
    client.create_registered_model("broken")
    client.create_model_version("broken", f"runs:/{run.info.run_id}/weights", run.info.run_id)

    bag.dags["heritage_ingest"].test(run_conf={"address": "broken/1"})

    version = ctx.registry.version("broken/1")
    assert version.digest == ""
    assert version.tags["heritage.ingest"].startswith("model.safetensors: has 7 bytes")


def test_families_and_trees_are_found_again_and_what_was_said_stays(bag, on_stage):
    ctx = on_stage.ctx
    said = {d: [e for e in m.parents if e.origin != "recovered"] for d, m in manifests(ctx).items()}

    states = outcome(bag.dags["heritage_recluster"].test(run_conf={"dry_run": False}))

    assert states["prepare[0]"] == states["tree[0]"] == states["record[0]"] == states["publish"] == "success"
    assert {v.tags["heritage.family"] for v in ctx.registry.versions() if v.digest} == {"digits-root"}
    assert len(json.loads(ctx.store.get("families/current.json"))["families"]) == 1
    found = manifests(ctx)
    assert said == {d: [e for e in m.parents if e.origin != "recovered"] for d, m in found.items()}
    pruned = found[on_stage.family["digits-pruned"].digest]
    seen = [e for e in pruned.parents if e.origin == "recovered"]
    assert [(e.digest, e.relation) for e in seen] == [(on_stage.family["digits-clean"].digest, "prune")]

    stored = ctx.store.get("families/current.json")
    dry = outcome(bag.dags["heritage_recluster"].test(run_conf={"dry_run": True}))
    assert (dry["prepare"], dry["tree"], dry["record"], dry["publish"]) == ("skipped", "skipped", "skipped", "success")
    assert ctx.store.get("families/current.json") == stored

    rebuilt = outcome(bag.dags["heritage_rebuild_tree"].test(run_conf={"family": "digits-root"}))
    assert rebuilt["report"] == "success"
    stored = json.loads(ctx.store.get("families/trees/digits-root.json"))
    assert stored["models_updated"] == 0
    assert stored["tree_statistics"]["valid"]


def test_the_audit_finds_nothing_in_a_sound_registry_and_fails_where_a_tag_was_forged(bag, on_stage):
    ctx, model = on_stage.ctx, on_stage.family["digits-lora"]
    sound = bag.dags["heritage_audit"].test(run_conf={"weights": True})
    assert set(outcome(sound).values()) == {"success"}, json.loads(ctx.store.get("audit/findings.json"))

    ctx.registry.set_tag(model, f"heritage.parent.{'ab' * 6}", "finetune:attested:1.0")
    forged = outcome(bag.dags["heritage_audit"].test())
    ctx.registry._writer.remove_tag(ctx.registry.version(model.address), f"heritage.parent.{'ab' * 6}")

    assert forged["judge"] == "failed"
    assert forged["report"] == "success"
    found = json.loads(ctx.store.get("audit/findings.json"))["findings"]
    assert ("tag_without_edge", model.address) in {(f["kind"], f["subject"]) for f in found}


def manifests(ctx):
    return {m.digest: m for _, m in ctx.registry.manifests()}


def _like(ctx, champion):
    from heritage.registry import Description

    return Description(architecture=ctx.registry.manifest(champion).architecture)
