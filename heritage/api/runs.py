"""Starting DAG runs: the one thing that the application asks of Airflow."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from heritage.errors import Unavailable

INGEST, VALIDATE, RECLUSTER, REBUILD_TREE, LABEL, PROMOTE = (
    f"heritage_{name}" for name in ("ingest", "validate", "recluster", "rebuild_tree", "label", "promote")
)


@dataclass(frozen=True, slots=True)
class Run:
    """A DAG run that was started; `url` is its page, '' where that is not known."""

    dag: str
    run: str
    state: str = "queued"
    url: str = ""


# DAG id, parameters and the name of who asked for it -> the run; raises `Conflict`, `NotFound`, `Unavailable`
Trigger = Callable[[str, Mapping[str, Any], str], Run]


def no_airflow(dag: str, conf: Mapping[str, Any], user: str) -> Run:  # noqa: ARG001 the signature is Trigger's
    """The trigger of an application that stands alone."""
    raise Unavailable(f"run of {dag}: this application has no Airflow to start it in; use the one in Airflow's own UI")
