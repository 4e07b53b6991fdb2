"""Model versions: lists, one in full, its part of the lineage, and ingesting it again."""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query

from heritage.api import find, walk
from heritage.api.answers import Lineage, ModelDetail, ModelLinks, ModelList, Relative, StartedRun
from heritage.api.catalogue import Catalogue
from heritage.api.faults import documented
from heritage.api.refresh import REFRESHED_AT
from heritage.api.runs import INGEST
from heritage.api.services import Cursor, Services, Text
from heritage.errors import BadInput, Conflict, NotFound, Unavailable
from heritage.lineage.codec import encode
from heritage.names import printable
from heritage.records import Manifest, ModelVersion

Address = Annotated[
    str, Path(max_length=700, description="name/version, name@alias, or 12 to 64 characters of a digest")
]
_TOLD = """
SELECT digest, ifnull((SELECT name || '/' || version FROM version WHERE content = id
    ORDER BY created_at_ms, name, version LIMIT 1), ''), relation, origin, confidence
"""
_ID = "(SELECT id FROM content WHERE digest = ?)"
_PARENTS = f"{_TOLD} FROM edge JOIN content ON id = parent WHERE child = {_ID} ORDER BY parent, origin LIMIT 500"
_CHILDREN = (
    f"{_TOLD} FROM reverse_edge JOIN edge USING (parent, child) JOIN content ON id = child "
    f"WHERE reverse_edge.parent = {_ID} ORDER BY child, origin LIMIT 500"
)
Health = Literal["", "ok", "warning", "drift", "insufficient", "schema", "unknown"]


def routes(services: Services) -> APIRouter:
    """The router; the longer paths come first, since an address holds slashes."""
    router = APIRouter(prefix="/api/models", tags=["models"])

    @router.get("", responses=documented())
    def models(
        query: Text = "",
        health: Health = "",
        family: Text = "",
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        cursor: Cursor = "",
    ) -> ModelList:
        """Versions by name, a page at a time."""
        with services.follower.catalogue() as catalogue:
            cards, after, total = find.page(catalogue, find.Wanted(query, health, family), limit, cursor)
            indexed_at = catalogue.noted(REFRESHED_AT)
        return ModelList(models=tuple(cards), next=after, total=total, indexed_at=indexed_at, complete=bool(indexed_at))

    @router.get("/{id:path}/lineage", responses=documented(404))
    def lineage(
        id: Address,
        direction: Literal["both", "ancestors", "descendants"] = "both",
        depth: Annotated[int | None, Query(ge=1, le=100)] = None,
        limit: Annotated[int, Query(ge=1, le=5000)] = 500,
    ) -> Lineage:
        """Ancestors and descendants, nearest first."""
        with services.follower.catalogue() as catalogue:
            return walk.lineage(catalogue, find.digest_of(catalogue, id), direction, depth, limit)

    @router.post("/{id:path}/reprocess", status_code=202, responses=documented(404, 409))
    def reprocess(id: Address, user: Annotated[str, Depends(services.guard.write(INGEST))]) -> StartedRun:
        """Start heritage_ingest for the version."""
        with services.follower.catalogue() as catalogue:
            address = find.version(catalogue, id).card.address
        return services.start(INGEST, {"address": address}, user)

    @router.get("/{id:path}", responses=documented(404))
    def model(id: Address) -> ModelDetail:
        """All about one version."""
        with services.follower.catalogue() as catalogue:
            found = find.version(catalogue, id)
            around = relatives(catalogue, found.card.digest)
        return _detail(services, found, around)

    return router


def relatives(catalogue: Catalogue, digest: str) -> tuple[tuple[Relative, ...], tuple[Relative, ...]]:
    """Parents and children of a content, at most 500 each."""
    up, down = (catalogue.ask(asked, [digest]) for asked in (_PARENTS, _CHILDREN))
    return tuple(map(_relative, up)), tuple(map(_relative, down))


def _relative(row: tuple[Any, ...]) -> Relative:
    digest, address, relation, origin, confidence = row
    return Relative(digest=digest, address=address, relation=relation, origin=origin, confidence=confidence)


def _detail(
    services: Services, found: find.Found, around: tuple[tuple[Relative, ...], tuple[Relative, ...]]
) -> ModelDetail:
    card, links = found.card, services.links
    version, manifest, problem = _read(services, card.name, card.version)
    return ModelDetail(
        model=card,
        tags=dict(version.tags) if version else {},
        manifest=None if manifest is None else json.loads(encode(manifest)),
        problem=problem,
        verdict=found.verdict,
        parents=around[0],
        children=around[1],
        links=ModelLinks(
            mlflow=links.version(card.name, card.version), run=links.made_by(manifest.made_by) if manifest else ""
        ),
    )


def _read(services: Services, name: str, version: str) -> tuple[ModelVersion | None, Manifest | None, str]:
    """The version and its manifest as they are in the registry now, or what is wrong with them.

    The page is useful without MLflow too, so an outage is told as a problem.
    """
    known = None
    try:
        known = services.context.registry.version(f"{name}/{version}")
        manifest = services.context.registry.manifest(known)
    except (BadInput, Conflict, NotFound, Unavailable) as error:
        return known, None, printable(str(error), 1000)
    return known, manifest, "" if manifest else "registered without heritage; heritage_ingest gives it a manifest"
