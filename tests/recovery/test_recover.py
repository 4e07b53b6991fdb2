import json
import math
import os
import random
import resource

import numpy as np
import pytest
import torch
import typer
from safetensors.torch import save_file
from typer.testing import CliRunner

from heritage.cli.recover import register
from heritage.errors import BadInput, NotFound
from heritage.recovery.models import open_folder
from heritage.recovery.recover import Options, recover, recover_fingerprints
from heritage.testing import relations as made
from heritage.weights.fingerprinting import take_fingerprint

from .conftest import SHAPES, Planter


def recovered(folder, options=Options(), keep_going=False):  # noqa: B008
    with open_folder(folder, keep_going) as (models, skipped):
        found = recover(models, options, keep_going)
    return found.document(), skipped, found.skipped


@pytest.fixture
def forest():
    """Two families and a loner; every relation in the first."""
    p, q = Planter(1), Planter(2)
    root = p.root()
    a, b = p.finetuned(root, 0.03), p.finetuned(root, 0.04)
    states = {"root": root, "a": a, "b": b, "chain": p.finetuned(a, 0.02), "lora": p.adapted(b)}
    states["pruned"] = made.prune(a, 0.4, True)[0]
    states["tuned"] = p.finetuned(states["pruned"], 0.02)
    states["int8"] = made.quantise(b, True)
    states["merge"] = made.linear([a, b], [0.4, 0.6])
    other = q.root()
    states |= {"other": other, "other-child": q.finetuned(other, 0.03), "loner": Planter(3).root()}
    return states


EXPECTED = {
    ("root", "a", "finetune"),
    ("root", "b", "finetune"),
    ("a", "chain", "finetune"),
    ("b", "lora", "lora"),
    ("a", "pruned", "prune"),
    ("pruned", "tuned", "finetune"),
    ("b", "int8", "quantize"),
    ("a", "merge", "merge"),
    ("b", "merge", "merge"),
    ("other", "other-child", "finetune"),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
def test_a_planted_forest_is_recovered_whole(forest, saved, dtype):
    document, _, _ = recovered(saved(forest, dtype))
    assert {(e["parent"], e["child"], e["relation"]) for e in document["edges"]} == EXPECTED
    assert set(document["roots"]) == {"root", "other", "loner"}
    assert sorted(len(f["members"]) for f in document["families"]) == [1, 2, 9]
    assert all(0 < e["confidence"] <= 1 for e in document["edges"])


def test_the_result_depends_on_neither_names_nor_order_nor_age(forest, tmp_path):
    def run(seed):
        names = [f"{i:04d}" for i in range(len(forest))]
        random.Random(seed).shuffle(names)
        folder = tmp_path / str(seed)
        folder.mkdir()
        for name, state in zip(names, forest.values(), strict=True):
            save_file({k: state[k].contiguous() for k in random.Random(seed).sample(sorted(state), len(state))},
                      folder / f"{name}.safetensors")  # fmt: skip
            age = random.Random(f"{seed} {name}").randrange(10**9)
            os.utime(folder / f"{name}.safetensors", (age, age))
        back = dict(zip(names, forest, strict=True))
        document, _, _ = recovered(folder)
        edges = {(back[e["parent"]], back[e["child"]], e["relation"], e["confidence"]) for e in document["edges"]}
        families = {(f["id"], frozenset(back[m] for m in f["members"])) for f in document["families"]}
        return edges, families, {back[r] for r in document["roots"]}

    first = run(1)
    assert all(run(seed) == first for seed in (2, 3, 4))


def test_twins_are_one_model_with_copies(planter, saved):
    root = planter.root()
    child = planter.finetuned(root, 0.03)
    document, _, _ = recovered(saved({"root": root, "child": child, "twin": dict(child)}))
    relations = {frozenset((e["parent"], e["child"])): e["relation"] for e in document["edges"]}
    assert relations[frozenset(("child", "twin"))] == "copy"
    assert len(document["edges"]) == 2
    assert document["roots"] == ["root"]


def test_two_identical_models_and_one_model_have_a_clear_outcome(planter, saved, tmp_path):
    root = planter.root()
    document, _, _ = recovered(saved({"x": root, "y": dict(root)}))
    assert [e["relation"] for e in document["edges"]] == ["copy"]
    assert len(document["roots"]) == 1
    one = tmp_path / "one"
    one.mkdir()
    save_file(root, one / "only.safetensors")
    document = recovered(one)[0]
    assert (document["edges"], document["roots"]) == ([], ["only"])


@pytest.mark.parametrize("families", ["threshold", "dbscan", "kmeans", "auto"])
@pytest.mark.parametrize("metric", ["auto", "rank"])
@pytest.mark.parametrize(
    "tensor", [torch.zeros(16, 8), torch.ones(16, 8), torch.arange(50.0)], ids=["0", "1", "vector"]
)
def test_equal_models_without_a_cosine_are_one_family(saved, tensor, metric, families):
    nothing = torch.zeros(0, 4)
    states = {"a": {"w": tensor, "e": nothing}, "b": {"w": tensor.clone(), "e": nothing}}
    other = {"w": torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0)), "e": nothing}
    document, _, _ = recovered(saved({**states, "c": other}), Options(metric=metric, families=families))
    assert sorted(sorted(f["members"]) for f in document["families"]) == [["a", "b"], ["c"]]
    assert [e["relation"] for e in document["edges"]] == ["copy"]
    assert len(document["roots"]) == 2


@pytest.mark.parametrize("tree", ["heritage", "mother", "distance", "kurtosis"])
@pytest.mark.parametrize("metric", ["auto", "l2", "cosine", "rank"])
def test_every_method_gives_a_tree_over_all_members(forest, saved, tree, metric):
    document, _, _ = recovered(saved(forest), Options(tree=tree, metric=metric))
    children = {e["child"] for e in document["edges"]}
    everyone = {m for f in document["families"] for m in f["members"]}
    assert children | set(document["roots"]) == everyone
    assert children.isdisjoint(document["roots"])


def test_unknown_methods_are_named_with_those_that_exist():
    with pytest.raises(BadInput, match="choose one of distance, heritage"):
        Options(tree="oracle")
    assert Options(z_score=0.0).z_score == 0.0  # whoever is alike at all: how a new version's nearest are looked at
    with pytest.raises(BadInput, match="z-score nan"):
        Options(z_score=math.nan)
    with pytest.raises(BadInput, match="lambda -1"):
        Options(kurtosis_weight=-1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused_or_left_out(forest, saved, value):
    forest["b"]["layer.1.dense.weight"][3, 3] = value
    folder = saved(forest)
    with pytest.raises(BadInput, match=r"'b'.*layer\.1\.dense\.weight"):
        recovered(folder)
    document, _, skipped = recovered(folder, keep_going=True)
    assert [s.name for s in skipped] == ["b"]
    assert "b" not in {m for f in document["families"] for m in f["members"]}
    assert len(document["edges"]) >= 7


def test_mismatched_shapes_and_missing_tensors_are_compared_where_they_can_be(forest, saved):
    forest["a"] = {**forest["a"], "classifier.weight": torch.ones(9, 32), "classifier.bias": torch.ones(9)}
    forest["chain"] = {k: v for k, v in forest["chain"].items() if not k.startswith("classifier")}
    document, _, _ = recovered(saved(forest))
    edges = {(e["parent"], e["child"]) for e in document["edges"]}
    assert {("root", "a"), ("a", "chain")} <= edges


@pytest.mark.parametrize("layers", ["attention", "dense", "linear"])
@pytest.mark.parametrize("by_prints", [False, True], ids=["weights", "fingerprints"])
def test_only_the_chosen_layers_are_compared(planter, saved, layers, by_prints):
    mine = {
        "attention": ("layer.0.query.weight", "layer.0.value.weight"),
        "dense": ("layer.1.dense.weight", "layer.2.dense.weight"),
        "linear": ("layer.0.query.weight", "layer.1.dense.weight", "layer.2.dense.weight"),
    }[layers]
    root = planter.root()
    child = planter.finetuned(root, 0.05, mine)
    # a grandchild by the chosen layers, that goes back to the root in all others
    grandchild = planter.finetuned(child, 0.05, mine)
    far = planter.finetuned(root, 0.4, ("embed.weight", "layer.0.norm.weight"))
    child |= {k: far[k] for k in ("embed.weight", "layer.0.norm.weight")}

    def edges(**options):
        with open_folder(folder) as (models, _):
            known = {m.name: take_fingerprint(m.weights) for m in models} if by_prints else models
            found = (recover_fingerprints if by_prints else recover)(known, Options(tree="distance", **options))
        return {frozenset((e["parent"], e["child"])) for e in found.document()["edges"]}

    folder = saved({"root": root, "child": child, "grandchild": grandchild})
    chain = {frozenset(("root", "child")), frozenset(("child", "grandchild"))}
    assert edges(layers=layers) == chain
    assert edges() != chain


def test_layers_that_no_model_has_are_an_error(saved):
    folder = saved({n: {"blob.weight": torch.ones(8, 8)} for n in "ab"})
    with pytest.raises(BadInput, match="no tensor belongs to the attention layers"):
        recovered(folder, Options(layers="attention"))
    with pytest.raises(BadInput, match="choose one of all, attention, dense, linear"):
        Options(layers="norms")


def test_models_that_cannot_be_compared_are_grouped_by_size_with_a_warning(planter, saved):
    whole = {"a": torch.ones(8, 8, dtype=torch.int8), "b": torch.zeros(3, dtype=torch.int64)}
    states = {"x": whole, "y": {k: 2 * v for k, v in whole.items()}, "z": {"a": torch.ones(5, dtype=torch.int8)}}
    root = planter.root()
    folder = saved({**states, "root": root, "child": planter.finetuned(root, 0.03)})
    with open_folder(folder) as (models, _):
        found = recover(models)
        prints = recover_fingerprints({m.name: take_fingerprint(m.weights) for m in models})
    assert sorted(f.members for f in found.families) == [("child", "root"), ("x", "y"), ("z",)]
    assert [(e.parent, e.child) for f in found.families for e in f.edges] == [("root", "child")]
    assert {f.members: f.roots for f in found.families[1:]} == {("x", "y"): (), ("z",): ("z",)}
    assert len(found.warnings) == 1
    assert "number of parameters alone" in found.warnings[0]
    assert prints.warnings == found.warnings
    assert {f.members for f in prints.families} == {f.members for f in found.families}


app = typer.Typer()
app.callback()(lambda: None)
register(app)


def run(*arguments):
    return CliRunner().invoke(app, ["recover", *map(str, arguments)])


def test_the_command_writes_exactly_the_document(forest, saved, tmp_path):
    out = tmp_path / "out.json"
    assert run(saved(forest), "--json", out).exit_code == 0
    document = json.loads(out.read_text())
    assert document.keys() == {"families", "edges", "roots"}
    assert {k for e in document["edges"] for k in e} == {"parent", "child", "relation", "confidence"}
    assert {(e["parent"], e["child"], e["relation"]) for e in document["edges"]} == EXPECTED


def test_the_command_draws_trees(forest, saved):
    result = run(saved(forest))
    assert result.exit_code == 0
    assert "other-child  finetune" in result.stdout
    assert "also from" in result.stdout


def test_the_command_compares_the_chosen_layers_only(planter, saved, tmp_path):
    root, out = planter.root(), tmp_path / "out.json"
    child = planter.finetuned(root, 0.05, ("layer.0.query.weight", "layer.0.value.weight"))
    grandchild = planter.finetuned(child, 0.05, ("layer.0.query.weight", "layer.0.value.weight"))
    far = planter.finetuned(root, 0.4, ("embed.weight", "layer.0.norm.weight"))
    child |= {k: far[k] for k in ("embed.weight", "layer.0.norm.weight")}
    folder = saved({"root": root, "child": child, "grandchild": grandchild})

    def pairs(*options):
        assert run(folder, "--tree", "distance", "--json", out, *options).exit_code == 0
        return {frozenset((e["parent"], e["child"])) for e in json.loads(out.read_text())["edges"]}

    chain = {frozenset(("root", "child")), frozenset(("child", "grandchild"))}
    assert pairs("--layers", "attention") == chain
    assert pairs("--layers", "all") == pairs() != chain
    assert run(folder, "--layers", "norms").exit_code == 2
    assert run(folder, "--distances", "rough").exit_code == 2
    none = run(saved({n: {"blob.weight": torch.ones(8, 8)} for n in "ab"}), "--layers", "dense")
    assert isinstance(none.exception, BadInput)


def test_the_command_weighs_kurtosis_and_families_as_it_is_told(planter, saved, tmp_path):
    out = tmp_path / "out.json"
    root = planter.root()
    states = {"root": root, "near": planter.finetuned(root, 0.03), "far": planter.finetuned(root, 0.3)}
    states["end"] = planter.finetuned(states["near"], 0.05)
    # heavier tails from child to child: the rule's order is the other way round than distance alone would have it
    states["far"]["layer.0.query.weight"][0, 0] = 9.0
    folder = saved(states)

    def found(*options):
        assert run(folder, "--tree", "mother", "--json", out, *options).exit_code == 0
        document = json.loads(out.read_text())
        return sorted((e["parent"], e["child"]) for e in document["edges"]), len(document["families"])

    assert found() == found("--lambda", "0.3", "--z-score", "12")
    assert found("--lambda", "0")[0] != found("--lambda", "1e6")[0]
    assert found("--z-score", "1e6")[1] == len(states)
    assert run(folder, "--lambda", "-1").exit_code == 2
    assert run(folder, "--z-score", "-1").exit_code == 2


@pytest.mark.parametrize(("distances", "sketched"), [("exact", False), ("sketch", True), ("auto", False)])
def test_the_command_measures_distances_as_it_is_told(planter, saved, tmp_path, monkeypatch, distances, sketched):
    import heritage.recovery.distance as distance
    import heritage.recovery.stack as stack

    asked = []
    monkeypatch.setattr(stack, "KEEP_BYTES", 0)
    monkeypatch.setattr(distance, "SKETCHED_FROM", 1000)
    look = distance.sketched_slot
    monkeypatch.setattr(distance, "sketched_slot", lambda *a: asked.append(a) or look(*a))
    root = planter.root()
    folder = saved({"root": root, "child": planter.finetuned(root, 0.03)})
    assert run(folder, "--distances", distances, "--json", tmp_path / "o.json").exit_code == 0
    assert bool(asked) == sketched


def test_one_corrupt_file_among_fifty_is_named_and_can_be_left_out(forest, planter, saved, tmp_path):
    root = planter.root()
    folder = saved({**forest, **{f"more-{i}": planter.finetuned(root, 0.03) for i in range(49 - len(forest))}})
    (folder / "broken.safetensors").write_bytes(b"\xff" * 64)
    result = run(folder, "--json", tmp_path / "o.json")
    assert isinstance(result.exception, BadInput)
    assert "broken" in str(result.exception)
    assert "--keep-going" in str(result.exception)
    kept = run(folder, "--json", tmp_path / "o.json", "--keep-going")
    assert kept.exit_code == 0
    assert "left out broken" in kept.stderr


def test_an_empty_or_absent_folder_is_an_error(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NotFound), open_folder(folder):
            pass


def test_thousands_of_models_are_parted_before_pairs_are_kept(saved, monkeypatch):
    import heritage.recovery.recover as module

    states = {}
    for f in range(4):
        planter = Planter(f)
        root = planter.root()
        states |= {f"{f}-root": root, f"{f}-a": planter.finetuned(root, 0.03), f"{f}-b": planter.finetuned(root, 0.03)}
    folder = saved(states)
    whole, _, _ = recovered(folder)
    monkeypatch.setattr(module, "MOST_TOGETHER", 3)
    parted, _, _ = recovered(folder)
    assert {frozenset(f["members"]) for f in parted["families"]} == {frozenset(f["members"]) for f in whole["families"]}
    assert parted["edges"] == whole["edges"]
    monkeypatch.setattr(module, "MOST_TOGETHER", 2)
    with pytest.raises(BadInput, match="a family of 3 models is more than 2"):
        recovered(folder)


def test_more_distances_than_memory_holds_are_refused(forest, saved, monkeypatch):
    import heritage.recovery.distance as module

    monkeypatch.setattr(module, "MOST_VALUES", 9**2 * len(SHAPES) - 1)
    with pytest.raises(BadInput, match=r"all pairs of 9 models in 10 tensors.*--layers"):
        recovered(saved(forest))
    assert recovered(saved(forest), Options(layers="linear"))[0]["edges"]


@pytest.mark.slow
def test_ten_thousand_models_of_one_family_are_refused_in_bounded_memory(tmp_path):
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(32, 24, generator=generator)
    for i in range(10_000):
        save_file(
            {"a.weight": root + 0.03 * torch.randn(root.shape, generator=generator)}, tmp_path / f"{i}.safetensors"
        )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadInput, match="a family of 10000 models is more than 3000"):
        recovered(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # kB


@pytest.mark.slow
def test_ten_thousand_models_have_a_clear_outcome(tmp_path):
    generator = torch.Generator().manual_seed(0)
    for f in range(1000):
        root = {
            "a.weight": torch.randn(32, 24, generator=generator),
            "b.weight": torch.randn(24, 32, generator=generator),
        }
        for i in range(10):
            step = 0.03 if i else 0.0
            state = {k: v + step * torch.randn(v.shape, generator=generator) for k, v in root.items()}
            save_file(state, tmp_path / f"{f:04d}{i}.safetensors")
    document, _, _ = recovered(tmp_path)
    assert len(document["families"]) == 1000
    assert len(document["edges"]) == 9000
