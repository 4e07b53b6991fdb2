"""The connection to MLflow: one client, no global state of MLflow's fluent interface, bounded waiting."""

import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from heritage.errors import Conflict, Misconfigured, NotFound
from heritage.names import printable
from heritage.registry.translate import Translated, translated, without_password
from heritage.storage import ObjectStore

_SCHEMES = re.compile(r"https?|sqlite|(postgresql|mysql)(\+[a-z0-9]+)?")
# MLflow reads these on every call, and takes them from nowhere else; what the user has set stays
_BOUNDS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",  # seconds without a byte
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_FIXED = {
    "MLFLOW_TRUNCATE_LONG_VALUES": "false",  # else a long tag is cut without a word
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing leaves the user's network
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # standard output belongs to the command
}


def utc_now() -> datetime:
    """The time as records hold it."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a claim holds without a sign of life, and how long others wait for its owner; seconds."""

    lease_s: float = 30.0
    wait_s: float = 300.0


@dataclass(frozen=True, eq=False)
class Connection:
    """What every part of the registry is given. `mlflow` raises errors of heritage; see `Translated`."""

    mlflow: Any
    store: ObjectStore
    tracking_uri: str
    experiment: str
    now: Callable[[], datetime] = utc_now
    timing: Timing = Timing()
    # where the files of runs lie, which never changes; filled for many runs at once, for whoever reads many
    places: dict[str, str] = field(default_factory=dict, repr=False)
    _ids: dict[str, str] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def shown_uri(self) -> str:
        """The tracking server's address without user and password."""
        return without_password(self.tracking_uri)

    def experiment_id(self) -> str:
        """Id of the experiment that holds heritage's runs; the experiment is made where it is missing."""
        with self._lock:
            if self.experiment not in self._ids:
                self._ids[self.experiment] = _experiment_id(self.mlflow, self.experiment)
            return self._ids[self.experiment]


def connect(
    tracking_uri: str,
    store: ObjectStore,
    experiment: str,
    now: Callable[[], datetime] = utc_now,
    timing: Timing = Timing(),
) -> Connection:
    """A connection to the registry at `tracking_uri`; sends nothing yet to a server.

    Raises `Misconfigured` for a file store (MLflow 3 keeps none, and it has no transactions) and for a database of
    another release of MLflow.
    """
    if not _SCHEMES.fullmatch(urlsplit(tracking_uri).scheme):
        raise Misconfigured(
            f"tracking address '{printable(without_password(tracking_uri))}' is no MLflow server or database; give "
            "http(s)://, sqlite:/// or postgresql:// in HERITAGE_MLFLOW__TRACKING_URI (file stores are not supported)"
        )
    os.environ.update(_FIXED)
    for key, value in _BOUNDS.items():
        os.environ.setdefault(key, value)
    from mlflow.tracking import MlflowClient  # 1 s, so not for a command that needs no registry

    # a database, unlike a server, is opened here
    with translated("opening", tracking_uri):
        client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
    return Connection(Translated(client, tracking_uri), store, tracking_uri, experiment, now, timing)


def _experiment_id(mlflow: Any, name: str) -> str:
    found = mlflow.get_experiment_by_name(name)
    if found is None:
        try:
            return str(mlflow.create_experiment(name))
        except Conflict:  # another process made it meanwhile
            found = mlflow.get_experiment_by_name(name)
    if found is None:
        raise NotFound(f"MLflow experiment '{printable(name)}' cannot be made or read; check the user's permissions")
    if found.lifecycle_stage != "active":
        raise Misconfigured(
            f"MLflow experiment '{printable(name)}' is deleted; restore it, or name another one in "
            "HERITAGE_MLFLOW__EXPERIMENT"
        )
    return str(found.experiment_id)
