"""The HTTP interface: one FastAPI application behind a login that whoever mounts it provides."""

from heritage.api.app import create_app
from heritage.api.guard import Guard, token_guard
from heritage.api.runs import Run, Trigger

__all__ = ["Guard", "Run", "Trigger", "create_app", "token_guard"]
