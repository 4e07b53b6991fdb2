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
    scores = root_scores(tree, {e: cues.ratio(*e) for e in tree}, nodes)
    value = np.array([scores[v] / 2 + fitted.HUB * 0.5 * np.log(max(degree[v], 1)) for v in nodes])
    weight = np.exp((value - value.max()) / fitted.TEMPERATURE)
    chance = weight / weight.sum()
    return nodes[int(np.argmax(value))], dict(zip(nodes, chance.tolist(), strict=True))


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
