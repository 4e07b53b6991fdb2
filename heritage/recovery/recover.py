"""From models to families and trees: the whole recovery."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from heritage.errors import BadInput
from heritage.recovery.architecture import group
from heritage.recovery.distance import measure
from heritage.recovery.families import FAMILY_METHODS, Z_SCORE, similarity
from heritage.recovery.family import Family
from heritage.recovery.methods import METRICS, TREE_METHODS
from heritage.recovery.models import Model, NotFinite, Skipped
from heritage.recovery.proofs.twins import classes_of_twins
from heritage.recovery.sample import Sample, draw
from heritage.recovery.stack import stack_of


@dataclass(frozen=True, slots=True)
class RecoveredEdge:
    """A lineage edge between models by name."""

    parent: str
    child: str
    relation: str
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True)
class RecoveredFamily:
    """One family: its id, members by name, edges, and the root (none where it is not among the members)."""

    id: str
    members: tuple[str, ...]
    edges: tuple[RecoveredEdge, ...]
    roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was recovered from a set of models."""

    families: tuple[RecoveredFamily, ...]
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Families, edges and roots as JSON values."""
        return {
            "families": [{"id": f.id, "members": list(f.members)} for f in self.families],
            "edges": [
                {"parent": e.parent, "child": e.child, "relation": e.relation, "confidence": round(e.confidence, 4)}
                for f in self.families
                for e in f.edges
            ],
            "roots": [r for f in self.families for r in f.roots],
        }


@dataclass(frozen=True, slots=True)
class Options:
    """How to recover: tree method, metric, family method (each a registered name), threshold of family similarity."""

    tree: str = "heritage"
    metric: str = "auto"
    families: str = "threshold"
    z_score: float = Z_SCORE
    device: str = "cpu"

    def __post_init__(self) -> None:
        for what, name, known in (
            ("tree method", self.tree, TREE_METHODS),
            ("metric", self.metric, METRICS),
            ("family method", self.families, FAMILY_METHODS),
            ("device", self.device, ("cpu", "cuda")),
        ):
            if name not in known:
                raise BadInput(f"{what} '{name}' is not known; choose one of {', '.join(sorted(known))}")


def recover(models: Sequence[Model], options: Options = Options(), keep_going: bool = False) -> Recovery:
    """Families and trees of `models`; names and order of the models do not matter, but for models with equal values.

    A model with weights that are NaN or infinite raises `BadInput`; with `keep_going` it is left out and named.
    """
    found: list[RecoveredFamily] = []
    skipped: list[Skipped] = []
    for members in group([m.signature for m in models]):
        left = [models[i] for i in members]
        while left:
            try:
                found += _recover_group(left, options)
                break
            except NotFinite as error:
                if not keep_going:
                    raise
                skipped.append(Skipped(error.model.name, str(error)))
                left = [m for m in left if m is not error.model]
    return Recovery(tuple(sorted(found, key=lambda f: (-len(f.members), f.id))), tuple(skipped))


def _recover_group(models: Sequence[Model], options: Options) -> list[RecoveredFamily]:
    """Families of models of one architecture, in an order that comes from their values alone."""
    stack = stack_of(sorted(models, key=lambda m: m.name))
    sample = draw(stack)
    keys = [_key(m, row) for m, row in zip(stack.models, sample.values, strict=True)]
    labels = FAMILY_METHODS[options.families](similarity(stack, sample), options.z_score)
    twins = classes_of_twins(stack, sample.values)
    out = []
    for label in np.unique(labels):
        members = sorted(np.flatnonzero(labels == label).tolist(), key=lambda i: (keys[i], stack.models[i].name))
        alike = [sorted(t, key=members.index) for t in twins if t[0] in members]
        spare = {i for t in alike for i in t[1:]}
        core = [i for i in members if i not in spare]
        family = Family(stack, core, Sample(sample.values[core], sample.bounds), measure(stack, core))
        out.append(_named(family, members, alike, keys, options))
    return out


def _named(
    family: Family, members: list[int], twins: list[list[int]], keys: list[str], options: Options
) -> RecoveredFamily:
    models = family.stack.models
    tree = TREE_METHODS[options.tree](family, METRICS[options.metric](family))
    names = [models[i].name for i in family.members]
    edges = [RecoveredEdge(names[e.parent], names[e.child], e.relation, e.confidence, e.reason) for e in tree.edges]
    for first, *others in twins:
        edges += [RecoveredEdge(models[first].name, models[i].name, "copy", 0.99, "equal") for i in others]
    everybody = tuple(sorted(models[i].name for i in members))
    family_id = min(keys[i] for i in members)[:12]
    return RecoveredFamily(family_id, everybody, tuple(edges), tuple(names[r] for r in tree.roots))


def _key(model: Model, row: np.ndarray) -> str:
    digest = hashlib.sha256((row + np.float32(0.0)).tobytes())
    slots = sorted((s.name, s.shape) for s in model.signature.slots)
    digest.update(repr(slots).encode())
    return digest.hexdigest()
