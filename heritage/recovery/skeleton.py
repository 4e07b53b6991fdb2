"""The undirected tree of a family from costs, proofs and direction cues."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.cues import Cues
from heritage.recovery.edmonds import minimum_arborescence
from heritage.recovery.evidence import Evidence
from heritage.recovery.family import Proof
from heritage.recovery.originals import beside_copies
from heritage.recovery.tree import Edge, insert_merge, neighbours, root_scores, spanning_tree

Matrix = NDArray[np.float64]
_NEAR_TIE = 1.08  # costs over this times the tree's cannot win by direction
_SHARPNESS = 20.0  # log-likelihood of one unit of log cost
_DIRECTION_AT_MOST = 1.0
_FORCED = 60.0
_SURELY = 2.0
_OPPOSITE = -0.15  # cosine under which two parents of a merge lie on opposite sides


def undirected_tree(cost: Matrix, cues: Cues) -> set[Edge]:
    """The spanning tree with proved edges forced; merges and what comes from them are inserted after it."""
    evidence = cues.evidence
    cost = beside_copies(behind_originals(cost, cues), cues)
    inside = inside_merges(cues, below_merges(evidence))
    later = below_merges(evidence) | inside.keys()
    later |= below(evidence, later)
    forced = [(p.parents[0], p.child) for p in evidence.edges if p.child not in later]
    tree = spanning_tree(cost, forced, later)
    tree, root = _settle_ties(cost, cues, tree, {c: p for p, c in forced})
    waiting = [_nearest_first(p, cost) for p in evidence.merges]
    waiting += [p for p in evidence.edges if p.child in later]
    proved = {p.child for p in waiting}
    waiting += [Proof("inside", (m,), c, 0.0, "") for c, m in inside.items() if c not in proved]
    return _insert(tree, cost, waiting, {(min(e), max(e)) for e in forced}, root)


def behind_originals(cost: Matrix, cues: Cues) -> Matrix:
    """`cost`, with a copy in a narrower type no nearer to others than its original, unless by more than sketches err.

    Rounding moves a model so little that a sketch may have it on the wrong side: what comes from the copy is nearer to
    it by the square of that move, what comes from the original is farther by as much.
    """
    if not cues.family.error:
        return cost
    cost = cost.copy()
    for proof in cues.evidence.edges:
        if proof.relation != "copy":
            continue
        p, c = proof.parents[0], proof.child
        others = np.setdiff1d(np.arange(len(cost)), [p, c])
        noise = 2 * cues.family.error * np.sqrt(cost[p, others] * cost[p, c])
        unclear = others[cost[p, others] - cost[c, others] < _SURELY * noise]
        dearer = np.maximum(cost[c, unclear], cost[p, unclear] * (1 + 1e-9))
        cost[c, unclear] = cost[unclear, c] = dearer
    return cost


def inside_merges(cues: Cues, made: set[int]) -> dict[int, int]:
    """Models that lie between the parents of a merge, though they are none themselves, with that merge.

    A common ancestor of the parents sees them at right angles; what was made from the merge sees them on opposite
    sides, and would be as false a short cut as the merge. Models in `made` are merges or proved to come from one.
    """
    d = np.nansum(cues.family.distances.squared, axis=0)
    found: dict[int, int] = {}
    for merge in cues.evidence.merges:
        pairs = list(combinations(merge.parents, 2))
        for c in set(range(len(d))) - made - set(merge.parents) - found.keys():
            angles = [(d[a, c] + d[b, c] - d[a, b]) / 2 / np.sqrt(max(d[a, c] * d[b, c], 1e-300)) for a, b in pairs]
            if min(angles) < _OPPOSITE and d[merge.child, c] < min(d[p, c] for p in merge.parents):
                found[c] = merge.child
    return found


def below_merges(evidence: Evidence) -> set[int]:
    """Merges, and all that is proved to be made from one."""
    return below(evidence, {p.child for p in evidence.merges})


def below(evidence: Evidence, start: set[int]) -> set[int]:
    """`start`, and all that is proved to be made from it."""
    found = set(start)
    grown = True
    while grown:
        more = {p.child for p in evidence.edges if p.parents[0] in found} - found
        found |= more
        grown = bool(more)
    return found


def _settle_ties(cost: Matrix, cues: Cues, tree: set[Edge], made_from: dict[int, int]) -> tuple[set[Edge], int]:
    """Of the trees that cost nearly the same, the one whose directions fit best, and its root (-1: no tree).

    An arborescence over the tree's edges and near ties.
    """
    if not tree:
        return tree, -1
    nodes = sorted({i for e in tree for i in e})
    place = {v: k for k, v in enumerate(nodes)}
    weight = np.full((len(nodes),) * 2, np.inf)
    for i, j in tree | near_ties(cost, tree):
        for p, c in ((i, j), (j, i)):
            if made_from.get(p) == c or made_from.get(c, p) != p:
                continue
            ratio = np.clip(cues.ratio(p, c), -_DIRECTION_AT_MOST, _DIRECTION_AT_MOST)
            bonus = _FORCED if made_from.get(c) == p else float(ratio) / 2
            weight[place[p], place[c]] = _SHARPNESS * np.log(max(cost[i, j], 1e-300)) - bonus
    parents = minimum_arborescence(weight)
    best = {(min(nodes[a], nodes[b]), max(nodes[a], nodes[b])) for a, b in parents.items()}
    if len(best) < len(tree):  # proofs left two models without a possible parent among their near neighbours
        best = tree
    return best, best_root(sorted(best), cues, nodes)


def near_ties(cost: Matrix, tree: set[Edge]) -> set[Edge]:
    """Pairs off the tree that cost little more than the dearest edge of the path between them."""
    bottleneck = bottlenecks(cost, tree)
    close = np.argwhere(np.triu((cost < _NEAR_TIE * bottleneck) & np.isfinite(cost), 1))
    return {(int(i), int(j)) for i, j in close} - tree


def bottlenecks(cost: Matrix, tree: set[Edge]) -> Matrix:
    """The dearest edge on the path of `tree` between every two nodes (n, n); 0 where there is no path."""
    near = neighbours(tree)
    out = np.zeros_like(cost)
    for start in near:
        stack = [(start, -1, 0.0)]
        while stack:
            node, before, most = stack.pop()
            out[start, node] = most
            stack += [(v, node, max(most, float(cost[node, v]))) for v in near[node] if v != before]
    return out


def best_root(tree: list[Edge], cues: Cues, nodes: list[int]) -> int:
    """The node from which the directions of all edges fit best."""
    scores = root_scores(tree, {e: cues.ratio(*e) for e in tree}, nodes)
    return max(nodes, key=lambda v: (scores[v], -v))


def _insert(tree: set[Edge], cost: Matrix, waiting: list[Proof], fixed: set[Edge], root: int) -> set[Edge]:
    """`tree` with the children of all of `waiting`, parents before children."""
    placed = set(range(len(cost))) - {p.child for p in waiting}
    kept = set(fixed)
    above: dict[int, set[int]] = {}
    while waiting:
        proof = next((p for p in waiting if placed.issuperset(p.parents)), waiting[0])
        waiting.remove(proof)
        if proof.relation == "inside":
            host = min(placed, key=lambda i, c=proof.child: (cost[i, c], i))  # type: ignore[misc]
            proof = Proof("inside", (host,), proof.child, 0.0, "")
        else:
            kept |= {(min(p, proof.child), max(p, proof.child)) for p in proof.parents}
        above[proof.child] = set(proof.parents).union(*(above.get(p, ()) for p in proof.parents))
        tree = insert_merge(tree, cost, proof, kept, root, above[proof.child])
        placed.add(proof.child)
    return tree


def _nearest_first(merge: Proof, cost: Matrix) -> Proof:
    parents = sorted(merge.parents, key=lambda p: (cost[p, merge.child], p))
    return Proof(merge.relation, tuple(parents), merge.child, merge.nats, merge.method, merge.parameters, merge.base)
