"""How good a clustering is, and how to keep the ids of families when they are found again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.families import Similarity, silhouette

_DRAWS = 20
_SHARE = 0.8
_OUTLYING = 0.5


@dataclass(frozen=True, slots=True)
class Quality:
    """`silhouette` in [-1, 1] by cosine distance; `stability` in [0, 1]: mean adjusted Rand index between the labels
    and those of subsamples; `outliers`: positions of models less like their family than half of its median."""

    silhouette: float
    stability: float
    outliers: tuple[int, ...]


def assess(
    similar: Similarity,
    labels: NDArray[np.int64],
    method: Callable[[Similarity, float], NDArray[np.int64]],
    z_score: float,
    rng: np.random.Generator,
) -> Quality:
    """The quality of `labels`, which `method` gave at `z_score`; 20 subsamples of four fifths are clustered again."""
    from sklearn.metrics import adjusted_rand_score

    n = len(labels)
    agreement = []
    for _ in range(_DRAWS if n > 2 else 0):
        some = np.sort(rng.choice(n, max(2, int(_SHARE * n)), replace=False))
        part = Similarity(similar.cosine[np.ix_(some, some)], similar.null_std[np.ix_(some, some)])
        agreement.append(adjusted_rand_score(labels[some], method(part, z_score)))
    return Quality(
        silhouette(similar, labels), float(np.mean(agreement)) if agreement else 1.0, _outliers(similar, labels)
    )


def _outliers(similar: Similarity, labels: NDArray[np.int64]) -> tuple[int, ...]:
    out = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < 3:
            continue
        inner = similar.cosine[np.ix_(members, members)].copy()
        np.fill_diagonal(inner, -np.inf)
        nearest = inner.max(1)
        out += members[nearest < _OUTLYING * np.median(nearest)].tolist()
    return tuple(sorted(out))


def stable_ids(old: Mapping[str, frozenset[str]], new: Sequence[frozenset[str]], fresh: Sequence[str]) -> list[str]:
    """An id for each of `new`: that of the old family it shares most members with, each old id used once.

    Families that continue none get their `fresh` id, made longer by a number where it is taken. Pairs are chosen so
    that most members keep their family's id (linear assignment).
    """
    from scipy.optimize import linear_sum_assignment

    names = sorted(old)
    shared = np.array([[len(old[o] & members) for o in names] for members in new], float).reshape(len(new), len(names))
    rows, columns = linear_sum_assignment(-shared) if shared.size else ((), ())
    ids = {int(r): names[c] for r, c in zip(rows, columns, strict=True) if shared[r, c] > 0}
    taken = set(names)
    for i in range(len(new)):
        if i not in ids:
            candidate, number = fresh[i], 2
            while candidate in taken:
                candidate, number = f"{fresh[i]}-{number}", number + 1
            ids[i] = candidate
        taken.add(ids[i])
    return [ids[i] for i in range(len(new))]
