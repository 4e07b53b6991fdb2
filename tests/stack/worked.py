"""Tells what ran on which worker."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from heritage.local.airflow_rest import AirflowApi

WORKERS = ("airflow-worker-1", "airflow-worker-2")


def tasks_of(airflow: AirflowApi, dags: Iterable[str]) -> list[dict[str, Any]]:
    """Task instances of all runs of `dags` that have run somewhere, by their start."""
    found = [t for dag in dags for run in airflow.runs(dag) for t in airflow.tasks(dag, run["dag_run_id"])]
    return sorted((t for t in found if t["start_date"] and t["hostname"]), key=lambda t: t["start_date"])


def table(tasks: Iterable[dict[str, Any]]) -> str:
    """One line a task: DAG, task, worker, state, seconds."""
    lines = [f"{'DAG':24s} {'task':24s} {'worker':18s} {'state':10s} {'seconds':>8s}"]
    for t in tasks:
        name = t["task_id"] if t["map_index"] < 0 else f"{t['task_id']}[{t['map_index']}]"
        lines.append(f"{t['dag_id']:24s} {name:24s} {t['hostname']:18s} {t['state']:10s} {t['duration'] or 0:8.1f}")
    return "\n".join(lines)


def by_worker(tasks: Iterable[dict[str, Any]]) -> Counter[str]:
    """How many tasks each worker ran."""
    return Counter(t["hostname"] for t in tasks)


def seconds(run: dict[str, Any]) -> float:
    """From the start to the end of a run."""
    return (datetime.fromisoformat(run["end_date"]) - datetime.fromisoformat(run["start_date"])).total_seconds()
