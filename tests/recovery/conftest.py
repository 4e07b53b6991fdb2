"""Planted families: weights made by arithmetic, so that every relation is known exactly and nothing is trained."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from heritage.recovery.distance import measure
from heritage.recovery.models import Model, open_folder
from heritage.recovery.sample import draw
from heritage.recovery.stack import stack_of
from heritage.recovery.weighed import WeighedFamily
from heritage.testing.training import State

SHAPES = {
    "embed.weight": (40, 32),
    "layer.0.query.weight": (32, 32),
    "layer.0.value.weight": (32, 32),
    "layer.0.value.bias": (32,),
    "layer.0.norm.weight": (32,),
    "layer.1.dense.weight": (64, 32),
    "layer.1.dense.bias": (64,),
    "layer.2.dense.weight": (32, 64),
    "classifier.weight": (5, 32),
    "classifier.bias": (5,),
}


class Planter:
    """Makes states of one architecture from a seed: a root, and children by known steps."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def noise(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=self.generator)

    def root(self) -> State:
        state = {k: 0.2 * self.noise(s) for k, s in SHAPES.items()}
        state["layer.0.norm.weight"] = torch.ones(32)
        return {k: v * (0.05 if k.endswith("bias") else 1.0) for k, v in state.items()}

    def finetuned(self, parent: State, step: float = 0.02, names: tuple[str, ...] = ()) -> State:
        """Every tensor (or those in `names`) moved by a random step; the first embedding rows only decay."""
        child = {k: v + step * self.noise(tuple(v.shape)) * (not names or k in names) for k, v in parent.items()}
        if not names:
            child["embed.weight"][:6] = parent["embed.weight"][:6] * (1 - step)
        return child

    def adapted(self, parent: State, rank: int = 3) -> State:
        child = dict(parent)
        for k in ("layer.0.query.weight", "layer.0.value.weight", "layer.1.dense.weight"):
            rows, columns = parent[k].shape
            child[k] = parent[k] + 0.02 * self.noise((rows, rank)) @ self.noise((rank, columns))
        return child


@pytest.fixture
def planter() -> Planter:
    return Planter(20260101)


def save(states: dict[str, State], folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, state in states.items():
        tensors = {k: (v.to(dtype) if v.dtype == torch.float32 else v).contiguous() for k, v in state.items()}
        save_file(tensors, folder / f"{name}.safetensors")
    return folder


@contextmanager
def family_of(states: dict[str, State], folder: Path, dtype: torch.dtype = torch.float32) -> Iterator[WeighedFamily]:
    """All `states` as one family, members in the order of `states`."""
    with open_folder(save(states, folder, dtype)) as (models, _):
        by_name = {m.name: m for m in models}
        ordered: list[Model] = [by_name[n] for n in states]
        stack = stack_of(ordered)
        members = list(range(len(ordered)))
        yield WeighedFamily(stack, members, draw(stack), measure(stack, members))


@pytest.fixture
def planted(tmp_path: Path) -> Callable[..., object]:
    def make(states: dict[str, State], dtype: torch.dtype = torch.float32) -> object:
        return family_of(states, tmp_path / "models", dtype)

    return make


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    def make(states: dict[str, State], dtype: torch.dtype = torch.float32) -> Path:
        return save(states, tmp_path / "folder", dtype)

    return make


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)
