"""Families and their trees."""

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from heritage.api import walk
from heritage.api.answers import FamilyCard, FamilyList, FamilyStatistics, Genealogy, LineageEdge, StartedRun
from heritage.api.catalogue import Catalogue
from heritage.api.cursor import decode, encode
from heritage.api.faults import documented
from heritage.api.runs import REBUILD_TREE
from heritage.api.services import Cursor, Services
from heritage.errors import NotFound
from heritage.names import check_name, printable

FamilyName = Annotated[str, Path(max_length=300, description="the family's id")]


def routes(services: Services) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/api/families", tags=["families"])

    @router.get("", responses=documented())
    def families(limit: Annotated[int, Query(ge=1, le=500)] = 100, cursor: Cursor = "") -> FamilyList:
        """Families by name, with the health of their members."""
        with services.follower.catalogue() as catalogue:
            return _page(catalogue, limit, cursor)

    @router.get("/{id}/genealogy", responses=documented(404))
    def genealogy(id: FamilyName, limit: Annotated[int, Query(ge=1, le=5000)] = 2000) -> Genealogy:
        """A family with its tree."""
        with services.follower.catalogue() as catalogue:
            return _genealogy(catalogue, id, limit)

    @router.post("/{id}/tree/rebuild", status_code=202, responses=documented(404, 409))
    def rebuild(id: FamilyName, user: Annotated[str, Depends(services.guard.write(REBUILD_TREE))]) -> StartedRun:
        """Start heritage_rebuild_tree for the family."""
        check_name(id, "family")
        with services.follower.catalogue() as catalogue:
            _size(catalogue, id)
        return services.start(REBUILD_TREE, {"family": id}, user)

    return router


def _page(catalogue: Catalogue, limit: int, cursor: str) -> FamilyList:
    place = decode(cursor, [str]) or ("",)
    asked = "SELECT DISTINCT family FROM card WHERE family > ? ORDER BY family LIMIT ?"
    names = [row[0] for row in catalogue.ask(asked, [*place, limit + 1])]
    shown = names[:limit]
    health: dict[str, dict[str, int]] = {name: {} for name in shown}
    counted = "SELECT family, health, count(*) FROM card WHERE family BETWEEN ? AND ? GROUP BY family, health"
    for name, status, count in catalogue.ask(counted, [shown[0], shown[-1]]) if shown else ():
        health[name][status] = count
    cards = tuple(FamilyCard(family=name, versions=sum(told.values()), health=told) for name, told in health.items())
    return FamilyList(families=cards, next=encode([shown[-1]]) if len(names) > limit else None)


def _size(catalogue: Catalogue, family: str) -> int:
    found = int(catalogue.ask("SELECT count(*) FROM card WHERE family = ?", [family])[0][0]) if family else 0
    if not found:
        raise NotFound(f"there is no family '{printable(family)}'")
    return found


def _genealogy(catalogue: Catalogue, family: str, limit: int) -> Genealogy:
    size = _size(catalogue, family)
    asked = (
        "SELECT DISTINCT content FROM card WHERE family = ? AND content NOT NULL ORDER BY created_at_ms, name LIMIT ?"
    )
    contents = [row[0] for row in catalogue.ask(asked, [family, limit + 1])]
    shown = dict.fromkeys(contents[:limit], 0)
    flat = walk.nodes(catalogue, shown)
    edges = walk.edges(catalogue, walk.named(shown, flat))
    children = {edge.child for edge in edges}
    depth = _depths([node.id for node in flat], edges)
    nodes = tuple(node.model_copy(update={"distance": depth.get(node.id, 0)}) for node in flat)
    return Genealogy(
        family=family,
        versions=size,
        roots=tuple(node.id for node in nodes if node.id not in children),
        nodes=nodes,
        edges=edges,
        truncated=len(contents) > limit,
        statistics=FamilyStatistics(
            versions=size,
            contents=len(nodes),
            edges=len(edges),
            relations=dict(Counter(edge.relation for edge in edges)),
            origins=dict(Counter(edge.origin for edge in edges)),
            health=dict(Counter(node.health for node in nodes)),
        ),
    )


def _depths(digests: list[str], edges: tuple[LineageEdge, ...]) -> dict[str, int]:
    """Fewest steps from a root to each content; those on a circle get none."""
    from heritage.lineage.walks import distances

    below: dict[str, set[str]] = {}
    for edge in edges:
        below.setdefault(edge.parent, set()).add(edge.child)
    children = {edge.child for edge in edges}
    return distances((digest for digest in digests if digest not in children), below)
