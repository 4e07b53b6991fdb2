import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import heritage.configs
from heritage.cli.configs import app
from heritage.configs.drift import PAIR_COLUMNS
from heritage.configs.mutations import RATE_COLUMNS
from heritage.errors import BadInput, HeritageError, NotFound

SAMPLE = Path(heritage.configs.__file__).parent / "sample"
TABLE = ["--table", str(SAMPLE / "configs.csv")]
EDGES = ["--edges", str(SAMPLE / "edges.csv")]


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=True)
    if isinstance(result.exception, HeritageError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.mark.parametrize("mode", ["seed", "range"])
def test_drift_writes_the_published_files(tmp_path, mode):
    out = json.loads(run("drift", *TABLE, *EDGES, "--mode", mode, "-o", tmp_path, "--json"))
    assert list(pd.read_csv(tmp_path / "config_drift_pairs.csv")) == PAIR_COLUMNS
    assert list(pd.read_csv(tmp_path / "config_mutation_rates.csv")) == RATE_COLUMNS
    for name in ("config_drift_analysis", "mutational_landscape"):
        assert (tmp_path / "figures" / f"{name}.png").is_file()
    assert out["summary"]["edges"] == 81
    assert 0 < out["summary"]["mean_drift"] < 0.1


def test_the_sample_is_sound_and_at_hand():
    text = run("summary", *TABLE)
    assert "290 models" in text
    assert run("summary", "--table", "sample") == text


def test_the_sample_brings_its_edges(tmp_path):
    assert json.loads(run("lineage", "--table", "sample", "-o", tmp_path, "--json"))["summary"]["edges"] == 81


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("scores.json", '{"Qwen/Qwen3-32B": 1200, "Qwen/Qwen3-14B": 1100}'),
        ("scores.json", '[{"Model": "Qwen/Qwen3-32B", "Arena Elo": 1200}, {"Model": "Qwen3-14B", "Arena Elo": 1100}]'),
        ("scores.csv", "model_name,rating\nQwen/Qwen3-32B,1200\nQwen3-14B,1100\n"),
    ],
)
def test_scores_are_read_from_csv_and_json(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    arguments = ["--table", "sample", "--scores", tmp_path / name, "-o", tmp_path / "out", "--json"]
    assert json.loads(run("behaviour", *arguments))["summary"]["scored_models"] == 2


@pytest.mark.parametrize("text", ["[1]", "nonsense", '{"a": "b"}'])
def test_score_lists_that_are_none_are_told(tmp_path, text):
    (tmp_path / "scores.json").write_text(text)
    with pytest.raises(BadInput, match=r"scores\.json"):
        run("behaviour", "--table", "sample", "--scores", tmp_path / "scores.json", "-o", tmp_path)


def test_models_that_are_all_alike_have_no_distances_and_no_crash(tmp_path):
    one = pd.read_csv(SAMPLE / "configs.csv", dtype=str).head(1)
    alike = pd.concat([one.assign(modelId=f"o/{i}") for i in range(8)])
    alike.to_csv(tmp_path / "alike.csv", index=False)
    told = json.loads(run("similarity", "--table", tmp_path / "alike.csv", "-o", tmp_path / "out", "--json"))
    assert told["summary"]["identical_pairs"] == 28
    assert (pd.read_csv(tmp_path / "out" / "config_similarity_embedding.csv")[["x", "y"]] == 0).all(axis=None)


def test_lineage_is_told_and_can_fail(tmp_path):
    assert "edges contradicted: 0" in run("lineage", *TABLE, *EDGES, "-o", tmp_path)
    wrong = pd.DataFrame(
        {"parent_id": ["google/gemma-2-9b"], "child_id": ["google/gemma-2-2b-it"], "relation": ["finetune"]}
    )
    pd.concat([wrong, wrong]).to_csv(tmp_path / "wrong.csv", index=False)
    arguments = ["lineage", *TABLE, "--edges", tmp_path / "wrong.csv", "-o", tmp_path, "--fail-on-contradiction"]
    assert "google/gemma-2-2b-it declared as finetune of google/gemma-2-9b" in run(*arguments, code=3)
    set_aside = pd.read_csv(tmp_path / "edges_quarantine.csv")
    assert len(set_aside) == 1  # the edge that stands there twice


def test_two_models_are_explained():
    told = run("explain", "google/gemma-2-9b", "google/gemma-2-2b", *TABLE)
    assert "config_hidden_size" in told
    assert told.startswith("distance 0.")
    with pytest.raises(NotFound, match="no model"):
        run("explain", "nobody/none", "google/gemma-2-2b", *TABLE)


def test_a_table_of_nothing_is_told(tmp_path):
    (tmp_path / "t.csv").write_text("modelId\n..\n")
    with pytest.raises(BadInput, match="no model is left"):
        run("moe", "--table", tmp_path / "t.csv", "-o", tmp_path)


def test_missing_score_lists_are_told(tmp_path):
    with pytest.raises(NotFound, match="csv or JSON file of model names"):
        run("behaviour", *TABLE, "--scores", tmp_path / "none.csv", "-o", tmp_path)
