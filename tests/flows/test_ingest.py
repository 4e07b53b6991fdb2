"""New versions find their family and their parents, and what was said about them is kept beside it."""

import copy
import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from heritage.cli import app
from heritage.flows import fleet, ingest, prints
from heritage.lineage.audit import audit
from heritage.records import Origin, Relation
from heritage.settings import settings
from tests.planted import Planter, by_hand, client_of, declared, embedded, environment, merged, pruned, registered

pytestmark = pytest.mark.services


class Killed(BaseException):
    """What a process would notice of a SIGKILL: nothing else runs."""


def dying(ctx, write):
    """The same registry for a process that dies before its write number `write`."""
    registry, done = copy.copy(ctx.registry), 0

    def counted(method):
        def call(*args, **kwargs):
            nonlocal done
            done += 1
            if done == write:
                raise Killed
            return method(*args, **kwargs)

        return call

    for name in ("amend", "set_tag", "remove_tag", "put_artifact"):
        setattr(registry, name, counted(getattr(registry, name)))
    return dataclasses.replace(ctx, registry=registry)


def killed_at_every_write(ctx, address):
    """How often processing `address` was killed, each time one write later, before it went through."""
    for write in range(1, 30):
        try:
            ingest.run(dying(ctx, write), address)
        except Killed:
            continue
        return write - 1
    raise AssertionError("it never went through")


@pytest.fixture(scope="module")
def played(tmp_path_factory, seaweed):
    """Versions of one family, two strangers and an unreadable one; then everything ingested, oldest first."""
    folder = tmp_path_factory.mktemp("ingest")
    ctx = embedded(folder, seaweed)
    client = client_of(ctx.settings)
    p = Planter(1)
    root = p.root()
    a, b, other = p.finetuned(root, 0.03), p.finetuned(root, 0.03), Planter(2).root()
    facts = SimpleNamespace(ctx=ctx, client=client, folder=folder)
    # the child comes before its parent
    by_hand(client, folder, "a-pruned", pruned(a))
    facts.root = registered(ctx, folder, "root", root)
    facts.a = registered(ctx, folder, "a", a, declared(facts.root))
    by_hand(client, folder, "b", b, base_model="org/root", base_model_relation="finetune")
    by_hand(client, folder, "m", merged(a, b))
    by_hand(client, folder, "stranger", other, base_model="root", base_model_relation="finetune")
    registered(ctx, folder, "student", Planter(3).root(), declared(facts.root, Relation.DISTILL))
    by_hand(client, folder, "nan", {**root, "classifier.bias": np.full(5, np.nan, np.float32)})
    facts.pending = ingest.pending(ctx)
    facts.planned = ingest.run(ctx, "b/1", dry_run=True)
    facts.after_plan = ctx.registry.version("b/1")
    facts.killed = killed_at_every_write(ctx, "b/1")
    facts.gists = ingest.run_all(ctx, ingest.fingerprint_all(ctx, facts.pending))
    facts.left = ingest.pending(ctx)
    facts.manifests = {v.name: m for v, m in ctx.registry.manifests()}
    facts.family = {v.name: v.tags.get("heritage.family") for v in ctx.registry.versions()}
    facts.names = {v.digest: v.name for v in ctx.registry.versions()}
    return facts


def recovered(played, name):
    """Name of each recovered parent with relation, sure ones only."""
    parents = played.manifests[name].parents
    return {
        (played.names[e.digest], e.relation.value) for e in parents if e.origin is Origin.RECOVERED and e.confidence
    }


def test_everything_waits_once(played):
    assert played.pending == [f"{n}/1" for n in ("a-pruned", "root", "a", "b", "m", "stranger", "student", "nan")]
    assert played.left == []
    assert {g["status"] for g in played.gists} == {"success"}


def test_a_version_whose_processing_was_killed_at_every_write_is_as_any_other(played):
    assert played.killed >= 2
    assert len(list(played.ctx.registry.versions("b"))) == 1
    assert recovered(played, "b") == {("root", "finetune")}


def test_a_dry_run_tells_what_it_would_write_and_writes_nothing(played):
    assert played.planned["status"] == "planned"
    assert played.planned["parent_id"] == "root/1"
    assert played.after_plan.digest == ""
    assert "heritage.placed" not in played.after_plan.tags


@pytest.mark.parametrize(
    ("name", "parents"),
    [
        ("root", set()),
        ("a", {("root", "finetune")}),
        ("b", {("root", "finetune")}),
        ("a-pruned", {("a", "prune")}),
        ("m", {("a", "merge"), ("b", "merge")}),
        ("stranger", set()),
        ("student", set()),
    ],
)
def test_parents_are_recovered_whatever_came_first(played, name, parents):
    assert recovered(played, name) == parents


def test_weights_make_families_and_a_student_stays_with_its_teacher(played):
    assert played.family["stranger"] == "stranger"
    assert len({played.family[n] for n in ("root", "a", "b", "a-pruned", "m", "student", "nan")}) == 1


def test_what_was_declared_is_kept_and_confirmed(played):
    for name in ("a", "b"):
        said, seen = played.manifests[name].parents
        assert (said.origin, seen.origin) == (Origin.DECLARED, Origin.RECOVERED)
        assert said.digest == seen.digest == played.root.digest
    stored = json.loads(played.ctx.registry.artifact(played.ctx.registry.version("a/1"), ingest.RESULT_PATH))
    assert stored["agreements"] == ["root/1"]
    assert [s["step"] for s in stored["steps"]] == ["declared", "place", "record"]
    assert all(s["seconds"] >= 0 for s in stored["steps"])


def test_a_parent_that_the_weights_deny_is_an_audit_finding_with_both_sides(played):
    found = audit(played.ctx.registry.entries(), played.ctx.now())
    told = [(f.kind.value, f.model) for f in found if f.kind.value.startswith("parent_")]
    assert told == [("parent_unrelated", "stranger/1")]
    said = next(f for f in found if f.kind.value == "parent_unrelated")
    assert "declared:1.0" in said.recorded
    assert "recovered:0.0" in said.claimed


def test_a_model_with_nan_is_placed_by_fingerprints(played):
    assert played.ctx.registry.version("nan/1").tags["heritage.placed"] == "fingerprints"
    stored = json.loads(played.ctx.registry.artifact(played.ctx.registry.version("nan/1"), ingest.RESULT_PATH))
    assert "NaN" in next(s for s in stored["steps"] if s["step"] == "place")["detail"]


def test_processing_twice_changes_nothing_the_second_time(played):
    ctx = played.ctx

    def state():
        return {v.address: (v.tags, ctx.registry.manifest(v)) for v in ctx.registry.versions()}

    def process():
        assert [ingest.run(ctx, address)["status"] for address in ("m/1", "a/1")] == ["success"] * 2
        return state()

    assert process() == process()
    assert ingest.run_all(ctx, ["m/1"]) == []


def test_fingerprints_lie_beside_the_manifest_and_forged_ones_are_not_believed(played):
    ctx = played.ctx
    m, root = ctx.registry.version("m/1"), ctx.registry.version("root/1")
    taken = prints.stored(ctx, m)
    assert taken is not None
    assert m.tags[prints.FINGERPRINT_TAG] == taken.architecture[:16]
    (ctx.settings.work_dir / "fingerprints" / f"{m.digest}.npz").unlink()
    good = ctx.registry.artifact(m, prints.FINGERPRINT_PATH)
    ctx.registry.put_artifact(m, prints.FINGERPRINT_PATH, ctx.registry.artifact(root, prints.FINGERPRINT_PATH))
    assert prints.stored(ctx, m) is None
    ctx.registry.put_artifact(m, prints.FINGERPRINT_PATH, good)
    assert prints.stored(ctx, m) is not None


def test_the_fleet_answers_with_plain_values(played):
    told = fleet.genealogy(played.ctx, played.family["root"])
    json.dumps(told, allow_nan=False)
    assert told["tree"]["roots"] == ["root/1", "nan/1"]  # what NaN was made from cannot be told
    assert {m["address"] for m in told["models"]} >= {"root/1", "a/1", "b/1", "m/1", "a-pruned/1"}
    near = fleet.lineage(played.ctx, "m/1")
    json.dumps(near, allow_nan=False)
    assert [(a["address"], a["distance"]) for a in near["ancestors"]][-1] == ("root/1", 2)
    assert {e["parent"] for e in near["parents"]} == {"a/1", "b/1"}
    down = fleet.lineage(played.ctx, "root/1")
    assert {d["address"] for d in down["descendants"]} >= {"a/1", "b/1", "m/1", "a-pruned/1"}
    numbers = fleet.statistics(played.ctx)
    json.dumps(numbers, allow_nan=False)
    assert (numbers["versions"], numbers["processed"], numbers["pending"]) == (8, 8, 0)
    assert numbers["success_rate"] == 1.0
    assert numbers["mean_confidence"] > 0.7


@pytest.fixture
def heritage_command(played, monkeypatch):
    """Runs a command on the registry of this module."""
    for name, value in environment(played.ctx).items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(app, list(arguments))
    settings.cache_clear()


def test_commands_tell_families_and_draw_their_trees(heritage_command):
    told = heritage_command("families")
    assert told.exit_code == 0, told.output
    assert "8 of 8 versions processed" in told.output
    assert json.loads(heritage_command("families", "--json").stdout)["family_sizes"] == [7, 1]
    drawn = heritage_command("tree", "root")
    assert drawn.exit_code == 0, drawn.output
    assert "a-pruned/1  prune recovered 0.98" in drawn.output
    assert "a/1  finetune declared" in drawn.output
    assert json.loads(heritage_command("tree", "root", "--json").stdout)["family"]["contents"] == 7
    missing = heritage_command("tree", "nobody")
    assert missing.exit_code == 1
    assert "heritage families" in missing.output


def test_commands_plan_before_they_change(heritage_command):
    planned = heritage_command("recluster", "--dry-run")
    assert planned.exit_code == 0, planned.output
    assert "would update" in planned.output
    rebuilt = heritage_command("tree", "root", "--rebuild", "--dry-run", "--json")
    assert rebuilt.exit_code == 0, rebuilt.output
    again = heritage_command("ingest", "a/1", "--dry-run")
    assert "a/1: family root, parent root/1 (finetune declared 1.00, weights agree" in again.output
    stranger = json.loads(heritage_command("ingest", "stranger/1", "--dry-run", "--json").stdout)
    assert [f["kind"] for f in stranger[0]["findings"]] == ["parent_unrelated"]
