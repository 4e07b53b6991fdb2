"""All families and trees again, with ids that stay, and nothing lost of what was said or proved."""

import json
from types import SimpleNamespace

import pytest

from heritage.errors import NotFound
from heritage.flows import fleet, plans, rebuild, recluster
from heritage.flows.clusters import cluster, joined
from heritage.records import Origin, Relation
from heritage.recovery.recover import Options
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.fingerprinting import take_fingerprint
from heritage.weights.write import write_safetensors
from tests.planted import Planter, by_hand, client_of, declared, embedded, merged, pruned, registered

NAMES = {"root", "a", "b", "a-pruned", "m", "other", "other-ft", "student", "hand"}

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def played(tmp_path_factory, seaweed):
    """Two families whose tags tell something else, a student, and an unreadable version; reclustered twice."""
    folder = tmp_path_factory.mktemp("recluster")
    ctx = embedded(folder, seaweed)
    client = client_of(ctx.settings)
    p, q = Planter(1), Planter(2)
    root, other = p.root(), q.root()
    a, b = p.finetuned(root, 0.03), p.finetuned(root, 0.03)
    facts = SimpleNamespace(ctx=ctx)
    facts.root = registered(ctx, folder, "root", root)
    facts.a = registered(ctx, folder, "a", a, declared(facts.root))
    registered(ctx, folder, "b", b)
    registered(ctx, folder, "a-pruned", pruned(a))
    registered(ctx, folder, "m", merged(a, b))
    registered(ctx, folder, "other", other)
    # somebody says the wrong thing: the weights tell that it is a child of 'other'
    registered(ctx, folder, "other-ft", q.finetuned(other, 0.03), declared(facts.root))
    registered(ctx, folder, "student", Planter(3).root(), declared(facts.root, Relation.DISTILL))
    by_hand(client, folder, "hand", p.finetuned(b, 0.02))
    # names that MLflow takes and heritage does not
    by_hand(client, folder, "<img src=x>", root)
    client.set_model_version_tag("m", "1", "heritage.family", "<b>")
    # a version that only claims to be another one
    by_hand(client, folder, "claims", Planter(9).root(), **{"heritage.digest": facts.root.digest})
    facts.planned = recluster.run(ctx, dry_run=True)
    facts.after_plan = families(ctx)
    facts.first = recluster.run(ctx)
    facts.families = families(ctx)
    facts.second = recluster.run(ctx)
    facts.manifests = {v.name: m for v, m in ctx.registry.manifests()}
    facts.names = {v.digest: v.name for v in ctx.registry.versions() if v.name in NAMES}
    return facts


def families(ctx):
    return {v.name: v.tags.get("heritage.family", "") for v in ctx.registry.versions() if v.name in NAMES}


def edges(manifests, names, origin=Origin.RECOVERED):
    return {
        (names[e.digest], child, e.relation.value)
        for child, manifest in manifests.items()
        for e in manifest.parents
        if e.origin is origin and e.confidence > 0
    }


def test_a_dry_run_counts_and_changes_nothing(played):
    assert played.planned["status"] == "planned"
    assert played.planned["models_updated"] > 0
    assert played.after_plan["b"] == "b"
    assert played.after_plan["hand"] == ""


def test_families_are_those_of_the_weights_and_keep_the_id_of_most_members(played):
    assert played.families == {
        **dict.fromkeys(("root", "a", "b", "a-pruned", "m", "student", "hand"), "root"),
        **dict.fromkeys(("other", "other-ft"), "other"),
    }
    assert played.first["models_updated"] > 0
    assert {f["id"]: f["members"] for f in played.first["families"]} == {"root": 7, "other": 2}


def test_trees_are_recovered_from_fingerprints(played):
    assert edges(played.manifests, played.names) == {
        ("root", "a", "finetune"),
        ("root", "b", "finetune"),
        ("a", "a-pruned", "prune"),
        ("a", "m", "merge"),
        ("b", "m", "merge"),
        ("b", "hand", "finetune"),
        ("other", "other-ft", "finetune"),
    }


def test_what_was_said_is_kept_and_what_the_weights_deny_is_noted(played):
    assert edges(played.manifests, played.names, Origin.DECLARED) == {
        ("root", "a", "finetune"),
        ("root", "other-ft", "finetune"),
        ("root", "student", "distill"),
    }
    denied = [e for e in played.manifests["other-ft"].parents if e.confidence == 0]
    assert [e.digest for e in denied] == [played.root.digest]


def test_names_that_heritage_does_not_take_are_left_alone(played):
    foreign = next(v for v in played.ctx.registry.versions() if "<" in v.name)
    assert not {key for key in foreign.tags if key.startswith("heritage.")}
    claims = played.ctx.registry.version("claims/1")
    assert "heritage.family" not in claims.tags
    assert claims.tags["heritage.ingest"]


def test_a_second_run_changes_nothing(played):
    assert (played.second["models_updated"], played.second["moved"]) == (0, 0)


def test_the_result_is_stored_for_others(played):
    stored = plans.current(played.ctx)
    assert {f["id"] for f in stored["families"]} == {"root", "other"}
    assert stored["quality"]["silhouette"] > 0.5
    assert stored["quality"]["stability"] > 0.9
    assert fleet.statistics(played.ctx)["quality"] == stored["quality"]


def test_a_reset_drops_everything_recovered_and_finds_it_again(played):
    ctx = played.ctx
    for addresses in recluster.portions(ctx):
        recluster.prepare(ctx, addresses, reset=True)
    bare = {v.name: m for v, m in ctx.registry.manifests()}
    assert set(families(ctx).values()) == {""}
    assert edges(bare, played.names) == set()
    assert edges(bare, played.names, Origin.DECLARED) == edges(played.manifests, played.names, Origin.DECLARED)
    recluster.run(ctx, reset=True)
    assert families(ctx) == played.families
    assert {v.name: m for v, m in ctx.registry.manifests()} == played.manifests


@pytest.mark.parametrize("weights", [False, True])
def test_one_familys_tree_is_rebuilt_and_told(played, weights):
    ctx = played.ctx
    found = rebuild.run(ctx, "other", weights=weights)
    assert (found["status"], found["models"], found["roots"]) == ("success", 2, ["other/1"])
    assert found["tree_statistics"]["members"] == 2
    assert rebuild.run(ctx, "other", weights=weights)["models_updated"] == 0
    assert json.loads(ctx.store.get("families/trees/other.json"))["family_id"] == "other"
    with pytest.raises(NotFound, match="heritage families"):
        rebuild.run(ctx, "nobody")


def test_links_join_families():
    assert joined([("a", "b"), ("c",), ("d",)], [("c", "a"), ("d", "stranger")]) == [("a", "b", "c"), ("d",)]


def test_a_clustering_does_not_depend_on_names(tmp_path):
    states = {"x": (p := Planter(5)).root()}
    states["y"] = p.finetuned(states["x"], 0.03)
    states["z"] = Planter(6).root()
    taken = {}
    for name, state in states.items():
        write_safetensors(tmp_path / f"{name}.safetensors", state)
        with Checkpoint.open(tmp_path / f"{name}.safetensors") as checkpoint:
            taken[name] = take_fingerprint(checkpoint)
    assert cluster(taken, Options()).families == (("x", "y"), ("z",))
    renamed = {{"x": "c", "y": "b", "z": "a"}[n]: t for n, t in taken.items()}
    assert cluster(renamed, Options()).families == (("a",), ("b", "c"))
    alone = cluster({name: taken[name] for name in "xy"}, Options())
    assert alone.silhouette is None  # of one family there is nothing to tell
    assert alone.stability == 1.0
