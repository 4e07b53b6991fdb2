"""One new model: its family and parents, from fingerprints of the others, and the weights of three at most."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from heritage.recovery.architecture import group
from heritage.recovery.distance import measure
from heritage.recovery.families import Z_SCORE, similarity
from heritage.recovery.models import Model
from heritage.recovery.recover import Options, recover, recover_fingerprints
from heritage.recovery.results import RecoveredEdge, Recovery
from heritage.recovery.sketched import PrintedModel, sketch_stack, whole_sample
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.fingerprint import Fingerprint

NEAREST = 3


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
    opens is closed here. Without it, fingerprints decide. Cost: one row of distances; about a millisecond a relative.
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
    z = similarity(stack, whole_sample(stack)).z[0]
    alike = [i for i in range(1, len(together)) if z[i] > z_score]
    if not alike:
        return []
    squared = np.nansum(measure(stack, [0, *alike]).squared[:, 0, 1:], axis=0)
    order = np.argsort(squared, kind="stable")
    return [models[together[alike[i]]].name for i in order]


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
