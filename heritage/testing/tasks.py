"""Data on which the networks of a forest are trained: a family's base task, and tasks derived from it."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heritage.testing.networks import LENGTH, TOKENS, Shape

_MOST_CLASSES = 16


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Training rows: `x` token ids (n, LENGTH) or pixels (n, 64), `y` class labels (n,).

    `rule` gives the labels: scores by token (2, TOKENS, classes at most), or the class of each digit (10,). `weight` is
    the frequency of tokens.
    """

    x: NDArray[Any]
    y: NDArray[np.int64]
    classes: int
    rule: NDArray[Any]
    weight: NDArray[np.float64]


def base_task(shape: Shape, classes: int, rng: np.random.Generator, rows: int = 1024) -> Task:
    """A family's first task: planted labels on token sequences, or handwritten digits."""
    if not shape.reads_tokens:
        x, digits = _digits()
        classes_of = np.arange(10) % classes
        return Task(x, classes_of[digits], classes, classes_of, np.ones(0))
    weight = 1.0 / np.arange(1, TOKENS + 1)
    weight[rng.random(TOKENS) < rng.uniform(0.0, 0.4)] = 0.0  # tokens that never occur
    weight = rng.permutation(weight / weight.sum())
    rule = rng.normal(size=(2, TOKENS, _MOST_CLASSES))
    return _tokens(rows, classes, rule, weight, rng)


def derived_task(task: Task, shape: Shape, classes: int, rng: np.random.Generator) -> Task:
    """A task near `task`: other inputs under the same rule, a rule in between, a new rule, or noisy labels."""
    style = str(rng.choice(["shift", "between", "new", "noise"], p=[0.3, 0.35, 0.25, 0.1]))
    rows = int(rng.integers(300, 900))
    derived = _derived_tokens if shape.reads_tokens else _derived_digits
    made = derived(task, style, classes, rows, rng)
    if style == "noise":
        wrong = rng.random(len(made.y)) < 0.4
        y = np.where(wrong, rng.integers(0, classes, len(made.y)), made.y)
        made = Task(made.x, y, classes, made.rule, made.weight)
    return made


def _derived_tokens(task: Task, style: str, classes: int, rows: int, rng: np.random.Generator) -> Task:
    share = {"between": rng.uniform(0.1, 0.7), "new": 1.0}.get(style, 0.0)
    rule = np.sqrt(1 - share) * task.rule + np.sqrt(share) * rng.normal(size=task.rule.shape)
    weight = task.weight * rng.gamma(2.0, size=TOKENS)
    return _tokens(rows, classes, rule, weight / weight.sum(), rng)


def _derived_digits(task: Task, style: str, classes: int, rows: int, rng: np.random.Generator) -> Task:
    x, digits = _digits()
    share = {"between": rng.uniform(0.1, 0.6), "new": 1.0}.get(style, 0.0)
    rule = np.where(rng.random(10) < share, rng.integers(0, classes, 10), task.rule % classes)
    chosen = rng.permutation(len(x))[:rows]
    moved = x[chosen] * rng.uniform(0.7, 1.3) + rng.normal(0, rng.uniform(0.0, 0.3), (len(chosen), x.shape[1]))
    return Task(moved.astype(np.float32), rule[digits[chosen]], classes, rule, task.weight)


def _tokens(rows: int, classes: int, rule: NDArray[Any], weight: NDArray[np.float64], rng: np.random.Generator) -> Task:
    x = rng.choice(TOKENS, (rows, LENGTH), p=weight)
    score = rule[0][x].sum(1) + rule[1][x[:, ::2]].sum(1)
    return Task(x, score[:, :classes].argmax(1).astype(np.int64), classes, rule, weight)


@cache
def _digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return (bunch.data / 8.0 - 1.0).astype(np.float32), bunch.target.astype(np.int64)
