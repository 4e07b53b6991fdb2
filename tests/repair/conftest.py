"""A small family on digits: a root that knows rotation, a child that forgot it, a sibling that knows noise."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from heritage.rows import Rows


@dataclass(frozen=True)
class Fixture:
    """A network, the states of a family, and rows of the current (rotated) window."""

    network: nn.Module
    drifted: dict[str, torch.Tensor]
    donors: dict[str, dict[str, torch.Tensor]]
    rows: Rows
    guard: Rows
    test: Rows
    unlabelled: Rows


def build(norm: type[nn.Module] = nn.BatchNorm1d) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 48), norm(48), nn.ReLU(), nn.Linear(48, 10))


def train(network: nn.Module, x: np.ndarray, y: np.ndarray, steps: int, seed: int) -> dict[str, torch.Tensor]:
    random = np.random.default_rng(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    network.train()
    for _ in range(steps):
        pick = random.integers(0, len(x), 64)
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(torch.from_numpy(x[pick])), torch.from_numpy(y[pick])).backward()
        optimiser.step()
    network.eval()
    return {n: t.clone() for n, t in network.state_dict().items()}


def rotate(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(x, axes=(1, 2)))


def make_family(norm: type[nn.Module]) -> Fixture:
    images, labels = load_digits(return_X_y=True)
    x, y = (images.reshape(-1, 8, 8) / 16).astype(np.float32), labels.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    torch.manual_seed(0)
    network = build(norm)
    random = np.random.default_rng(1)
    noisy = (x[:900] + random.normal(0, 0.3, (900, 8, 8))).astype(np.float32)
    root = train(network, np.concatenate([x[:900], rotate(x[:900])]), np.tile(y[:900], 2), 300, 1)
    drifted = train(network, x[:900], y[:900], 200, 2)
    network.load_state_dict(root)
    sibling = train(network, noisy, y[:900], 150, 3)
    current = rotate(x)
    parts = [Rows(current[a:b], y[a:b]) for a, b in ((900, 1000), (1000, 1200), (1200, 1500), (1500, 1797))]
    return Fixture(network, drifted, {"root": root, "sibling": sibling}, *parts[:3], Rows(parts[3].x))


@pytest.fixture(scope="session")
def family() -> Fixture:
    return make_family(nn.BatchNorm1d)


@pytest.fixture(scope="session")
def layer_norm_family() -> Fixture:
    return make_family(nn.LayerNorm)
