"""The receiver of MLflow's webhooks. It asks for a signature instead of a login."""

import json
import threading
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Request
from prometheus_client import Counter
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from heritage.api.faults import Fault
from heritage.api.services import Services
from heritage.api.signature import WINDOW_S, Delivery, check
from heritage.errors import Conflict, HeritageError
from heritage.flows import notices
from heritage.flows.context import Context
from heritage.flows.notices import Consequence, Notice
from heritage.flows.webhook_secret import secret_of

USER = "mlflow-webhook"
MAX_BODY_BYTES = 2**16
_ANSWERS: dict[int | str, dict[str, Any]] = {code: {"model": Fault} for code in (400, 401, 409, 413, 422, 503)}


class Taken(BaseModel):
    """What followed from a webhook; `dag` and `run` are '' where none was started."""

    done: str
    dag: str = ""
    run: str = ""


def routes(services: Services, outcomes: Counter) -> APIRouter:
    """The router; `outcomes` counts deliveries."""
    router = APIRouter(prefix="/webhooks", tags=["webhooks"])
    seen = Seen()

    @router.post("/mlflow", status_code=202, responses=_ANSWERS)
    async def mlflow(
        request: Request,
        signature: Annotated[str, Header(alias="X-MLflow-Signature", max_length=400)] = "",  # noqa: ARG001 for the schema
    ) -> Taken:
        """Take one delivery, once."""
        try:
            body = await _body(request)
            taken = await run_in_threadpool(_take, services, seen, dict(request.headers), body)
        except HTTPException:
            outcomes.labels("refused").inc()
            raise
        except HeritageError as error:
            outcomes.labels("replayed" if isinstance(error, Conflict) else "failed").inc()
            raise
        outcomes.labels("started" if taken.dag else "taken").inc()
        return taken

    return router


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
    return body


def _take(services: Services, seen: "Seen", headers: dict[str, str], body: bytes) -> Taken:
    ctx = services.context
    delivery = check(secret_of(ctx.settings), headers, body, datetime.now(UTC))
    event, notice = _read(body)
    seen.claim(ctx, delivery)
    try:
        consequence = _consequence(ctx, event, notice, delivery)
        run = services.start(consequence.dag, consequence.conf or {}, USER) if consequence.dag else None
    except BaseException:  # Airflow's trigger may raise what its database makes it raise
        seen.forget(ctx, delivery)  # MLflow tries again with the same id
        raise
    services.follower.start(at_once=True)
    return Taken(done=consequence.done, dag=consequence.dag, run=run.run if run else "")


def _read(body: bytes) -> tuple[str, Notice | None]:
    """The event's name, and what it tells where it is one of those that matter."""
    try:
        told = json.loads(body)
        event, data = f"{told['entity']}.{told['action']}", told["data"]
        if event not in _EVENTS:
            return event, None
        texts = [str(data.get(name) or "") for name in ("name", "version", "alias")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise HTTPException(400, "the body is no event of MLflow") from error
    if any(len(text) > 1000 for text in texts):
        raise HTTPException(400, "the body is no event of MLflow: a name is longer than 1000 characters")
    return event, Notice(*texts)


def _consequence(ctx: Context, event: str, notice: Notice | None, delivery: Delivery) -> Consequence:
    if notice is None:
        return Consequence("left alone: nothing follows from such an event")
    if event == "model_version.created":
        return notices.registered(ctx, notice)
    return notices.alias_moved(ctx, notice, delivery.id)


_EVENTS = ("model_version.created", "model_version_alias.created", "model_version_alias.deleted")


class Seen:
    """Deliveries that were taken, for every process that receives: `webhooks/<hour>/<id>` in storage.

    A delivery older than the signature's window is refused anyway, so older hours are removed.
    """

    def __init__(self) -> None:
        self._hour = 0
        self._lock = threading.Lock()

    def claim(self, ctx: Context, delivery: Delivery) -> None:
        """Take the delivery; `Conflict` where it was taken before."""
        if not ctx.store.create(_key(delivery), b""):
            raise Conflict(f"delivery {delivery.id} was taken before")
        hour = delivery.sent_at_s // 3600
        with self._lock:
            due, self._hour = hour > self._hour, max(hour, self._hour)
        if due:
            self._prune(ctx, hour)

    def forget(self, ctx: Context, delivery: Delivery) -> None:
        """Let the delivery come again."""
        ctx.store.delete(_key(delivery))

    def _prune(self, ctx: Context, hour: int) -> None:
        oldest = hour - 1 - int(WINDOW_S // 3600)
        for key in list(ctx.store.list("webhooks/")):
            told = key.split("/")[1]
            if told.isdecimal() and int(told) < oldest:
                ctx.store.delete(key)


def _key(delivery: Delivery) -> str:
    return f"webhooks/{delivery.sent_at_s // 3600}/{delivery.id}"
