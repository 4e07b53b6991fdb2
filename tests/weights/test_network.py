"""Networks from records: what may be imported, what fits, and their outputs."""

import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import torch

from heritage.errors import BadInput, Misconfigured, NotFound, Refused
from heritage.records import Architecture
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.network import build, load, logits, probabilities
from heritage.weights.write import write_safetensors

PACKAGE = """
import torch
from torch import nn

def mlp(width=4, classes=3):
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width), nn.Dropout(0.5), nn.Linear(width, classes))

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Linear(2, 2, bias=False)
        self.decode = nn.Linear(2, 2, bias=False)
        self.decode.weight = self.encode.weight

    def forward(self, x):
        return self.decode(self.encode(x))

def number():
    return 3

def vector():
    return nn.Flatten(0)

answer = 42
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"nets_{tmp_path.name.replace('-', '_')}"
    folder = tmp_path / "code" / name
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "small.py").write_text(PACKAGE)
    (folder / "broken.py").write_text("1 / 0")
    (tmp_path / "code" / f"{name}_evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path / "code")
    return name


def test_a_network_gets_the_weights_of_a_file(package: str, tmp_path: Path) -> None:
    architecture = Architecture(f"{package}.small:mlp", {"width": 5})
    source = build(architecture, [package])
    write_safetensors(tmp_path / "m.safetensors", source.state_dict())

    with Checkpoint.open(tmp_path / "m.safetensors") as view:
        loaded = load(architecture, view, [package])

    assert not loaded.training
    for name, tensor in source.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_building_leaves_the_random_state_alone(package: str) -> None:
    before = torch.random.get_rng_state()
    build(Architecture(f"{package}.small:mlp"), [package])
    assert torch.equal(before, torch.random.get_rng_state())


def test_half_precision_weights_are_computed_in_the_builders_type(package: str) -> None:
    architecture = Architecture(f"{package}.small:mlp")
    state = {k: v.bfloat16() for k, v in build(architecture, [package]).state_dict().items()}
    module = load(architecture, state, [package])
    assert next(module.parameters()).dtype == torch.float32
    assert logits(module, np.zeros((2, 2))).shape == (2, 3)


@pytest.mark.parametrize("given", ["encode.weight", "decode.weight"])
def test_one_name_of_a_tied_tensor_is_enough(package: str, given: str) -> None:
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    module = load(Architecture(f"{package}.small:Tied"), {given: weight}, [package])
    assert torch.equal(module.state_dict()["encode.weight"], weight)


@pytest.mark.parametrize(
    "builder", ["{0}_evil:mlp", "os:system", "{0}", "{0}.small", "{0}.small:mlp.__init__", "{0}..small:mlp", ".x:y", ""]
)
def test_only_allowed_packages_are_imported(package: str, builder: str) -> None:
    name = builder.format(package)
    with pytest.raises((Refused, BadInput), match="architecture builder"):
        build(Architecture(name), [package])
    assert f"{package}_evil" not in sys.modules


def test_an_empty_list_or_entry_allows_nothing(package: str) -> None:
    for allowed in ([], [""]):
        with pytest.raises(Refused, match="none of the allowed packages"):
            build(Architecture(f"{package}.small:mlp"), allowed)


@pytest.mark.parametrize(
    ("builder", "kwargs", "error", "message"),
    [
        ("small:nothing", {}, NotFound, "has no callable 'nothing'"),
        ("small:answer", {}, NotFound, "has no callable 'answer'"),
        ("absent:mlp", {}, NotFound, "absent' is not installed"),
        ("broken:mlp", {}, Misconfigured, "does not import \\(ZeroDivisionError"),
        ("small:mlp", {"depth": 2}, BadInput, "failed on {'depth': 2} with TypeError"),
        ("small:number", {}, BadInput, "gave a int; it must return a torch.nn.Module"),
    ],
)
def test_what_cannot_be_built_says_why(
    package: str, builder: str, kwargs: dict[str, int], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        build(Architecture(f"{package}.{builder}", kwargs), [package])


def test_tensors_that_do_not_fit_are_listed(package: str) -> None:
    architecture = Architecture(f"{package}.small:mlp")
    state = build(architecture, [package]).state_dict()
    del state["0.weight"]
    state["3.bias"] = torch.zeros(7)
    state |= {f"extra.{i}": torch.zeros(1) for i in range(9)}
    with pytest.raises(BadInput) as caught:
        load(architecture, state, [package])
    text = str(caught.value)
    assert "missing: 0.weight;" in text
    assert "extra.4 and 4 more;" in text
    assert "3.bias is (7,) and should be (3,)" in text


def test_outputs_do_not_depend_on_the_batch_size_and_add_up(package: str) -> None:
    module = build(Architecture(f"{package}.small:mlp"), [package]).train()
    x = np.random.default_rng(0).normal(size=(7, 2))
    whole, parts = logits(module, x), logits(module, x, batch_size=2)
    assert module.training  # as it was
    assert whole.dtype == np.float32
    np.testing.assert_allclose(whole, parts, atol=1e-6)
    np.testing.assert_allclose(probabilities(module, x), scipy.special.softmax(whole, axis=1), atol=1e-6)
    assert logits(module, np.zeros((0, 2))).shape == (0, 3)
    assert probabilities(module, np.zeros((0, 2))).shape == (0, 3)


def test_huge_logits_give_finite_probabilities() -> None:
    x = np.float32([[3e38, -3e38], [0, 0]])
    np.testing.assert_array_equal(probabilities(torch.nn.Identity(), x), [[1, 0], [0.5, 0.5]])


def test_inputs_of_another_shape_are_named(package: str) -> None:
    module = build(Architecture(f"{package}.small:mlp"), [package])
    with pytest.raises(BadInput, match=r"inputs of shape \(4, 9\)"):
        logits(module, np.zeros((4, 9)))
    with pytest.raises(BadInput, match=r"expected \(rows, classes\)"):
        logits(torch.nn.Flatten(0), np.zeros((4, 2)))
