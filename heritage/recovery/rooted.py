"""HERITAGE: proofs, a minimum spanning tree, and one root chosen for all edges at once."""

import numpy as np
from numpy.typing import NDArray

from heritage.recovery import fitted
from heritage.recovery.confidence import Claim, direction_confidence, edge_confidence, margins
from heritage.recovery.cues import Cues
from heritage.recovery.family import Family
from heritage.recovery.siblings import straighten
from heritage.recovery.skeleton import undirected_tree
from heritage.recovery.tree import Edge, components, orient, root_scores
from heritage.recovery.trees import Tree, TreeEdge

Matrix = NDArray[np.float64]
_COUNTED = 8.0  # log-likelihood against a root that has seen more batches than others
_BASE = 6.0  # log-likelihood of an edge that leads away from the base of a TIES merge


def heritage_tree(family: Family, cost: Matrix) -> Tree:
    """The tree of `family` by evidence, `cost` (n, n) and direction cues.

    A member whose best edge is more likely wrong than right gets no parent: it is the top of a tree of its own, and no
    root of the family.
    """
    if family.count == 1:
        return Tree((), {0: 1.0})
    cues = Cues(family, family.gather())
    tree = undirected_tree(cost, cues)
    proved = {(min(e), max(e)) for e in cues.proved}
    edges: list[TreeEdge] = []
    roots: dict[int, float] = {}
    for nodes in components(tree, family.count):
        inside = {e for e in tree if e[0] in nodes}
        inside = straighten(inside, choose_root(sorted(inside), cues, nodes)[0], cues, proved)
        root, chance = choose_root(sorted(inside), cues, nodes)
        roots[root] = chance[root]
        edges += _directed(cues, cost, sorted(inside), root, chance)
    return Tree(tuple(edges), roots)


def choose_root(tree: list[Edge], cues: Cues, nodes: list[int]) -> tuple[int, dict[int, float]]:
    """The most likely root of a component, and the chance of every node to be it."""
    degree = dict.fromkeys(nodes, 0)
    for i, j in tree:
        degree[i] += 1
        degree[j] += 1
    from_bases = below_bases(tree, cues)
    scores = root_scores(tree, {e: cues.ratio(*e) + from_bases.get(e, 0.0) for e in tree}, nodes)
    value = np.array([scores[v] / 2 + fitted.HUB * 0.5 * np.log(max(degree[v], 1)) for v in nodes])
    value -= _COUNTED * has_counted_more(cues.evidence.traits.batches[nodes])
    weight = np.exp((value - value.max()) / fitted.TEMPERATURE)
    chance = weight / weight.sum()
    return nodes[int(np.argmax(value))], dict(zip(nodes, chance.tolist(), strict=True))


def has_counted_more(batches: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which models BatchNorm has counted more batches for than for another one: counts grow, and a root's is least."""
    known = np.isfinite(batches)
    return np.asarray(known & (np.where(known, batches, np.inf) > batches[known].min(initial=np.inf)))


def below_bases(tree: list[Edge], cues: Cues) -> dict[Edge, float]:
    """Log-likelihood ratios, added to those of edges, for bases of TIES merges: they are above the merge's parents.

    Every path from a base to a parent of its merge leads away from the base, so the path's first edge goes that way.
    Models that differ from the base by their heads alone might be it as well: the path starts at the last of them.
    """
    out: dict[Edge, float] = {}
    for merge in cues.evidence.merges:
        if merge.base is None:
            continue
        alike, up = _but_for_heads(cues, merge.base), orient(tree, merge.base)
        for node in merge.parents:
            path = [node]
            while path[-1] in up and not alike[path[-1]]:
                path.append(up[path[-1]])
            if len(path) > 1 and alike[path[-1]]:
                p, c = path[-1], path[-2]
                key = (min(p, c), max(p, c))
                out[key] = out.get(key, 0.0) + (_BASE if p < c else -_BASE)
    return out


def _but_for_heads(cues: Cues, base: int) -> NDArray[np.bool_]:
    """Which members equal `base` in all but heads, itself included."""
    body = cues.family.equal[~cues.family.heads, base]
    return np.asarray((np.isnan(body) | (body == 1.0)).all(0) | (np.arange(cues.family.count) == base))


def _directed(cues: Cues, cost: Matrix, tree: list[Edge], root: int, chances: dict[int, float]) -> list[TreeEdge]:
    proof_of = {p.child: p for p in (*cues.evidence.edges, *cues.evidence.merges)}
    sure, clear = direction_confidence(tree, root, chances), margins(tree, cost)
    edges = []
    for child, parent in sorted(orient(tree, root).items()):
        proof = proof_of.get(child)
        if proof is not None and parent in proof.parents:
            edges += [TreeEdge(p, child, proof.relation, fitted.PROOF, proof.method) for p in proof.parents]
            continue
        key = (min(parent, child), max(parent, child))
        lora = cues.adapter(*key) is not None
        chance = edge_confidence(Claim(sure[key], clear[key], cues.ratio(parent, child), lora, parent == root))
        relation, reason = ("lora", "low rank") if lora else ("finetune", "cues")
        if chance >= fitted.LEAST_CONFIDENCE:  # below, the likelier case is that no parent is present
            edges.append(TreeEdge(parent, child, relation, chance, reason))
    return edges
