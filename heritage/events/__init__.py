"""Telling other systems what happened, through OpenLineage's own client; work never fails or waits long for it."""

from heritage.events.emit import dropped, emit
from heritage.events.event import Event, Version

__all__ = ["Event", "Version", "dropped", "emit"]
