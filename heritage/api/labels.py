"""Requests for labels, their tasks, and what people answer.

The flow loads torch, so it is imported when somebody first looks at labels.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from heritage.api.answers import LabelRequests, LabelTasks
from heritage.api.faults import documented
from heritage.api.runs import LABEL
from heritage.api.services import Services

RequestId = Annotated[str, Path(max_length=128, description="id of the request")]


class GivenAnswer(BaseModel):
    """One answer: the class's name or index for one row."""

    model_config = ConfigDict(extra="forbid", strict=True)

    sample_id: str = Field(min_length=1, max_length=256)
    row_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    label: int | str


class GivenAnswers(BaseModel):
    """Answers of the person who is logged in."""

    model_config = ConfigDict(extra="forbid")

    answers: list[GivenAnswer] = Field(min_length=1, max_length=1000)


def routes(services: Services) -> APIRouter:
    """The router. Requests are read from storage, since everybody must see the newest answers."""
    router = APIRouter(prefix="/api/labels", tags=["labels"])

    @router.get("", responses=documented())
    def requests() -> LabelRequests:
        """Requests that take answers now, nearest deadline first."""
        from heritage.flows import label

        return LabelRequests(requests=tuple(label.open_requests(services.context)))

    @router.get("/{request}/tasks", responses=documented(404))
    def tasks(
        request: RequestId,
        user: Annotated[str, Depends(services.guard.read)],
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    ) -> LabelTasks:
        """Tasks in the order in which they should be labelled."""
        from heritage.flows import label

        found = label.tasks(services.context, request, user)
        state = label.progress(services.context, request)
        shown = [{"label": None, **task} for task in found[offset : offset + limit]]
        return LabelTasks(request=request, classes=tuple(state["classes"]), total=len(found), tasks=tuple(shown))

    @router.post("/{request}/answers", responses=documented(404, 409, 413))
    def answer(
        request: RequestId, given: GivenAnswers, user: Annotated[str, Depends(services.guard.write(LABEL))]
    ) -> dict[str, Any]:
        """Take the caller's answers, all or none."""
        from heritage.flows import label

        return label.submit(services.context, request, [a.model_dump() for a in given.answers], user)

    @router.get("/{request}", responses=documented(404))
    def progress(request: RequestId) -> dict[str, Any]:
        """How far the request is."""
        from heritage.flows import label

        return label.progress(services.context, request)

    return router
