"""Which models of a forest are taken away, and what a recovery of the rest should find."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from heritage.testing.family import Node
from heritage.testing.plan import KIND_OF


def remove_some(nodes: Sequence[Node], share: float, rng: np.random.Generator) -> set[int]:
    """Ids of inner models to leave out: about `share` of all, never a root, never one that has twins.

    Parents of merges are mostly spared: a merge without one of its parents looks like a step between the others.
    """
    twins = _twins(nodes)
    merged = {p for n in nodes if KIND_OF[n.relation] == "merge" for p in n.parents if rng.random() < 0.7}
    parents = {p for n in nodes for p in n.parents} - merged
    inner = [n.id for n in nodes if n.parents and n.id in parents and len(twins[_values(n)]) == 1]
    count = min(len(inner), round(share * len(nodes)))
    return set(rng.choice(inner, count, replace=False).tolist()) if count else set()


def truth_of(nodes: Sequence[Node], gone: set[int], names: Mapping[int, str]) -> dict[str, Any]:
    """Per model left: family, relation, kind, parents present, ancestors that stand in for parents absent."""
    by_id = {n.id: n for n in nodes}
    models = []
    for n in nodes:
        if n.id in gone:
            continue
        here = [p for p in n.parents if p not in gone]
        stand_ins = sorted({a for p in n.parents if p in gone for a in _present_above(by_id[p], by_id, gone)})
        models.append(
            {
                "id": names[n.id],
                "family": n.family,
                "relation": n.relation,
                "kind": KIND_OF[n.relation],
                "parents": [names[p] for p in here],
                "parent_present": len(here) == len(n.parents),
                "ancestors": [names[a] for a in stand_ins if a not in here],
                "base": names[n.base] if n.base is not None and n.base not in gone else None,
                "values": _values(n),
            }
        )
    return {"models": models}


def _present_above(node: Node, by_id: Mapping[int, Node], gone: set[int]) -> set[int]:
    found: set[int] = set()
    for p in node.parents:
        found |= _present_above(by_id[p], by_id, gone) if p in gone else {p}
    return found


def _values(node: Node) -> str:
    digest = hashlib.sha256()
    for name in sorted(node.saved):
        value = node.saved[name].double().numpy() + 0.0  # one zero, not two
        digest.update(f"{name}{value.shape}".encode() + value.tobytes())
    return digest.hexdigest()[:16]


def _twins(nodes: Sequence[Node]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for n in nodes:
        groups.setdefault(_values(n), []).append(n.id)
    return groups
