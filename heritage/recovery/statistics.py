"""What a recovered tree looks like, and what is wrong with one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heritage.recovery.results import RecoveredEdge, RecoveredFamily, Recovery


@dataclass(frozen=True, slots=True)
class TreeStatistics:
    """Shape of one family's tree. `depth` counts edges from a root; `branching` is children per inner model."""

    members: int
    edges: int
    roots: int
    leaves: int
    depth: int
    branching: float
    merges: int
    mean_confidence: float
    relations: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SystemStatistics:
    """All families: sizes, share of models that have a parent or are a root, mean confidence, share of valid trees."""

    models: int
    family_sizes: tuple[int, ...]
    success_rate: float
    mean_confidence: float
    valid_trees: float


def tree_statistics(family: RecoveredFamily) -> TreeStatistics:
    """The statistics of `family`; a tree with a circle has the depth of its longest path without repeats."""
    children = _children(family.edges)
    parents = _parents(family.edges)
    relations: dict[str, int] = {}
    for e in family.edges:
        relations[e.relation] = relations.get(e.relation, 0) + 1
    confidence = [e.confidence for e in family.edges]
    return TreeStatistics(
        members=len(family.members),
        edges=len(family.edges),
        roots=len(family.roots),
        leaves=sum(m not in children for m in family.members),
        depth=_depth(family, children),
        branching=sum(map(len, children.values())) / len(children) if children else 0.0,
        merges=sum(len(p) > 1 for p in parents.values()),
        mean_confidence=sum(confidence) / len(confidence) if confidence else 0.0,
        relations=dict(sorted(relations.items())),
    )


def system_statistics(recovery: Recovery) -> SystemStatistics:
    """The statistics of all families together."""
    families = recovery.families
    members = [m for f in families for m in f.members]
    placed = {e.child for f in families for e in f.edges} | {r for f in families for r in f.roots}
    confidence = [e.confidence for f in families for e in f.edges]
    return SystemStatistics(
        models=len(members),
        family_sizes=tuple(sorted((len(f.members) for f in families), reverse=True)),
        success_rate=sum(m in placed for m in members) / len(members) if members else 0.0,
        mean_confidence=sum(confidence) / len(confidence) if confidence else 0.0,
        valid_trees=sum(not faults(f) for f in families) / len(families) if families else 1.0,
    )


def faults(family: RecoveredFamily) -> list[str]:
    """What makes the tree of `family` no forest of its members: one sentence a fault, [] for a valid tree."""
    members = set(family.members)
    found = [f"root '{r}' is not a member" for r in family.roots if r not in members]
    parents = _parents(family.edges)
    for e in family.edges:
        found += [
            f"edge {e.parent} -> {e.child}: '{m}' is not a member" for m in (e.parent, e.child) if m not in members
        ]
        if e.parent == e.child:
            found.append(f"'{e.child}' is its own parent")
        if not 0.0 <= e.confidence <= 1.0:
            found.append(f"edge {e.parent} -> {e.child}: confidence {e.confidence} is not in [0, 1]")
        if e.relation != "merge" and len(parents[e.child]) > 1:
            found.append(f"'{e.child}' has {len(parents[e.child])} parents without being a merge")
    found += [f"root '{r}' has a parent" for r in family.roots if r in parents]
    circle = _circle(parents)
    return [*found, *([f"the edges close a circle: {' -> '.join(circle)}"] if circle else [])]


def _children(edges: Sequence[RecoveredEdge]) -> dict[str, list[str]]:
    children: dict[str, list[str]] = {}
    for e in edges:
        children.setdefault(e.parent, []).append(e.child)
    return children


def _parents(edges: Sequence[RecoveredEdge]) -> dict[str, list[str]]:
    parents: dict[str, list[str]] = {}
    for e in edges:
        parents.setdefault(e.child, []).append(e.parent)
    return parents


def _depth(family: RecoveredFamily, children: Mapping[str, list[str]]) -> int:
    """Longest number of edges from a model without parents, each model counted at its first visit level by level."""
    held = {e.child for e in family.edges}
    level, seen, depth = [m for m in family.members if m not in held], set[str](), -1
    while level:
        seen |= set(level)
        depth += 1
        level = sorted({c for m in level for c in children.get(m, ())} - seen)
    return max(depth, 0)


def _circle(parents: Mapping[str, list[str]]) -> list[str]:
    done: set[str] = set()
    for start in sorted(parents):
        path: list[str] = []
        stack = [(start, 0)]
        while stack:
            node, at = stack.pop()
            if at == 0:
                if node in path:
                    return [*path[path.index(node) :], node]
                if node in done:
                    continue
                path.append(node)
            above = parents.get(node, [])
            if at < len(above):
                stack += [(node, at + 1), (above[at], 0)]
            else:
                path.pop()
                done.add(node)
    return []
