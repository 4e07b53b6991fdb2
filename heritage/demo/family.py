"""Trains the demo's family: a root, a child, the champion, a sibling, a pruned and a LoRA-merged relative."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from heritage.demo import data
from heritage.demo.network import digits_net
from heritage.records import Architecture, Relation
from heritage.rows import Rows

if TYPE_CHECKING:
    import torch
    from torch import nn

ARCHITECTURE = Architecture("heritage.demo.network:digits_net", {"width": 16, "classes": 10})
CHAMPION = "digits-site"


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One network of the family: its weights, where it came from, and held-out rows of the data it is meant for."""

    name: str
    state: "dict[str, torch.Tensor]"
    reference: Rows
    parent: str = ""
    relation: Relation = Relation.UNKNOWN
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Step:
    epochs: int
    rate: float
    decay: float = 0.01


def train_family(seed: int, told: Callable[[str], None] = lambda _: None) -> Sequence[Member]:
    """The family under `seed`, parents before children; about 15 CPU seconds. `told` hears each name as it is done."""
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(1)  # more only wait for one another on networks this small
    digits = data.Digits.load(seed)
    rng = np.random.default_rng([seed, 1])
    train, held = digits["train"], digits["reference"]
    members: list[Member] = []

    def add(name: str, net: "nn.Module", reference: Rows, **origin: Any) -> "nn.Module":
        members.append(Member(name, {k: v.clone() for k, v in net.state_dict().items()}, reference, **origin))
        told(name)
        return net

    def child(parent: "nn.Module", step: _Step, rows: Rows, change: Any = None) -> "nn.Module":
        return _train(copy.deepcopy(parent), step, rows, rng, change)

    wide = Rows(data.augmented(held.x, rng), held.y)
    root = add("digits-root", _train(digits_net(), _Step(40, 3e-3), train, rng, data.augmented), wide)
    clean = add(
        "digits-clean", child(root, _Step(8, 1e-3), train), held, parent="digits-root", relation=Relation.FINETUNE
    )
    add(
        CHAMPION,
        child(clean, _Step(45, 2e-3), data.narrow(train, rng)),
        data.narrow(held, rng),
        parent="digits-clean",
        relation=Relation.FINETUNE,
    )
    turned = Rows(data.loosely_turned(held.x, rng), held.y)
    add(
        "digits-turned",
        child(root, _Step(15, 2e-3), train, data.loosely_turned),
        turned,
        parent="digits-root",
        relation=Relation.FINETUNE,
    )
    add("digits-pruned", _pruned(clean, 0.3), held, parent="digits-clean", relation=Relation.PRUNE,
        parameters={"sparsity": 0.3})  # fmt: skip
    noisy = Rows(data.noisy(held.x, rng), held.y)
    add(
        "digits-noisy",
        child(root, _Step(15, 2e-3), train, data.noisy),
        noisy,
        parent="digits-root",
        relation=Relation.FINETUNE,
    )
    add("digits-lora", _lora(root, train, rng, rank=2), noisy, parent="digits-root", relation=Relation.LORA,
        parameters={"rank": 2, "tensor": "12.weight"})  # fmt: skip
    return members


def _train(net: "nn.Module", step: _Step, rows: Rows, rng: np.random.Generator, change: Any = None) -> "nn.Module":
    import torch

    assert rows.y is not None
    net.train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=step.rate, weight_decay=step.decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, step.epochs)
    for _ in range(step.epochs):
        x = rows.x if change is None else change(rows.x, rng)
        for batch in np.array_split(rng.permutation(len(x)), max(1, len(x) // 64)):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(torch.from_numpy(x[batch])), torch.from_numpy(rows.y[batch]))
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        schedule.step()
    return net.eval()


def _pruned(net: "nn.Module", sparsity: float) -> "nn.Module":
    """`net` with the smallest weights of every matrix and kernel set to zero."""
    import torch

    out = copy.deepcopy(net)
    with torch.no_grad():
        for p in out.parameters():
            if p.ndim > 1:
                p[p.abs() < p.abs().flatten().quantile(sparsity)] = 0
    return out


def _lora(net: "nn.Module", rows: Rows, rng: np.random.Generator, rank: int) -> "nn.Module":
    """`net` with a low-rank update of its last matrix, trained on noisy images and merged into it."""
    import torch

    assert rows.y is not None
    out = copy.deepcopy(net).eval()
    layers = list(out.children())
    body, head = torch.nn.Sequential(*layers[:-1]), layers[-1]
    assert isinstance(head, torch.nn.Linear)
    a = torch.randn(rank, head.in_features) / head.in_features**0.5
    b = torch.zeros(head.out_features, rank, requires_grad=True)
    a.requires_grad_()
    optimiser = torch.optim.AdamW([a, b], lr=5e-3)
    for _ in range(20):
        with torch.no_grad():
            features = body(torch.from_numpy(data.noisy(rows.x, rng)))
        optimiser.zero_grad()
        logits = features @ (head.weight.detach() + b @ a).T + head.bias.detach()
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(rows.y)).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    with torch.no_grad():
        head.weight += b @ a
    return out
