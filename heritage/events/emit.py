"""Sending events: within a deadline, in a thread that no work depends on, and not at all for a while after a fault."""

import logging
import threading
import time
from datetime import UTC, datetime
from functools import cache
from typing import Any

from heritage.events.event import Event
from heritage.names import printable
from heritage.settings import EventsSettings

PAUSE_S = 60.0
_log = logging.getLogger(__name__)
_lock = threading.Lock()
_paused_until_s = 0.0
_dropped = 0


def emit(event: Event, settings: EventsSettings, registry: str) -> bool:
    """Send `event`; whether it was sent. Never raises, and never waits longer than the settings' deadline.

    After a fault nothing is tried for a minute: work on thousands of versions must not wait for each.
    """
    if not settings.openlineage:
        return False
    if time.monotonic() < _paused_until_s:
        _drop(f"{event.job}: events are paused after a fault")
        return False
    fault: list[str] = ["it took too long"]
    thread = threading.Thread(
        target=_send, args=(event, settings.namespace, registry, fault), name="heritage-event", daemon=True
    )
    thread.start()
    thread.join(settings.deadline_s)
    if not fault[0]:
        return True
    _pause()
    _drop(f"{event.job}: {fault[0]}")
    return False


def dropped() -> int:
    """How many events of this process were not sent."""
    return _dropped


def _send(event: Event, namespace: str, registry: str, fault: list[str]) -> None:
    try:
        from heritage.events.openlineage import run_events  # 0.4 s, which work without events need not wait for

        client = _client()
        for told in run_events(event, namespace, registry, datetime.now(UTC)):
            client.emit(told)
        fault[0] = ""
    except Exception as error:  # a transport may raise whatever its server or its settings make it raise
        fault[0] = printable(f"{type(error).__name__}: {error}", 300)


def _drop(why: str) -> None:
    global _dropped
    with _lock:
        _dropped += 1
        if _dropped == 1 or _dropped % 100 == 0:
            _log.warning("%d OpenLineage events were not sent; the last one: %s", _dropped, why)


def _pause() -> None:
    global _paused_until_s
    with _lock:
        _paused_until_s = time.monotonic() + PAUSE_S


@cache
def _client() -> Any:
    """OpenLineage's client, set up by its own variables and files."""
    from openlineage.client import OpenLineageClient

    return OpenLineageClient()
