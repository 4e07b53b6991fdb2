"""Questions to a recovered forest: a model's ancestors and descendants, a family's genealogy."""

from collections.abc import Mapping
from dataclasses import dataclass

from heritage.errors import NotFound
from heritage.names import printable
from heritage.recovery.results import RecoveredEdge, RecoveredFamily, Recovery
from heritage.recovery.statistics import TreeStatistics, tree_statistics


@dataclass(frozen=True, slots=True)
class Genealogy:
    """One family with the statistics of its tree, and the edges above each member."""

    family: RecoveredFamily
    statistics: TreeStatistics
    parents: Mapping[str, tuple[RecoveredEdge, ...]]


def genealogy(recovery: Recovery, family_id: str) -> Genealogy:
    """The genealogy of the family with this id, else `NotFound`."""
    for family in recovery.families:
        if family.id == family_id:
            parents = {m: tuple(e for e in family.edges if e.child == m) for m in family.members}
            return Genealogy(family, tree_statistics(family), parents)
    known = ", ".join(f.id for f in recovery.families[:5])
    raise NotFound(f"there is no family '{printable(family_id)}'; some that exist: {known or 'none'}")


def ancestors(recovery: Recovery, model: str) -> dict[str, int]:
    """Everything above `model`, with the least number of edges to it; `NotFound` for an unknown model."""
    return _reach(recovery, model, up=True)


def descendants(recovery: Recovery, model: str) -> dict[str, int]:
    """Everything below `model`, with the least number of edges to it; `NotFound` for an unknown model."""
    return _reach(recovery, model, up=False)


def family_of(recovery: Recovery, model: str) -> RecoveredFamily:
    """The family that `model` belongs to, else `NotFound`."""
    for family in recovery.families:
        if model in family.members:
            return family
    raise NotFound(f"model '{printable(model)}' was not recovered; give one of the models in the folder or registry")


def _reach(recovery: Recovery, model: str, up: bool) -> dict[str, int]:
    near: dict[str, list[str]] = {}
    for e in family_of(recovery, model).edges:
        start, end = (e.child, e.parent) if up else (e.parent, e.child)
        near.setdefault(start, []).append(end)
    found: dict[str, int] = {}
    level, steps = [model], 0
    while level:
        steps += 1
        level = sorted({x for m in level for x in near.get(m, ())} - found.keys() - {model})
        found |= dict.fromkeys(level, steps)
    return found
