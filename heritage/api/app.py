"""The application: every route, behind the login that its guard provides."""

import mimetypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi import Path as InPath
from fastapi.responses import FileResponse

from heritage import __version__
from heritage.api import (
    audit,
    clustering,
    drift,
    families,
    labels,
    metrics,
    models,
    moves,
    pages,
    plots,
    repairs,
    session,
    webhooks,
)
from heritage.api.faults import documented, handle_errors
from heritage.api.follow import Follower
from heritage.api.guard import Guard
from heritage.api.headers import Shield
from heritage.api.runs import Trigger, no_airflow
from heritage.api.services import Services
from heritage.errors import NotFound
from heritage.flows.context import Context

STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}


def create_app(
    guard: Guard,
    trigger: Trigger = no_airflow,
    connect: Callable[[], Context] = Context.connect,
    airflow_url: str = "",
) -> FastAPI:
    """The application. Connects to nothing before its first request.

    `guard` says who may read and who may start a DAG; `trigger` starts one. `airflow_url` is where people find Airflow.
    """
    app = FastAPI(title="heritage", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    follower = Follower(connect)
    figures = metrics.Metrics(follower)
    services = Services(follower, guard, trigger, airflow_url)
    app.state.services = services
    inside = APIRouter(dependencies=[Depends(guard.read)])
    # drift before models: both have paths below an address, which holds slashes
    for part in (session, drift, plots, models, families, clustering, repairs, moves, labels, audit):
        inside.include_router(part.routes(services))
    inside.include_router(_files())
    inside.include_router(pages.router)
    app.include_router(inside)
    app.include_router(webhooks.routes(services, figures.webhooks))
    app.include_router(metrics.routes(services, figures))
    app.add_middleware(Shield, hosts=guard.hosts)
    app.add_middleware(metrics.Measured, seconds=figures.requests)
    handle_errors(app)
    return app


def _files() -> APIRouter:
    """The schema, and the files that pages need; both for those who are logged in."""
    router = APIRouter(include_in_schema=False)

    @router.get("/openapi.json")
    def schema(request: Request) -> dict[str, Any]:
        """The description of all routes."""
        found: dict[str, Any] = request.app.openapi()
        return found

    @router.get("/static/{path:path}", responses=documented(404))
    def static(path: Annotated[str, InPath(max_length=300)]) -> FileResponse:
        """A file of the pages; browsers ask each time whether it is still the same."""
        # os.path asks without raising, also for names that no file system takes
        root = os.path.realpath(STATIC)
        file = Path(os.path.realpath(os.path.join(root, path)) if "\0" not in path else root)
        if not file.is_relative_to(root) or not os.path.isfile(file):
            raise NotFound("there is no such file")
        kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return FileResponse(file, media_type=kind, headers={"Cache-Control": "private, no-cache"})

    return router
