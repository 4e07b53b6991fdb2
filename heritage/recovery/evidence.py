"""Exact relations of a family, found before any tree is built, and traits of single models."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from heritage.recovery.direction import Traits
from heritage.recovery.family import Proof
from heritage.recovery.proofs.linear import clouds_of, merges, suspects
from heritage.recovery.proofs.prune import prunings, zero_shares
from heritage.recovery.proofs.quantise import grids, quantisations
from heritage.recovery.proofs.ties import ties_merges
from heritage.recovery.proofs.twins import recasts

if TYPE_CHECKING:
    from heritage.recovery.weighed import WeighedFamily


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """`edges` are proofs with one parent, one a child; `merges` those with several; `traits` show in single models."""

    edges: tuple[Proof, ...]
    merges: tuple[Proof, ...]
    traits: Traits


def gather(family: "WeighedFamily") -> Evidence:
    """All proofs of a family without twins. A child has at most one proof: exact copies before pruning before grids."""
    grid_of = grids(family)
    single: dict[int, Proof] = {}
    for proof in [*recasts(family), *quantisations(family, grid_of), *prunings(family)]:
        single.setdefault(proof.child, proof)
    found = _merges(family, frozenset(single))
    edges = acyclic(single, found)
    on_grid = np.array([len(g) > 0 for g in grid_of], bool)
    proved = np.isin(np.arange(family.count), [p.child for p in edges])
    return Evidence(tuple(edges), tuple(found), Traits(_batches(family), zero_shares(family), on_grid, proved))


def _merges(family: "WeighedFamily", single: frozenset[int]) -> list[Proof]:
    """Merges of all kinds; what is in `single` is explained already."""
    found: list[Proof] = []
    for cloud in clouds_of(family):
        between = {m: g for m, g in suspects(cloud).items() if cloud.members[m] not in single}
        linear = merges(cloud, between)
        explained = [i for i, member in enumerate(cloud.members) if member in single] + [p.child for p in linear]
        found += [cloud.named(p) for p in (*linear, *ties_merges(family, cloud, explained))]
    return found


def acyclic(single: dict[int, Proof], merged: list[Proof]) -> list[Proof]:
    """The proofs with one parent that do not close a circle."""
    parents = {p.child: set(p.parents) for p in merged}
    kept = []
    for proof in single.values():
        if not _reaches(proof.parents[0], proof.child, parents):
            parents.setdefault(proof.child, set()).update(proof.parents)
            kept.append(proof)
    return kept


def _reaches(start: int, goal: int, parents: dict[int, set[int]]) -> bool:
    seen, queue = set(), [start]
    while queue:
        node = queue.pop()
        if node == goal:
            return True
        if node not in seen:
            seen.add(node)
            queue += parents.get(node, ())
    return False


def _batches(family: "WeighedFamily") -> np.ndarray:
    """Largest `num_batches_tracked` of each member, NaN where there is none."""
    out = np.full(family.count, np.nan)
    for row, i in enumerate(family.members):
        weights = family.stack.models[i].weights
        counts = [weights.read(t) for t in weights.tensors if t.endswith("num_batches_tracked")]
        if counts:
            out[row] = max(float(c.reshape(-1)[0]) for c in counts if c.size)
    return out
