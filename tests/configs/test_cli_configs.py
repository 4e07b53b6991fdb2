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


def test_the_sample_is_sound():
    text = run("summary", *TABLE)
    assert "290 models" in text


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
    with pytest.raises(NotFound, match="csv of model names"):
        run("behaviour", *TABLE, "--scores", tmp_path / "none.csv", "-o", tmp_path)
