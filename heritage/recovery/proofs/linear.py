"""Merges that are combinations of their parents: linear, soups of several, and spherical interpolation."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.family import Family, Proof
from heritage.recovery.sample import Sample

_NATS = 30.0
_SLACK = 5.0  # residual energy over that of rounding
_CLEAR = 25.0  # a parent must be farther from the merge than this times the rounding
_OBTUSE = -0.1
_OPPOSITE = -0.5
_LEAST_SHARE = 0.08
_EVEN = 0.01
_CURVED = 0.08  # a spherical mean leaves the chord by a share of it

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Cloud:
    """Members as points: `points` (n, s) centred in float64, `raw` the same uncentred, `noise` (n,) rounding energy,
    `slot_of` the slot of each column. Row i is member `members[i]`; those in `sought` may be merges of others."""

    members: NDArray[np.int64]
    sought: frozenset[int]
    points: Matrix
    raw: Matrix
    noise: Matrix
    slot_of: NDArray[np.int64]

    def named(self, proof: Proof) -> Proof:
        """`proof`, which speaks of rows, in terms of members."""
        at = self.members
        base = None if proof.base is None else int(at[proof.base])
        parents = tuple(int(at[p]) for p in proof.parents)
        return Proof(proof.relation, parents, int(at[proof.child]), proof.nats, proof.method, proof.parameters, base)


def clouds_of(family: Family, sample: Sample | None = None, noise: Matrix | None = None) -> list[Cloud]:
    """One cloud for every set of slots that some member has: its owners, and all who have those slots and more.

    A merge has the shapes of its parents, so a relative with another head is none, however equal its backbone. Points
    are the family's sample, or another `sample` of its members with the variance of its rounding, `noise`.
    """
    if sample is None or noise is None:
        sample, noise = family.sample, family.noise
    here = np.stack([family.present(i) for i in range(family.count)])
    clouds = []
    for pattern in np.unique(here, axis=0):
        members = np.flatnonzero((here >= pattern).all(1))
        if len(members) < 3:
            continue
        columns = pattern[sample.slot_of]
        raw = sample.values[np.ix_(members, columns)].astype(np.float64)
        sought = frozenset(np.flatnonzero((here[members] == pattern).all(1)).tolist())
        energy = noise[np.ix_(members, columns)].sum(1)
        clouds.append(Cloud(members, sought, raw - raw.mean(0), raw, energy, sample.slot_of[columns]))
    return clouds


def suspects(cloud: Cloud) -> dict[int, Matrix]:
    """Members that lie between others, with the products <a - m, b - m> of all others: some are clearly negative.

    The steps from an ordinary model to its relatives are nearly orthogonal; a merge has its parents on opposite sides.
    """
    found = {}
    whole = cloud.points @ cloud.points.T
    own = np.diag(whole)
    apart = np.maximum(own[:, None] + own[None, :] - 2 * whole, 1e-300)
    far = apart > _CLEAR * (cloud.noise[:, None] + cloud.noise[None, :])
    for m in sorted(cloud.sought):
        near = np.flatnonzero(far[m])
        if len(near) < 2:
            continue
        inner = whole[np.ix_(near, near)] - whole[m, near][:, None] - whole[m, near][None, :] + own[m]
        if (inner / np.sqrt(np.outer(apart[m, near], apart[m, near]))).min() < _OBTUSE:
            step = cloud.points - cloud.points[m]  # again from the points: proofs need every digit
            found[m] = step @ step.T
    return found


def merges(cloud: Cloud, between: dict[int, Matrix]) -> list[Proof]:
    """Suspects that are a combination of others up to rounding, one proof each."""
    found = {m: proof for m, gram in between.items() if (proof := _line(cloud, m, gram) or _sphere(cloud, m, gram))}
    # a merge of a merge is ambiguous: the parents of the second explain the same point; equal shares are the likelier
    for m, proof in list(found.items()):
        if any(p in found for p in proof.parents):
            soup = _soup(cloud, m, between[m], frozenset(found))
            if soup is not None and np.ptp(soup.parameters["weights"]) < _EVEN:
                found[m] = soup
    for plain in {frozenset(found): None, frozenset[int](): None}:
        for m, gram in between.items():
            if m not in found and (proof := _soup(cloud, m, gram, plain)) is not None:
                found[m] = proof
    return [found[m] for m in sorted(found)]


def _pairs(gram: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Squared distance of a and b, weight of a in the point of the line ab nearest to m, squared distance to it."""
    g = np.diag(gram)
    apart = np.maximum(g[:, None] + g[None, :] - 2 * gram, 1e-300)
    share = np.clip((g[None, :] - gram) / apart, -10.0, 10.0)
    return apart, share, (np.outer(g, g) - gram**2) / apart


def _line(cloud: Cloud, m: int, gram: Matrix) -> Proof | None:
    apart, share, off = _pairs(gram)
    noise = cloud.noise[m] + share**2 * cloud.noise[:, None] + (1 - share) ** 2 * cloud.noise[None, :]
    near = np.minimum.outer(np.diag(gram), np.diag(gram))
    fits = (off < _SLACK * noise) & (share > _LEAST_SHARE) & (share < 1 - _LEAST_SHARE) & (near > _CLEAR * noise)
    fits[m, :] = fits[:, m] = False
    if not fits.any():
        return None
    fits &= off < 2 * off[fits].min() + noise
    # several merges of the same two parents lie on one line: its ends are the parents
    a, b = np.unravel_index(int(np.argmax(np.where(fits, apart, -1.0))), fits.shape)
    weights = {"weights": [round(float(share[a, b]), 4), round(1 - float(share[a, b]), 4)]}
    return Proof("merge", (int(a), int(b)), m, _NATS, "linear", weights)


def _soup(cloud: Cloud, m: int, gram: Matrix, without: frozenset[int]) -> Proof | None:
    """The merge as a convex combination of several others: the nearest point of their hull is the merge itself."""
    from scipy.optimize import nnls

    far = np.diag(gram) > _CLEAR * (cloud.noise + cloud.noise[m])
    others = [i for i in np.flatnonzero(far).tolist() if i != m and i not in without]
    if len(others) < 3:
        return None
    scale = float(np.sqrt(np.median(np.diag(gram)[others])))
    # m as origin; coordinates in which inner products are those of `gram`
    value, vector = np.linalg.eigh(gram[np.ix_(others, others)])
    coordinates = (vector * np.sqrt(np.maximum(value, 0))).T
    system = np.vstack([coordinates / scale, np.full(len(others), 1.0)])
    weight, _ = nnls(system, np.append(np.zeros(len(coordinates)), 1.0))
    parents = [others[i] for i in np.flatnonzero(weight > 0.5 * _LEAST_SHARE * weight.sum())]
    if not 2 < len(parents) < 9:
        return None
    return _combination(cloud, m, parents)


def _combination(cloud: Cloud, m: int, parents: list[int]) -> Proof | None:
    steps = (cloud.points[parents] - cloud.points[m]).T
    last = steps[:, -1]
    free, *_ = np.linalg.lstsq(steps[:, :-1] - last[:, None], -last, rcond=None)
    weight = np.append(free, 1 - free.sum())
    off = float(np.sum((steps @ weight) ** 2))
    noise = float(cloud.noise[m] + np.sum(weight**2 * cloud.noise[parents]))
    if off > _SLACK * noise or weight.min() < _LEAST_SHARE:
        return None
    return Proof("merge", tuple(parents), m, _NATS, "linear", {"weights": [round(float(w), 4) for w in weight]})


def _sphere(cloud: Cloud, m: int, gram: Matrix) -> Proof | None:
    """Spherical interpolation: two factors that add up to a little over one, for the model or tensor by tensor."""
    apart, share, off = _pairs(gram)
    inside = (share > _LEAST_SHARE) & (share < 1 - _LEAST_SHARE)
    inside[m, :] = inside[:, m] = False
    size = np.sqrt(np.maximum(np.diag(gram), 1e-300))
    inside &= gram < _OPPOSITE * np.outer(size, size)
    upper = np.triu(np.where(inside, off / np.maximum(apart, 1e-30), np.inf), 1)
    candidates = [(upper[a, b], a, b) for a, b in combinations(range(len(gram)), 2) if upper[a, b] < _CURVED]
    for _, a, b in sorted(candidates)[:4]:
        for columns in (np.zeros(len(cloud.slot_of), np.int64), cloud.slot_of):
            if _two_factors(cloud, m, a, b, columns):
                ratio = {"weights": [round(float(share[a, b]), 4), round(1 - float(share[a, b]), 4)]}
                return Proof("merge", (a, b), m, _NATS, "slerp", ratio)
    return None


def _two_factors(cloud: Cloud, m: int, a: int, b: int, part_of: NDArray[np.int64]) -> bool:
    off = noise = 0.0
    turn, weight = [], []
    for part in np.unique(part_of):
        here = part_of == part
        if here.sum() < 48:
            continue
        x = cloud.raw[np.ix_([a, b], here)].T
        if np.sum((x[:, 0] - x[:, 1]) ** 2) < 1e-12 * np.sum(x**2):
            continue
        factors, *_ = np.linalg.lstsq(x, cloud.raw[m, here], rcond=None)
        off += float(np.sum((x @ factors - cloud.raw[m, here]) ** 2))
        noise += float(np.sum(cloud.noise[[m, a, b]])) * here.mean()
        turn.append(factors[0] / factors.sum())
        weight.append(here.sum())
    if not turn:
        return False
    spread = float(np.sqrt(np.average((np.array(turn) - np.average(turn, weights=weight)) ** 2, weights=weight)))
    return off < _SLACK * noise and spread < 0.03 and min(turn) > 0 and max(turn) < 1
