import json
from dataclasses import replace

import pytest
from safetensors.numpy import load_file

from heritage.testing.forest import generate
from heritage.testing.plan import KIND_OF, RELATIONS, easy, hard

SMALL = replace(hard(8), small=True, family_size=8, kinds=("mlp",), missing=0.2)


@pytest.fixture(scope="module")
def forest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forest")
    return folder, generate(SMALL, folder, seed=3)


def test_files_and_truth_name_the_same_models(forest):
    folder, truth = forest
    files = {p.stem for p in folder.glob("*.safetensors")}
    assert files == {m["id"] for m in truth["models"]}
    assert json.loads((folder / "truth.json").read_text()) == json.loads(json.dumps(truth))


def test_the_truth_is_consistent(forest):
    _, truth = forest
    by_id = {m["id"]: m for m in truth["models"]}
    for m in by_id.values():
        assert m["relation"] in (*RELATIONS, "root")
        assert m["kind"] == KIND_OF[m["relation"]]
        assert all(p in by_id and by_id[p]["family"] == m["family"] for p in (*m["parents"], *m["ancestors"]))
        assert m["parent_present"] or m["ancestors"] or m["relation"].startswith("merge")
        assert m["parents"] or m["ancestors"] or m["relation"] in ("root", "distill")


def test_a_seed_gives_the_same_weights_again(forest, tmp_path):
    folder, truth = forest
    again = generate(SMALL, tmp_path / "again", seed=3)
    assert again == truth
    name = truth["models"][-1]["id"]
    one, two = (load_file(f / f"{name}.safetensors") for f in (folder, tmp_path / "again"))
    assert all((one[k] == two[k]).all() for k in one)


def test_file_names_tell_nothing(forest):
    _, truth = forest
    assert all(len(m["id"]) == 8 and int(m["id"], 16) >= 0 for m in truth["models"])
    assert [m["id"] for m in truth["models"]] != sorted(m["id"] for m in truth["models"])


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_easy_forests_hold_only_what_was_asked_for(tmp_path, dtype):
    plan = replace(easy({"finetune": 1.0, "lora": 1.0}, 4, dtype), small=True, family_size=4)
    truth = generate(plan, tmp_path, seed=1)
    assert {m["relation"] for m in truth["models"]} <= {"root", "finetune", "lora"}
    assert all(m["parent_present"] for m in truth["models"])
