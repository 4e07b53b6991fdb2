"""`heritage fingerprint` as a person calls it; `families`, `tree` and `recluster` are called in tests/flows."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from heritage.cli import app
from heritage.weights.fingerprint_codec import from_bytes
from heritage.weights.write import write_safetensors


@pytest.fixture
def weights(tmp_path):
    rng = np.random.default_rng(1)
    tensors = {"w": rng.normal(size=(30, 20)).astype(np.float32), "b": np.zeros(20, np.float32)}
    return write_safetensors(tmp_path / "m.safetensors", tensors) or tmp_path / "m.safetensors"


def test_a_fingerprint_is_told_and_written(tmp_path, weights):
    out = tmp_path / "m.npz"
    done = CliRunner().invoke(app, ["fingerprint", str(weights), "-o", str(out), "--json"])
    assert done.exit_code == 0, done.output
    told, stored = json.loads(done.stdout), from_bytes(out.read_bytes())
    assert told["digest"] == stored.digest
    assert (told["tensors"], told["parameters"], told["zeros"]) == (2, 620, 20)
    assert told["fingerprint_bytes"] == out.stat().st_size


@pytest.mark.parametrize(("arguments", "word"), [(["none.safetensors"], "none"), (["{weights}", "-o", "/"], "/")])
def test_what_cannot_be_read_or_written_is_named(weights, arguments, word):
    done = CliRunner().invoke(app, ["fingerprint", *(a.replace("{weights}", str(weights)) for a in arguments)])
    assert done.exit_code == 1
    assert word in done.output
    assert "Traceback" not in done.output
