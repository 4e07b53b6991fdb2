"""From models to families and trees: the whole recovery."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput
from heritage.recovery import fitted
from heritage.recovery.architecture import group
from heritage.recovery.distance import measure
from heritage.recovery.families import FAMILY_METHODS, Z_SCORE, likely_related, similarity
from heritage.recovery.family import Family
from heritage.recovery.layers import LAYERS
from heritage.recovery.methods import METRICS, TREE_METHODS
from heritage.recovery.models import Model, NotFinite, Skipped
from heritage.recovery.mother import LAMBDA, mother_tree
from heritage.recovery.proofs.twins import classes_of_twins
from heritage.recovery.results import RecoveredEdge, RecoveredFamily, Recovery
from heritage.recovery.sample import Sample, draw
from heritage.recovery.sketched import (
    PrintedModel,
    SketchStack,
    sketch_stack,
    twins_of,
    whole_sample,
    with_exact_norms,
)
from heritage.recovery.sketched_family import SketchedFamily
from heritage.recovery.stack import Named, Stack, stack_of
from heritage.recovery.trees import Tree
from heritage.recovery.uncompared import by_parameters
from heritage.recovery.weighed import WeighedFamily
from heritage.weights.fingerprint import Fingerprint

MOST_TOGETHER = 3000
_EXACT = {"auto": None, "exact": True, "sketch": False}


@dataclass(frozen=True, slots=True)
class Options:
    """How to recover: tree method, metric, family method (each a registered name), threshold of family similarity.

    `layers` are those that are compared, a key of `LAYERS`. `distances` of models too large to be kept are 'exact', by
    a 'sketch' of each, or as `measure` thinks best ('auto'). `kurtosis_weight` is MoTHer's lambda.
    """

    tree: str = "heritage"
    metric: str = "auto"
    families: str = "threshold"
    z_score: float = Z_SCORE
    device: str = "cpu"
    distances: str = "auto"
    layers: str = "all"
    kurtosis_weight: float = LAMBDA

    def __post_init__(self) -> None:
        for what, name, known in (
            ("tree method", self.tree, TREE_METHODS),
            ("metric", self.metric, METRICS),
            ("family method", self.families, FAMILY_METHODS),
            ("device", self.device, ("cpu", "cuda")),
            ("distances", self.distances, _EXACT),
            ("choice of layers", self.layers, LAYERS),
        ):
            if name not in known:
                raise BadInput(f"{what} '{name}' is not known; choose one of {', '.join(sorted(known))}")
        if not 0 <= self.z_score < math.inf:
            raise BadInput(f"z-score {self.z_score} is no threshold of similarity; choose a number from 0 on")
        if not 0 <= self.kurtosis_weight < math.inf:
            raise BadInput(f"lambda {self.kurtosis_weight} is no weight; choose a number from 0 on")


@dataclass(frozen=True, slots=True)
class Means:
    """How models are compared: by their weights, or by their fingerprints."""

    stack: Callable[[Sequence[Any], str], Any]
    sample: Callable[[Any], Sample]
    twins: Callable[[Any, NDArray[np.float32]], list[list[int]]]
    family: Callable[[Any, list[int], Sample, Options], Family]
    parameters: Callable[[Any], int]


def _weighed(stack: Stack, members: list[int], sample: Sample, options: Options) -> Family:
    distances = measure(stack, members, options.device, _EXACT[options.distances])
    return WeighedFamily(stack, members, sample, distances)


def _sketched(stack: SketchStack, members: list[int], sample: Sample, options: Options) -> Family:
    distances = measure(stack, members, options.device)
    return SketchedFamily(stack, members, sample, with_exact_norms(distances, stack, members))


BY_WEIGHTS = Means(stack_of, draw, classes_of_twins, _weighed, lambda m: m.weights.parameters)
BY_PRINTS = Means(sketch_stack, whole_sample, twins_of, _sketched, lambda m: m.print.parameters)


def recover(models: Sequence[Model], options: Options = Options(), keep_going: bool = False) -> Recovery:
    """Families and trees of `models`; names and order of the models do not matter, but for models with equal values.

    A model with weights that are NaN or infinite raises `BadInput`; with `keep_going` it is left out and named.
    """
    return _recover(models, BY_WEIGHTS, options, keep_going)


def recover_fingerprints(prints: Mapping[str, Fingerprint], options: Options = Options()) -> Recovery:
    """Families and trees of models by name, from their fingerprints alone: nothing else is read.

    Distances come from sketches, what happened to single entries from the few thousand values that fingerprints keep.
    Those of format 1 keep none: adapters have no rank there, TIES merges and rows that only decayed are not seen.
    Metric `rank` and the trees by kurtosis need weights and raise `BadInput`.
    """
    if options.metric == "rank" or options.tree in ("mother", "kurtosis"):
        raise BadInput(
            "metric 'rank' and trees 'mother' and 'kurtosis' read the weights; choose others for fingerprints"
        )
    return _recover([PrintedModel(n, p) for n, p in prints.items()], BY_PRINTS, options, False)


def _recover(models: Sequence[Named], means: Means, options: Options, keep_going: bool) -> Recovery:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    found: list[RecoveredFamily] = []
    skipped: list[Skipped] = []
    # our threads work on different tensors; those of a BLAS library would wait for one another busily
    with threadpool_limits(limits=1, user_api="blas"):
        weighty = [m for m in models if m.signature.slots]
        for members in group([m.signature for m in weighty]):
            _recover_architecture([weighty[i] for i in members], means, options, keep_going, found, skipped)
    others, warnings = by_parameters([m for m in models if not m.signature.slots], means.parameters)
    found += others
    return Recovery(tuple(sorted(found, key=lambda f: (-len(f.members), f.id))), tuple(skipped), warnings)


def _recover_architecture(
    left: Sequence[Named],
    means: Means,
    options: Options,
    keep_going: bool,
    found: list[RecoveredFamily],
    skipped: list[Skipped],
) -> None:
    """Add the families of models of one architecture to `found`, and what had to be left out to `skipped`."""
    while left:
        try:
            for part in _parts(left, means, options):
                found += [_named(g, options) for g in groups_of(part, means, options)]
            return
        except NotFinite as error:
            if not keep_going:
                raise
            skipped.append(Skipped(error.model, str(error)))
            left = [m for m in left if m.name != error.model]


def _parts(models: Sequence[Named], means: Means, options: Options) -> list[list[Named]]:
    """`models` in one part, or where they are thousands, in parts that are unrelated to one another."""
    if len(models) <= MOST_TOGETHER:
        return [list(models)]
    stack = means.stack(sorted(models, key=lambda m: m.name), options.layers)
    labels = likely_related(stack, draw(stack, budget=1024), options.z_score)
    parts = [[stack.models[i] for i in np.flatnonzero(labels == label)] for label in np.unique(labels)]
    largest = max(len(p) for p in parts)
    if largest > MOST_TOGETHER:
        raise BadInput(f"a family of {largest} models is more than {MOST_TOGETHER}; recover parts of it at a time")
    return parts


@dataclass(frozen=True, slots=True, eq=False)
class FoundFamily:
    """A family before its tree: id, everybody in it, the `family` without twins, and groups of twins, first kept."""

    id: str
    names: tuple[str, ...]
    family: Family
    twins: tuple[tuple[str, ...], ...]


def groups_of(models: Sequence[Named], means: Means = BY_WEIGHTS, options: Options = Options()) -> list[FoundFamily]:
    """Families of models of one architecture; members in an order that comes from their values alone."""
    stack = means.stack(sorted(models, key=lambda m: m.name), options.layers)
    sample = means.sample(stack)
    names = [m.name for m in stack.models]
    keys = [_key(m, row) for m, row in zip(stack.models, sample.values, strict=True)]
    twins = means.twins(stack, sample.values)
    labels = _together(FAMILY_METHODS[options.families](similarity(stack, sample), options.z_score), twins)
    out = []
    for label in np.unique(labels):
        members = sorted(np.flatnonzero(labels == label).tolist(), key=lambda i: (keys[i], names[i]))
        alike = [sorted(t, key=members.index) for t in twins if t[0] in members]
        spare = {i for t in alike for i in t[1:]}
        core = [i for i in members if i not in spare]
        family = means.family(stack, core, Sample(sample.values[core], sample.bounds), options)
        together = tuple(tuple(names[i] for i in t) for t in alike)
        out.append(FoundFamily(keys[members[0]][:12], tuple(sorted(names[i] for i in members)), family, together))
    return out


def _together(labels: NDArray[np.int64], twins: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """`labels` with equal models under one: zeros, constants and vectors have no cosine that could tell."""
    for members in twins:
        labels = np.where(np.isin(labels, labels[list(members)]), labels[members[0]], labels)
    return labels


def _tree(family: Family, options: Options) -> Tree:
    cost, method = METRICS[options.metric](family), TREE_METHODS[options.tree]
    return mother_tree(family, cost, options.kurtosis_weight) if method is mother_tree else method(family, cost)


def _named(found: FoundFamily, options: Options) -> RecoveredFamily:
    family = found.family
    tree = _tree(family, options)
    names = [family.stack.models[i].name for i in family.members]
    edges = [RecoveredEdge(names[e.parent], names[e.child], e.relation, e.confidence, e.reason) for e in tree.edges]
    edges += [
        RecoveredEdge(first, other, "copy", fitted.PROOF, "equal") for first, *others in found.twins for other in others
    ]
    return RecoveredFamily(found.id, found.names, tuple(edges), tuple(names[r] for r in tree.roots))


def _key(model: Named, row: NDArray[np.float32]) -> str:
    digest = hashlib.sha256((row + np.float32(0.0)).tobytes())
    slots = sorted((s.name, s.shape) for s in model.signature.slots)
    digest.update(repr(slots).encode())
    return digest.hexdigest()
