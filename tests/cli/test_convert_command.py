"""`heritage convert` as a person calls it."""

import os

import pytest
import torch
from typer.testing import CliRunner

from heritage.cli import app
from heritage.weights.checkpoint import Checkpoint


class Hostile:
    """Runs a command when it is unpickled the usual way."""

    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


def test_a_pickled_file_becomes_safetensors(tmp_path):
    torch.save({"a": torch.arange(3.0)}, tmp_path / "x.pt")
    done = CliRunner().invoke(app, ["convert", str(tmp_path / "x.pt"), str(tmp_path / "x.safetensors")])
    assert done.exit_code == 0, done.output
    with Checkpoint.open(tmp_path / "x.safetensors") as checkpoint:
        assert checkpoint.read("a").tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("name", ["x.pt", "x.bin"])
def test_a_hostile_file_runs_nothing_and_says_what_it_wanted(tmp_path, name):
    canary = tmp_path / "canary"
    torch.save({"a": Hostile(str(canary))}, tmp_path / name)
    done = CliRunner().invoke(app, ["convert", str(tmp_path / name), str(tmp_path / "x.safetensors")])
    assert done.exit_code == 1
    assert "system" in done.output
    assert not canary.exists()
    assert not (tmp_path / "x.safetensors").exists()
