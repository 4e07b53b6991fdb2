"""Families of a whole fleet from its fingerprints, and how good they are. No registry here: prints in, labels out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from heritage.recovery.architecture import group
from heritage.recovery.families import FAMILY_METHODS, likely_related, similarity
from heritage.recovery.quality import assess
from heritage.recovery.recover import MOST_TOGETHER, Options
from heritage.recovery.sketched import PrintedModel, sketch_stack, whole_sample
from heritage.weights.fingerprint import Fingerprint

_SEED = 0


@dataclass(frozen=True, slots=True)
class Clustering:
    """Families by names, each sorted; `silhouette` is a mean over models whose architecture has several families,
    `stability` one over models that are not alone in theirs (None without any); `outliers` are little like their own.
    """

    families: tuple[tuple[str, ...], ...]
    silhouette: float | None
    stability: float | None
    outliers: tuple[str, ...]
    architectures: int


@dataclass(frozen=True, slots=True)
class _Part:
    families: list[tuple[str, ...]]
    silhouette: float
    stability: float
    outliers: list[str]
    models: int


def cluster(taken: Mapping[str, Fingerprint], options: Options) -> Clustering:
    """Families of the models `taken` by name: by architecture first, then by weights. Names and order do not matter.

    Cost: n^2 products an architecture; beyond `MOST_TOGETHER` models of one, those that are unrelated are told apart
    first, block by block.
    """
    models = [PrintedModel(name, taken[name]) for name in sorted(taken)]
    groups = group([m.signature for m in models])
    parts = [part for members in groups for part in _parts([models[i] for i in members], options)]
    return Clustering(
        tuple(sorted(family for part in parts for family in part.families)),
        _mean([(part.silhouette, part.models) for part in parts if len(part.families) > 1]),
        _mean([(part.stability, part.models) for part in parts if part.models > 1]),
        tuple(sorted(name for part in parts for name in part.outliers)),
        len(groups),
    )


def _mean(weighed: Sequence[tuple[float, int]]) -> float | None:
    return sum(value * weight for value, weight in weighed) / sum(w for _, w in weighed) if weighed else None


def joined(families: Iterable[Sequence[str]], links: Iterable[tuple[str, str]]) -> list[tuple[str, ...]]:
    """`families` with those that a link joins made one; links to strangers join nothing."""
    home: dict[str, tuple[str, ...]] = {}
    for family in families:
        home |= dict.fromkeys(family, tuple(family))
    for one, other in links:
        if one in home and other in home and home[one] is not home[other]:
            both = (*home[one], *home[other])
            home |= dict.fromkeys(both, both)
    return sorted({tuple(sorted(family)) for family in home.values()})


def _parts(models: Sequence[PrintedModel], options: Options) -> list[_Part]:
    if len(models) <= MOST_TOGETHER:
        return [_assessed(models, options)]
    stack = sketch_stack(models)
    labels = likely_related(stack, whole_sample(stack), options.z_score)
    return [_assessed([models[i] for i in np.flatnonzero(labels == k).tolist()], options) for k in np.unique(labels)]


def _assessed(models: Sequence[PrintedModel], options: Options) -> _Part:
    if len(models) == 1:
        return _Part([(models[0].name,)], 0.0, 1.0, [], 1)
    stack = sketch_stack(models)
    similar, method = similarity(stack, whole_sample(stack)), FAMILY_METHODS[options.families]
    labels = method(similar, options.z_score)
    found = assess(similar, labels, method, options.z_score, np.random.default_rng(_SEED))
    families = [tuple(models[i].name for i in np.flatnonzero(labels == k).tolist()) for k in np.unique(labels)]
    outliers = [models[i].name for i in found.outliers]
    return _Part(families, found.silhouette, found.stability, outliers, len(models))
