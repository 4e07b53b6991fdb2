"""Clustering of the whole registry."""

from typing import Annotated

from fastapi import APIRouter, Depends

from heritage.api.answers import ClusteringStatistics, StartedRun
from heritage.api.counts import kept
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
            return kept(catalogue).statistics

    @router.post("/recluster", status_code=202, responses=documented(404, 409))
    def recluster(user: Annotated[str, Depends(services.guard.write(RECLUSTER))]) -> StartedRun:
        """Start heritage_recluster."""
        return services.start(RECLUSTER, {}, user)

    return router
