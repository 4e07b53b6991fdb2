"""Runs that record a decision rather than make a version: parameters, metrics and files under a key of their own."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from heritage.errors import NotFound
from heritage.names import printable
from heritage.registry.artifacts import RunArtifacts
from heritage.registry.connect import Connection
from heritage.registry.tags import check_tag

# MLflow takes these characters in names of parameters and metrics, and cuts parameters at 6,000 characters
_OTHERS = re.compile(r"[^A-Za-z0-9_\-. :/]")
_MAX_PARAM = 6000
_BATCH = 900  # a request takes at most 1,000 metrics, and 100 parameters
_PARAMS = 90
FINISHED = "FINISHED"
DECISION = "heritage.decision"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a run holds. `series`: name -> (step, value) in order of steps; `files`: path -> content."""

    name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    series: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)


def record(connection: Connection, key: str, wanted: RunRecord) -> str:
    """Id of the finished run that holds `wanted`: one run a `key` (of the storage), however often this is called.

    A run that a killed process left is filled up. `key` holds the id from before anything is written to the run.
    """
    mlflow = connection.mlflow
    run_id = _claimed(connection, key, wanted)
    run = mlflow.get_run(run_id)
    if run.info.status == FINISHED:
        return run_id
    artifacts = RunArtifacts(connection, run_id)
    for path, data in wanted.files.items():
        artifacts.write(path, data)
    _log(mlflow, run_id, wanted, int(run.info.start_time))
    mlflow.set_terminated(run_id, FINISHED)
    return run_id


def _claimed(connection: Connection, key: str, wanted: RunRecord) -> str:
    """The run that stands under `key`; made where there is none."""
    mlflow, store = connection.mlflow, connection.store
    try:
        return store.get(key).decode()
    except NotFound:
        own = _left_behind(connection, key) or _created(connection, key, wanted)
    if store.create(key, own.encode()):
        return own
    winner = store.get(key).decode()
    if winner != own:
        mlflow.delete_run(own)  # another process was quicker
    return winner


def _left_behind(connection: Connection, key: str) -> str:
    """The run of a process that was killed before it could claim the key; '' where there is none."""
    found = connection.mlflow.search_runs(
        [connection.experiment_id()], f"tags.`{DECISION}` = '{key}'", max_results=1, order_by=["start_time ASC"]
    )
    return str(found[0].info.run_id) if found else ""


def _created(connection: Connection, key: str, wanted: RunRecord) -> str:
    tags = {check_tag(k, v): v for k, v in {**wanted.tags, DECISION: key}.items()}
    run = connection.mlflow.create_run(connection.experiment_id(), tags=tags, run_name=printable(wanted.name))
    return str(run.info.run_id)


def _log(mlflow: Any, run_id: str, wanted: RunRecord, at_ms: int) -> None:
    from mlflow.entities import Metric, Param

    params = [Param(_key(k), printable(str(v), _MAX_PARAM - 100)) for k, v in wanted.params.items()]
    for start in range(0, len(params), _PARAMS):
        mlflow.log_batch(run_id, params=params[start : start + _PARAMS])
    points = {**{k: [(0, v)] for k, v in wanted.metrics.items()}, **wanted.series}
    # one time for all, so that a point that is written again is the same point
    metrics = [Metric(_key(k), value, at_ms, step) for k, series in points.items() for step, value in series]
    for start in range(0, len(metrics), _BATCH):
        mlflow.log_batch(run_id, metrics=metrics[start : start + _BATCH])


def _key(name: str) -> str:
    return _OTHERS.sub("_", name)[:250]
