"""Training recipes and their runs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from heritage.testing.networks import HEADS
from heritage.testing.tasks import Task

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained: `optimiser` (a key of `OPTIMISERS`), rate, decay, steps, batch, which parts."""

    optimiser: str
    rate: float
    decay: float
    steps: int
    batch: int = 24
    decay_vectors: bool = True
    trained: str = "all"  # all | head | upper: everything, the head, or the head and the later half


_Params = list[dict[str, Any]]
OPTIMISERS: dict[str, Callable[[_Params, float], torch.optim.Optimizer]] = {
    "adamw": lambda p, r: torch.optim.AdamW(p, lr=r),
    "adam": lambda p, r: torch.optim.Adam(p, lr=r),
    "sgd": lambda p, r: torch.optim.SGD(p, lr=100 * r),
    "momentum": lambda p, r: torch.optim.SGD(p, lr=12 * r, momentum=0.9),
    "rmsprop": lambda p, r: torch.optim.RMSprop(p, lr=0.3 * r),
}


def root_recipe(rng: np.random.Generator) -> Recipe:
    """A long first training."""
    optimiser = str(rng.choice(["adamw", "adamw", "adam", "momentum"]))
    return Recipe(
        optimiser=optimiser,
        rate=float(10 ** rng.uniform(-3.0, -2.5)),
        decay=float(rng.choice([0.0, 0.01, 0.05, 0.1])) * (1.0 if optimiser == "adamw" else 0.01),
        steps=int(rng.integers(150, 400)),
        decay_vectors=bool(rng.random() < 0.5),
    )


def child_recipe(rng: np.random.Generator) -> Recipe:
    """A fine-tune: shorter, mostly gentler, with any optimiser."""
    optimiser = str(rng.choice(["adamw", "adamw", "adamw", "adam", "sgd", "momentum", "rmsprop"]))
    decay = float(rng.choice([0.0, 0.0, 0.01, 0.05, 0.1]))
    return Recipe(
        optimiser=optimiser,
        rate=float(10 ** rng.uniform(-3.5, -2.7)),
        decay=decay if optimiser == "adamw" else min(decay, 0.01) * 0.1,
        steps=int(rng.integers(30, 150)),
        decay_vectors=bool(rng.random() < 0.5),
    )


def state_of(network: nn.Module) -> State:
    """A copy of every tensor of `network`."""
    return {k: v.detach().clone() for k, v in network.state_dict().items()}


def train(network: nn.Module, task: Task, recipe: Recipe, seed: int, keep: Mapping[str, Tensor] | None = None) -> State:
    """`network` after one run; `keep` holds masks: entries at 0 stay 0."""
    return next(iter(train_in_parts(network, task, recipe, seed, 1, keep)))


def train_in_parts(
    network: nn.Module, task: Task, recipe: Recipe, seed: int, parts: int, keep: Mapping[str, Tensor] | None = None
) -> Iterator[State]:
    """The checkpoints of one run of `parts` times `recipe.steps` steps."""
    draw = np.random.default_rng(seed)
    chosen = _trained(network, recipe.trained)
    optimiser = OPTIMISERS[recipe.optimiser](_groups(chosen, recipe), recipe.rate)
    x, y = torch.from_numpy(np.ascontiguousarray(task.x)), torch.from_numpy(task.y)
    network.train()
    for _ in range(parts):
        for _ in range(recipe.steps):
            rows = torch.from_numpy(draw.integers(0, len(x), recipe.batch))
            loss = nn.functional.cross_entropy(network(x[rows]), y[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            _hold(network, keep)
        yield state_of(network)


def frozen(recipe: Recipe, part: str) -> Recipe:
    """`recipe` for the head alone (`part` 'head') or with the first half of the backbone kept ('upper')."""
    return replace(recipe, trained=part)


def _hold(network: nn.Module, keep: Mapping[str, Tensor] | None) -> None:
    if keep:
        with torch.no_grad():
            for name, p in network.named_parameters():
                if name in keep:
                    p.mul_(keep[name])


def _trained(network: nn.Module, part: str) -> dict[str, nn.Parameter]:
    named = dict(network.named_parameters())
    later = list(named)[len(named) // 2 :]
    chosen = {
        k: p for k, p in named.items() if part == "all" or k.split(".")[0] in HEADS or (part == "upper" and k in later)
    }
    for k, p in named.items():
        p.requires_grad_(k in chosen)
    return chosen


def _groups(chosen: Mapping[str, nn.Parameter], recipe: Recipe) -> list[dict[str, Any]]:
    matrices: Iterable[nn.Parameter] = [p for p in chosen.values() if p.ndim > 1]
    vectors = [p for p in chosen.values() if p.ndim < 2]
    groups = [
        {"params": list(matrices), "weight_decay": recipe.decay},
        {"params": vectors, "weight_decay": recipe.decay if recipe.decay_vectors else 0.0},
    ]
    return [g for g in groups if g["params"]]
