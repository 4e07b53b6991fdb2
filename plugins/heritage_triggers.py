"""Waits that cost no worker. No DAG in this file."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import BaseSensorOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent


class LabelsTrigger(BaseTrigger):
    """Fires when a label request is answered, or at `deadline` (ISO 8601, UTC) with what came until then."""

    def __init__(self, request: str, deadline: str, poll_s: float = 30.0) -> None:
        super().__init__()
        self.request, self.deadline, self.poll_s = request, deadline, poll_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as the triggerer stores them."""
        return (
            "heritage_triggers.LabelsTrigger",
            {"request": self.request, "deadline": self.deadline, "poll_s": self.poll_s},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event: the request's status."""
        from heritage.errors import Unavailable
        from heritage.flows import hand_off
        from heritage.flows.context import Context

        context = await asyncio.to_thread(Context.connect)
        until = datetime.fromisoformat(self.deadline)
        while True:
            try:
                status = await asyncio.to_thread(hand_off.poll, context, self.request)
            except Unavailable:  # people have days; an outage of minutes is no reason to stop waiting
                status = {"request": self.request, "done": False}
            if status["done"] or datetime.now(UTC) >= until:
                yield TriggerEvent(status)
                return
            await asyncio.sleep(self.poll_s)


class LabelsSensor(BaseSensorOperator):
    """Waits, without a worker, until a request is answered or its time is over."""

    template_fields = ("request", "deadline")

    def __init__(self, *, request: str, deadline: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.request, self.deadline = request, deadline

    def execute(self, context: Any) -> Any:  # noqa: ARG002 the signature is Airflow's
        """Hand over to the triggerer."""
        self.defer(trigger=LabelsTrigger(self.request, self.deadline), method_name="resume")

    def resume(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002 as above
        """The request's status when the wait was over."""
        return event
