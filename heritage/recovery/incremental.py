"""One new model: its family and parents, from fingerprints of the others, and the weights of three at most."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.architecture import group
from heritage.recovery.families import Z_SCORE
from heritage.recovery.models import Model
from heritage.recovery.recover import Options, recover, recover_fingerprints
from heritage.recovery.results import RecoveredEdge, Recovery
from heritage.recovery.sketched import PrintedModel, SketchStack, sketch_stack
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.fingerprint import Fingerprint

NEAREST = 3
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a new model belongs. `family` is None where it is like no known model; then it is a root of its own.

    `parents` are edges to the new model, none where no parent is among the known ones; `children` are edges from it
    to known models (a parent that came later). `nearest` are the relatives that were compared, nearest first.
    """

    family: str | None
    parents: tuple[RecoveredEdge, ...]
    children: tuple[RecoveredEdge, ...]
    nearest: tuple[str, ...]


def place(
    name: str,
    new: Fingerprint,
    families: Mapping[str, Mapping[str, Fingerprint]],
    weights: Callable[[str], Checkpoint] | None = None,
    z_score: float = Z_SCORE,
) -> Placement:
    """The placement of model `name` among `families` (id to members' fingerprints by name).

    `weights` opens a model by name; it is asked for `name` and the three nearest relatives at most, and whatever it
    opens is closed here. Without it, fingerprints decide. Cost: one row of distances.
    """
    known = {member: (family, p) for family, members in families.items() for member, p in members.items()}
    ranked = _ranked(name, new, {m: p for m, (_, p) in known.items()}, z_score)
    if not ranked:
        return Placement(None, (), (), ())
    nearest = ranked[:NEAREST]
    found = _by_weights(name, nearest, weights) if weights else _by_prints(name, new, nearest, known)
    edges = [e for f in found.families for e in f.edges]
    return Placement(
        known[nearest[0]][0],
        tuple(e for e in edges if e.child == name),
        tuple(e for e in edges if e.parent == name),
        tuple(nearest),
    )


def _ranked(name: str, new: Fingerprint, known: Mapping[str, Fingerprint], z_score: float) -> list[str]:
    """Relatives of the new model, nearest first: comparable, and alike beyond chance."""
    models = [PrintedModel(name, new), *(PrintedModel(n, p) for n, p in sorted(known.items()) if n != name)]
    signatures = [m.signature for m in models]
    together = next(g for g in group(signatures) if 0 in g)
    if len(together) == 1:
        return []
    stack = sketch_stack([models[i] for i in together])
    likeness, squared = _beside_first(stack)
    alike = np.flatnonzero(likeness > z_score)
    order = alike[np.argsort(squared[alike], kind="stable")]
    return [models[together[i + 1]].name for i in order.tolist()]


def _beside_first(stack: SketchStack) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All models but the first beside it: likeness in deviations of unrelated ones, and squared distances, (n - 1,).

    One row of what `similarity` and `measure` have for all pairs; models are taken `_BLOCK` at a time.
    """
    count, total, squared = np.zeros((3, len(stack.models) - 1))
    for k in np.flatnonzero(stack.present[:, 0]).tolist():
        others = np.flatnonzero(stack.present[k, 1:])
        first = stack.rows(k, [0]).astype(np.float64)
        for start in range(0, len(others), _BLOCK):
            here = others[start : start + _BLOCK]
            values = stack.rows(k, (here + 1).tolist()).astype(np.float64)
            squared[here] += ((values - first) ** 2).sum(1)
            if stack.slots[k].is_matrix:
                total[here] += (_unit(values) @ _unit(first)[0]) * values.shape[1]
                count[here] += values.shape[1]
    return total / np.sqrt(np.maximum(count, 1)), squared


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = values - values.mean(1, keepdims=True)
    return np.asarray(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-30))


def _by_weights(name: str, nearest: Sequence[str], weights: Callable[[str], Checkpoint]) -> Recovery:
    opened: list[Model] = []
    try:
        opened += [Model(n, weights(n)) for n in (name, *nearest)]
        return recover(opened, Options(z_score=0.0))
    finally:
        for model in opened:
            model.weights.close()


def _by_prints(
    name: str, new: Fingerprint, nearest: Sequence[str], known: Mapping[str, tuple[str, Fingerprint]]
) -> Recovery:
    return recover_fingerprints({name: new, **{n: known[n][1] for n in nearest}}, Options(z_score=0.0))
