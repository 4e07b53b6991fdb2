"""What a monitoring server reads: the fleet's health, repairs, what waits, and how long requests take.

The fleet's figures come from the catalogue at the moment of reading, so every process tells the same; requests and
webhooks are counted by each process for itself. No label holds a name of a model, a version, a user or a column.
"""

import time
from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heritage.api.catalogue import HEALTHS, Catalogue
from heritage.api.counts import kept
from heritage.api.follow import Follower, age_s
from heritage.api.guard import has_token
from heritage.api.services import Services
from heritage.errors import HeritageError

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Measured:
    """ASGI middleware that times every request, by its route and kind of answer."""

    def __init__(self, app: ASGIApp, seconds: Histogram) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            # a path that fits no route may be anything, so it has no name of its own here
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
            self._seconds.labels(route, method, f"{status // 100}xx").observe(time.perf_counter() - begun)


class Metrics:
    """The figures of one application."""

    def __init__(self, follower: Follower) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.requests = Histogram(
            "heritage_request_seconds", "Time to answer a request.", ["route", "method", "status"], buckets=_BUCKETS,
            registry=self.registry,
        )  # fmt: skip
        self.webhooks = Counter(
            "heritage_webhooks", "Deliveries of MLflow by what came of them.", ["outcome"], registry=self.registry
        )
        self.registry.register(_Fleet(follower))


class _Fleet(Collector):
    """The catalogue's figures."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    def collect(self) -> Iterable[Metric]:
        """All families; none where the registry has not been read yet."""
        with self._follower.catalogue() as catalogue:
            yield from _health(catalogue)
            yield from _repairs(catalogue)
            yield self._backlog(catalogue)
            yield GaugeMetricFamily("heritage_index_age_seconds", "Age of what the API tells.", age_s(catalogue))
        yield GaugeMetricFamily(
            "heritage_index_refresh_seconds", "Time of this process's last refresh.", self._follower.last_refresh_s
        )

    def _backlog(self, catalogue: Catalogue) -> Metric:
        waiting = GaugeMetricFamily("heritage_backlog", "What waits for a DAG or a person.", labels=["kind"])
        counted = kept(catalogue)
        waiting.add_metric(["ingest"], counted.statistics.pending)
        waiting.add_metric(["approval"], counted.challengers)
        from heritage.flows import label  # loads torch

        try:
            waiting.add_metric(["labels"], len(label.open_requests(self._follower.context)))
        except HeritageError:
            return waiting  # storage is away; what is known of the rest is told
        return waiting


def _health(catalogue: Catalogue) -> Iterable[Metric]:
    counted = kept(catalogue)
    for name, told, counts in (
        ("heritage_versions", "Versions by their newest verdict.", counted.statistics.health),
        ("heritage_deployed_versions", "Champions by their newest verdict.", counted.deployed),
    ):
        family = GaugeMetricFamily(name, told, labels=["health"])
        for health in HEALTHS:
            family.add_metric([health], counts.get(health, 0))
        yield family


def _repairs(catalogue: Catalogue) -> Iterable[Metric]:
    family = GaugeMetricFamily(
        "heritage_repairs",
        "Repairs and validations by what shipped and what the gate said.",
        labels=["rung", "decision"],
    )
    asked = "SELECT rung, decision, count(*) FROM repair GROUP BY rung, decision ORDER BY rung, decision LIMIT 100"
    for rung, decision, count in catalogue.ask(asked):
        family.add_metric([rung or "validation", decision], count)
    yield family


def routes(services: Services, metrics: Metrics) -> APIRouter:
    """The router. A monitoring server has no login, so it sends a token of its own."""
    router = APIRouter(include_in_schema=False)

    def scraper(request: Request) -> None:
        token = services.context.settings.api.metrics_token.get_secret_value()
        if not token or not has_token(request, token):
            raise HTTPException(
                401, "send HERITAGE_API__METRICS_TOKEN as a bearer token", {"WWW-Authenticate": "Bearer"}
            )

    @router.get("/metrics")
    def read(_: Annotated[None, Depends(scraper)]) -> Response:
        """Everything in Prometheus' text format."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
