"""Clustering of the whole registry."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from heritage.api.answers import ClusteringStatistics, StartedRun
from heritage.api.catalogue import Catalogue
from heritage.api.faults import documented
from heritage.api.runs import RECLUSTER
from heritage.api.services import Services


def routes(services: Services) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/api/clustering", tags=["clustering"])

    @router.get("/statistics", responses=documented())
    def statistics() -> ClusteringStatistics:
        """Counts over the whole registry."""
        with services.follower.catalogue() as catalogue:
            return counts(catalogue)

    @router.post("/recluster", status_code=202, responses=documented(404, 409))
    def recluster(user: Annotated[str, Depends(services.guard.write(RECLUSTER))]) -> StartedRun:
        """Start heritage_recluster."""
        return services.start(RECLUSTER, {}, user)

    return router


def counts(catalogue: Catalogue) -> ClusteringStatistics:
    """Counts over all that the catalogue knows."""
    asked = (
        "SELECT count(*), count(DISTINCT digest), count(DISTINCT nullif(family, '')), sum(digest IS NULL), "
        "(SELECT count(*) FROM edge), "
        "(SELECT ifnull(max(n), 0) FROM (SELECT count(*) AS n FROM card WHERE family <> '' GROUP BY family)) FROM card"
    )
    versions, contents, families, pending, edges, largest = catalogue.ask(asked)[0]
    return ClusteringStatistics(
        versions=versions,
        contents=contents,
        families=families,
        edges=edges,
        largest_family=largest,
        pending=pending or 0,
        relations=_by(catalogue, "SELECT relation, count(*) FROM edge GROUP BY relation"),
        origins=_by(catalogue, "SELECT origin, count(*) FROM edge GROUP BY origin"),
        health=_by(catalogue, "SELECT health, count(*) FROM card GROUP BY health"),
    )


def _by(catalogue: Catalogue, asked: str) -> dict[str, Any]:
    return dict(catalogue.ask(asked))
