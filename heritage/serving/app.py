"""The HTTP interface: /predict, /healthz, /metrics."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.middleware.trustedhost import TrustedHostMiddleware

from heritage import __version__
from heritage.errors import BadInput, Unavailable
from heritage.serving.champion import Champion
from heritage.serving.metrics import Metrics
from heritage.serving.request import parse
from heritage.settings import ServeSettings

LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")

_BODY = {
    "type": "object",
    "required": ["instances"],
    "additionalProperties": False,
    "properties": {
        "instances": {"type": "array", "minItems": 1, "items": {"type": "array"}},
        "ids": {"type": "array", "items": {"type": "string"}},
    },
}


def app_of(champion: Champion, limits: ServeSettings) -> FastAPI:
    """The application around a started `champion`; its shutdown closes it, so that the last rows are written."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(champion.close)

    # the interactive pages would load scripts from elsewhere
    app = FastAPI(title="heritage serve", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    if limits.host in LOOPBACK:
        # a page in a browser may be made to ask 127.0.0.1 under a name of its own
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK))
    server = _Server(champion, limits)
    body = {"requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}}}
    app.post("/predict", openapi_extra=body)(server.predict)
    app.get("/healthz")(server.healthz)
    app.get("/metrics")(server.metrics)
    return app


class _Refusal(Exception):
    """An answer other than 200, with its reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Server:
    """What the three addresses answer."""

    def __init__(self, champion: Champion, limits: ServeSettings) -> None:
        self._champion, self._limits, self._busy = champion, limits, 0
        self._metrics = Metrics(champion)

    async def predict(self, request: Request) -> Response:
        """Class, probabilities and prediction id of each row."""
        started, status = time.perf_counter(), 500
        try:
            answer = _json(200, await self._predicted(request))
            status = 200
        except _Refusal as refusal:
            status = refusal.status
            answer = _json(status, {"error": str(refusal)})
        finally:
            self._metrics.requests.labels(str(status)).inc()
            self._metrics.seconds.observe(time.perf_counter() - started)
        return answer

    async def healthz(self) -> Response:
        """200 while a model answers: status 'ok', or 'stale' with the reason why it is not the newest; else 503."""
        served = self._champion.current
        if served is None:
            return _json(503, {"status": "unavailable", "problem": self._champion.problem or "no model is loaded"})
        problem = self._champion.problem
        return _json(
            200,
            {
                "status": "stale" if problem else "ok",
                "model": served.version.name,
                "version": served.version.version,
                "digest": served.version.digest,
                "watched": served.agent is not None,
                "problem": problem,
            },
        )

    async def metrics(self) -> Response:
        """Prometheus's text format."""
        # asks the agents, which may be counting
        text = await run_in_threadpool(self._metrics.text)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _predicted(self, request: Request) -> dict[str, Any]:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise _Refusal(415, "send the rows as application/json")
        if self._busy >= self._limits.max_requests:
            raise _Refusal(503, f"{self._busy} requests are at work; try again in a moment")
        self._busy += 1
        try:
            return await run_in_threadpool(self._answer, await self._body(request))
        except BadInput as error:
            raise _Refusal(422, str(error)) from error
        except Unavailable as error:
            raise _Refusal(503, str(error)) from error
        finally:
            self._busy -= 1

    async def _body(self, request: Request) -> bytes:
        limit, parts, size = self._limits.max_body_bytes, [], 0
        try:
            async with asyncio.timeout(self._limits.body_s):
                async for part in request.stream():
                    size += len(part)
                    if size > limit:
                        raise _Refusal(413, f"the body has more than {limit} bytes; send fewer rows a request")
                    parts.append(part)
        except TimeoutError as error:
            raise _Refusal(408, f"the body did not come within {self._limits.body_s:g} s") from error
        return b"".join(parts)

    def _answer(self, body: bytes) -> dict[str, Any]:
        question = parse(body, self._limits.max_rows)
        with self._champion.using() as served:
            said = served.answer(question.x, question.ids)
            version = served.version
        self._metrics.rows.inc(len(said))
        return {
            "model": version.name,
            "version": version.version,
            "ids": question.ids,
            "predictions": said.argmax(axis=1).tolist(),
            "probabilities": said.tolist(),
        }


def _json(status: int, found: dict[str, Any]) -> Response:
    headers = {"Retry-After": "1"} if status == 503 else None
    return Response(json.dumps(found, allow_nan=False), status, headers, media_type="application/json")
