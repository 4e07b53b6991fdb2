"""HERITAGE: proofs, a minimum spanning tree, and one root chosen for all edges at once."""

import numpy as np
from numpy.typing import NDArray

from heritage.recovery import fitted
from heritage.recovery.confidence import direction_confidence, topology_confidence
from heritage.recovery.direction import FEATURES, features, slot_classes
from heritage.recovery.evidence import Evidence, gather
from heritage.recovery.family import Family, Proof
from heritage.recovery.proofs.lowrank import LowRank, low_rank
from heritage.recovery.scaling import Scaled, scaled_rows
from heritage.recovery.tree import Edge, component, insert_merge, orient, root_scores, spanning_tree
from heritage.recovery.trees import Tree, TreeEdge

Matrix = NDArray[np.float64]
_CUES_AT_MOST = 6.0
_PROVED = 30.0


def heritage_tree(family: Family, cost: Matrix) -> Tree:
    """The tree of `family` by evidence, `cost` (n, n) and direction cues."""
    if family.count == 1:
        return Tree((), {0: 1.0})
    evidence = gather(family)
    undirected = undirected_tree(cost, evidence)
    adapters = {e: low_rank(family, *e) for e in undirected}
    towards = edge_ratios(family, evidence, undirected, adapters)
    edges: list[TreeEdge] = []
    roots: dict[int, float] = {}
    left = set(range(family.count))
    while left:
        part = component(undirected, min(left))
        left -= part
        inside = sorted(e for e in undirected if e[0] in part)
        root, chance = choose_root(inside, towards, sorted(part))
        roots[root] = chance[root]
        edges += _directed(evidence, cost, inside, root, chance, adapters)
    return Tree(tuple(edges), roots)


def undirected_tree(cost: Matrix, evidence: Evidence) -> set[Edge]:
    """The spanning tree with proved edges forced; merges are inserted after it, parents before children."""
    forced = [(p.parents[0], p.child) for p in evidence.edges]
    fixed = {(min(e), max(e)) for e in forced}
    merges = [_nearest_first(p, cost) for p in evidence.merges]
    tree = spanning_tree(cost, forced, [p.child for p in merges])
    placed = set(range(len(cost))) - {p.child for p in merges}
    while merges:
        ready = [p for p in merges if placed.issuperset(p.parents)] or merges[:1]
        tree = insert_merge(tree, cost, ready[0], fixed)
        placed.add(ready[0].child)
        merges.remove(ready[0])
    return tree


def _nearest_first(merge: Proof, cost: Matrix) -> Proof:
    parents = sorted(merge.parents, key=lambda p: (cost[p, merge.child], p))
    return Proof(merge.relation, tuple(parents), merge.child, merge.nats, merge.method, merge.parameters, merge.base)


def edge_ratios(
    family: Family, evidence: Evidence, tree: set[Edge], adapters: dict[Edge, LowRank | None]
) -> dict[Edge, float]:
    """Log-likelihood ratio of 'i is the parent of j' for every edge (i, j) of `tree`: proofs first, then cues."""
    proved = {(p, x.child) for x in (*evidence.edges, *evidence.merges) for p in x.parents}
    weights = np.array([fitted.WEIGHTS[f] for f in FEATURES])
    classes = slot_classes(family.distances)
    out = {}
    for i, j in tree:
        if (i, j) in proved or (j, i) in proved:
            out[i, j] = _PROVED if (i, j) in proved else -_PROVED
            continue
        adapter = adapters[i, j]
        scaled = scaled_rows(family, i, j) if adapter is None else Scaled()
        cues = float(weights @ features(family.distances, evidence.traits, classes, i, j, scaled))
        residue = 0.0 if adapter is None else float(np.clip(adapter.nats / 10.0, -_PROVED, _PROVED))
        out[i, j] = float(np.clip(cues, -_CUES_AT_MOST, _CUES_AT_MOST)) + residue
    return out


def choose_root(tree: list[Edge], towards: dict[Edge, float], nodes: list[int]) -> tuple[int, dict[int, float]]:
    """The most likely root of a component, and the chance of every node to be it."""
    degree = np.zeros(max(nodes) + 1)
    for e in tree:
        degree[list(e)] += 1
    scores = root_scores(tree, towards, nodes)
    value = np.array([scores[v] / 1.0 + fitted.HUB * 0.5 * np.log(max(degree[v], 1)) for v in nodes])
    weight = np.exp((value - value.max()) / fitted.TEMPERATURE)
    chance = weight / weight.sum()
    return nodes[int(np.argmax(value))], dict(zip(nodes, chance.tolist(), strict=True))


def _directed(
    evidence: Evidence,
    cost: Matrix,
    tree: list[Edge],
    root: int,
    chance: dict[int, float],
    adapters: dict[Edge, LowRank | None],
) -> list[TreeEdge]:
    proof_of = {p.child: p for p in (*evidence.edges, *evidence.merges)}
    sure = direction_confidence(tree, root, chance)
    shape = topology_confidence(tree, cost)
    edges = []
    for child, parent in sorted(orient(tree, root).items()):
        proof = proof_of.get(child)
        key = (min(parent, child), max(parent, child))
        if proof is not None and parent in proof.parents:
            edges += [TreeEdge(p, child, proof.relation, 0.99, proof.method) for p in proof.parents]
            continue
        adapter = adapters[key]
        relation = "finetune" if adapter is None else "lora"
        edges.append(
            TreeEdge(parent, child, relation, sure[key] * shape[key], "cues" if adapter is None else "low rank")
        )
    return edges
