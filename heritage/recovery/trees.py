"""What every tree method gives, and the methods by name."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput
from heritage.recovery.family import Family


@dataclass(frozen=True, slots=True)
class TreeEdge:
    """An edge between members of a family: relation, confidence that it is right, and how it is known."""

    parent: int
    child: int
    relation: str
    confidence: float
    reason: str = "cues"


@dataclass(frozen=True, slots=True)
class Tree:
    """The recovered tree of one family: edges (a merge has several), roots and how sure they are."""

    edges: tuple[TreeEdge, ...]
    roots: dict[int, float] = field(default_factory=dict)


TreeMethod = Callable[[Family, NDArray[np.float64]], Tree]
TREE_METHODS: dict[str, TreeMethod] = {}


def register_tree_method(name: str, method: TreeMethod) -> None:
    """Make `method` known as `name`: a function of a `Family` and its costs (n, n) that gives a `Tree`.

    Raises `BadInput` where the name is taken.
    """
    if name in TREE_METHODS:
        raise BadInput(f"tree method '{name}' exists already; choose another name")
    TREE_METHODS[name] = method
