"""How commands find the registry and the storage: the settings, else the stack that runs in the working folder."""

import os
import sys
from typing import TYPE_CHECKING

from heritage.settings import Settings, config_file, settings

if TYPE_CHECKING:
    from heritage.flows.context import Context


def use_running_stack() -> None:
    """Point the settings at the stack of the working folder, where one runs and nothing else is said.

    What the environment or the settings file says about MLflow or S3 is kept.
    """
    from heritage.errors import NotFound
    from heritage.local.stack import Stack

    chosen = settings()
    if {"mlflow", "s3"} & chosen.model_fields_set:
        return
    try:
        stack = Stack.load(chosen.work_dir)
    except NotFound:
        return
    for name, value in stack.environment().items():
        os.environ.setdefault(name, value)
    settings.cache_clear()


def connect() -> "Context":
    """Connections for one command."""
    from heritage.flows.context import Context

    log_to_stderr()
    use_running_stack()
    return Context.connect()


def log_to_stderr() -> None:
    """What is logged through structlog (retries do) would go to stdout, where `--json` results go.

    The stream is looked up with every message: whoever exchanged stderr meanwhile may have closed the old one.
    """
    import structlog

    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr), cache_logger_on_first_use=False)


def origins(chosen: Settings) -> dict[str, str]:
    """Where each section of the settings came from: environment, file or default."""
    file = config_file()
    named = set(_toml(file)) if file.exists() else set()
    found = {}
    for field in type(chosen).model_fields:
        upper = f"HERITAGE_{field.upper()}"
        if any(name == upper or name.startswith(f"{upper}__") for name in os.environ):
            found[field] = "environment"
        else:
            found[field] = str(file) if field in named else "default"
    return found


def _toml(file: "os.PathLike[str]") -> dict[str, object]:
    import tomllib

    with open(file, "rb") as opened:
        return tomllib.load(opened)
