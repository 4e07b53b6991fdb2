"""The documented way to add methods of recovery: a module that registers functions, named in the settings."""

import json
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heritage.cli import app
from heritage.errors import Misconfigured
from heritage.flows.methods import load
from heritage.recovery.families import FAMILY_METHODS
from heritage.recovery.methods import METRICS, TREE_METHODS
from heritage.settings import settings
from heritage.weights.write import write_safetensors
from tests.planted import Planter

DOCS = Path(__file__).parents[2] / "docs" / "recovery.md"


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """The example of the docs as an importable module."""
    source = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL).group(1)
    (tmp_path / "acme_trees.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("HERITAGE_RECOVERY__PLUGINS", "acme_trees")
    settings.cache_clear()
    yield "acme_trees"
    settings.cache_clear()
    sys.modules.pop("acme_trees", None)
    for known, name in ((METRICS, "biases"), (TREE_METHODS, "star"), (FAMILY_METHODS, "one")):
        known.pop(name, None)


def test_the_documented_methods_are_used_by_their_names(plugin, tmp_path):
    root = Planter(1).root()
    folder = tmp_path / "models"
    folder.mkdir()
    for name, state in {"root": root, "a": Planter(2).finetuned(root), "alone": Planter(3).root()}.items():
        write_safetensors(folder / f"{name}.safetensors", state)
    wanted = ["--tree", "star", "--metric", "biases", "--families", "one", "--json", str(tmp_path / "out.json")]
    done = CliRunner().invoke(app, ["recover", str(folder), *wanted])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out.json").read_text())
    assert [f["members"] for f in found["families"]] == [["a", "alone", "root"]]
    assert [e["relation"] for e in found["edges"]] == ["unknown", "unknown"]


def test_an_unknown_method_is_a_wrong_use_and_lists_the_known_ones(tmp_path):
    done = CliRunner().invoke(app, ["recover", str(tmp_path), "--tree", "oak"])
    assert done.exit_code == 2
    assert "mother" in done.output


@pytest.mark.parametrize("module", ["not_there_at_all", "../evil", "os; import x"])
def test_a_module_that_is_not_there_is_named(module):
    with pytest.raises(Misconfigured, match="HERITAGE_RECOVERY__PLUGINS"):
        load((module,))
