"""Families with a known history for the repair benchmark: networks, images, kinds of drift.

A root learns all classes with augmentation; a parent is tuned on clean images; the drifted child is tuned for a narrow
site (4 of 10 classes make up 88 % of its rows). Two siblings know rotation, and noise with blur.
"""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from heritage.rows import Rows

FASHION = Path("/usr/share/datasets/fashion-mnist")
State = dict[str, torch.Tensor]
Images = torch.Tensor  # float32 (n, 1, side, side) in [0, 1]


@dataclass(frozen=True)
class Data:
    """Images and labels, cut into rows to train on and rows to draw windows from."""

    train: tuple[Images, NDArray[np.int64]]
    fresh: tuple[Images, NDArray[np.int64]]
    name: str


@dataclass(frozen=True)
class Family:
    """A network with the weights of its relatives; the drifted one is deployed."""

    network: nn.Module
    drifted: State
    donors: dict[str, State]  # nearest first


def load_data() -> Data:
    """Fashion-MNIST at 14 x 14 where Debian's dataset-fashion-mnist is installed, else scikit-learn's digits."""
    if FASHION.is_dir():
        parts = [_fashion(kind) for kind in ("train", "t10k")]
        return Data(parts[0], parts[1], "fashion-mnist 14x14")
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    images = torch.from_numpy((x.reshape(-1, 1, 8, 8) / 16).astype(np.float32))
    order = np.random.default_rng(0).permutation(len(images))
    cut = order[:600], order[600:]
    return Data((images[cut[0]], y[cut[0]]), (images[cut[1]], y[cut[1]]), "digits 8x8")


def _fashion(part: str) -> tuple[Images, NDArray[np.int64]]:
    with gzip.open(FASHION / f"{part}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(FASHION / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64)
    return functional.avg_pool2d(torch.from_numpy(pixels.astype(np.float32) / 255), 2), labels


def rotate(x: Images, random: np.random.Generator, most: float = 45.0) -> Images:
    """Each image turned by an angle in degrees from `most`/3 to `most`, to either side."""
    angles = np.deg2rad(random.uniform(most / 3, most, len(x)) * random.choice([-1, 1], len(x)))
    turn = np.stack([np.cos(angles), -np.sin(angles), 0 * angles, np.sin(angles), np.cos(angles), 0 * angles], axis=1)
    grid = functional.affine_grid(torch.from_numpy(turn.reshape(-1, 2, 3).astype(np.float32)), list(x.shape), False)
    return functional.grid_sample(x, grid, align_corners=False)


def noise(x: Images, random: np.random.Generator, spread: float = 0.25) -> Images:
    """Gaussian sensor noise, clipped to the range of the sensor."""
    return (x + torch.from_numpy(random.normal(0, spread, x.shape).astype(np.float32))).clamp(0, 1)


def blur(x: Images, _: np.random.Generator) -> Images:
    """The mean over 3 x 3 pixels."""
    return functional.avg_pool2d(x, 3, 1, 1)


def scale(x: Images, _: np.random.Generator) -> Images:
    """Less contrast on a brighter ground, as of another sensor."""
    return 0.6 * x + 0.2


def occlude(x: Images, random: np.random.Generator) -> Images:
    """A grey square over a random quarter of the image."""
    x, side = x.clone(), x.shape[-1] // 2
    for image, (i, j) in zip(x, random.integers(0, side + 1, (len(x), 2)), strict=True):
        image[:, i : i + side, j : j + side] = 0.5
    return x


def invert(x: Images, _: np.random.Generator) -> Images:
    """Black for white: nobody in the family has seen it."""
    return 1 - x


def clean(x: Images, _: np.random.Generator) -> Images:
    """The images as they are."""
    return x


def half_rotated(x: Images, random: np.random.Generator) -> Images:
    """Half of the rows turned, the others as they are."""
    turned = torch.from_numpy(random.random(len(x)) < 0.5)[:, None, None, None]
    return torch.where(turned, rotate(x, random), x)


@dataclass(frozen=True)
class Kind:
    """A kind of drift: what happens to the images, and whether the class mix turns against the drifted model."""

    change: Callable[[Images, np.random.Generator], Images]
    skewed: bool = False


KINDS = {
    "rotation": Kind(rotate),
    "noise": Kind(noise),
    "scale": Kind(scale),
    "prior": Kind(clean, skewed=True),
    "rot+prior": Kind(rotate, skewed=True),
    "mix50": Kind(half_rotated),
    "occlude": Kind(occlude),
    "invert": Kind(invert),
}


def site_classes(seed: int) -> NDArray[np.int64]:
    """The four classes of the narrow site."""
    return np.random.default_rng(1000 + seed).permutation(10)[:4].astype(np.int64)


def class_weights(seed: int, skewed: bool) -> NDArray[np.float64]:
    """Shares of the classes in a window: even, or turned towards two classes that the site rarely saw."""
    weights = np.full(10, 0.1)
    if skewed:
        rare = np.setdiff1d(np.arange(10), site_classes(seed))[:2]
        weights[:] = 0.4 / 8
        weights[rare] = 0.3
    return weights


def draw(data: Data, kind: Kind, rows: int, seed: int, window: int) -> Rows:
    """`rows` labelled rows of a window of this kind; other windows draw other rows."""
    random = np.random.default_rng([seed, window])
    images, labels = data.fresh
    mine = np.arange(window % 3, len(labels), 3)  # validation, guard and test share no image
    weights = class_weights(seed, kind.skewed)[labels[mine]] / np.bincount(labels[mine], minlength=10)[labels[mine]]
    few = rows > len(mine) // 2
    pick = mine[random.choice(len(mine), rows, replace=few, p=weights / weights.sum())]
    return Rows(kind.change(images[torch.from_numpy(pick)], random).numpy(), labels[pick])


def build_cnn(side: int = 14) -> nn.Module:
    """A small CNN with BatchNorm; strides instead of pooling, which is slow on a CPU."""
    last = -(-side // 4)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, 1, 1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * last * last, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def build_mlp(side: int = 14) -> nn.Module:
    """A small MLP with LayerNorm."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(side * side, 128), nn.LayerNorm(128), nn.GELU(),
        nn.Linear(128, 96), nn.LayerNorm(96), nn.GELU(), nn.Linear(96, 10),
    )  # fmt: skip


BUILDERS = {"cnn-batchnorm": build_cnn, "mlp-layernorm": build_mlp}


def make_family(data: Data, architecture: str, seed: int, cache: Path) -> Family:
    """The family of `seed`, trained once and then read from `cache`."""
    side = data.train[0].shape[-1]
    torch.manual_seed(seed)
    network = BUILDERS[architecture](side)
    files = {n: cache / f"{data.name[:6]}-{architecture}-{seed}-{n}.safetensors" for n in _NAMES}
    if not all(f.exists() for f in files.values()):
        cache.mkdir(parents=True, exist_ok=True)
        for name, state in _train_family(network, data, seed).items():
            save_file(state, files[name])
    states = {n: load_file(f) for n, f in files.items()}
    return Family(network.eval(), states.pop("drifted"), states)


_NAMES = ("drifted", "parent", "root", "sibling-rotation", "sibling-noise")


def _augmented(x: Images, random: np.random.Generator) -> Images:
    """A quarter of the rows each: as they are, turned a little, a little noise, less contrast."""
    quarters = torch.chunk(x, 4)
    changes = (clean, lambda x, r: rotate(x, r, 25.0), lambda x, r: noise(x, r, 0.1), lambda x, _: 0.8 * x + 0.1)
    return torch.cat([change(part, random) for change, part in zip(changes, quarters, strict=True)])


def _train_family(network: nn.Module, data: Data, seed: int) -> dict[str, State]:
    even = np.full(10, 0.1)
    narrow = np.full(10, 0.12 / 6)
    narrow[site_classes(seed)] = 0.22
    root = _train(network, None, data, _augmented, even, 900, seed, 2e-3)
    parent = _train(network, root, data, clean, even, 300, seed + 1, 1e-3)
    return {
        "root": root,
        "parent": parent,
        "drifted": _train(network, parent, data, clean, narrow, 400, seed + 2, 1e-3),
        "sibling-rotation": _train(network, parent, data, lambda x, r: rotate(x, r, 30.0), even, 300, seed + 3, 1e-3),
        "sibling-noise": _train(
            network, parent, data, lambda x, r: blur(noise(x, r, 0.2), r), even, 300, seed + 4, 1e-3
        ),
    }


def _train(
    network: nn.Module,
    start: State | None,
    data: Data,
    change: Callable[[Images, np.random.Generator], Images],
    mix: NDArray[np.float64],
    steps: int,
    seed: int,
    rate: float,
) -> State:
    if start is not None:
        network.load_state_dict(start)
    random = np.random.default_rng(seed)
    images, labels = data.train
    weights = mix[labels] / np.bincount(labels, minlength=10)[labels]
    weights /= weights.sum()
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    network.train()
    order = random.choice(len(labels), (steps, 128), p=weights)
    for pick in order:
        index = torch.from_numpy(pick)
        optimiser.zero_grad()
        functional.cross_entropy(network(change(images[index], random)), torch.from_numpy(labels[pick])).backward()
        optimiser.step()
        schedule.step()
    network.eval()
    return {n: t.detach().clone() for n, t in network.state_dict().items()}
