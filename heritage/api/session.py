"""Who is logged in, and where the other servers' pages are: what every page shows at its top."""

from typing import Annotated

from fastapi import APIRouter, Depends

from heritage.api.answers import Session, SessionLinks
from heritage.api.faults import documented
from heritage.api.services import Services


def routes(services: Services) -> APIRouter:
    """The router."""
    router = APIRouter(tags=["session"])

    @router.get("/api/session", responses=documented())
    def session(user: Annotated[str, Depends(services.guard.read)]) -> Session:
        """The caller's name, under which answers to label requests are kept."""
        links = services.links
        return Session(user=user, links=SessionLinks(mlflow=links.mlflow, airflow=links.airflow))

    return router
