"""Small models of the stack with a question to people, and what is asked of Airflow while parts of it are away."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heritage.errors import HeritageError
from heritage.flows import label, windows
from heritage.flows.context import Context
from heritage.local.airflow_rest import AirflowApi
from heritage.local.production import Production
from heritage.rows import Rows
from tests.deployed import Contest, held, reference
from tests.faults import invariants

PROMOTE, LABEL, LIMIT_S = "heritage_promote", "heritage_label", 400.0
ENDED = ("success", "failed")


def promotion(ctx: Context, folder: Path) -> tuple[Contest, dict[str, str]]:
    """A champion with an accepted second version, and what heritage_promote has to be told."""
    folder.mkdir(parents=True, exist_ok=True)
    contest = held(ctx, folder)
    accepted = contest.accepted()
    return contest, {name: accepted[name] for name in ("address", "plan")}


def unlabelled(ctx: Context, folder: Path) -> Contest:
    """A champion that sees rows without labels, for which heritage_label asks."""
    folder.mkdir(parents=True, exist_ok=True)
    contest = held(ctx, folder)
    windows.keep_rows(ctx, contest.versions[0], "w1", Rows(reference(3, 200).x))
    return contest


def check_contests(ctx: Context, folder: Path, *names: str) -> None:
    """What must hold for all contests, which share their contents, and for other models by name."""
    contests = {version.name for version in ctx.registry.versions() if version.name.startswith("contest-")}
    invariants.check_registry(ctx.registry, folder / "check", [*sorted(contests), *names])


def answer_all(ctx: Context, request: str) -> None:
    """Every row of a label request gets a label."""
    tasks = [json.loads(line) for line in ctx.store.get(f"labels/{request}/tasks.jsonl").splitlines()]
    lines = [json.dumps({**task, "label": "1", "annotator": "ana"}) + "\n" for task in tasks]
    assert label.answer(ctx, request, "".join(lines).encode())["done"]


def until(production: Production, found: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> Any:
    """What `found` gives once it gives something; what has ended by itself is started again, as Compose does."""
    deadline = time.monotonic() + limit_s
    while True:
        try:
            if answer := found():
                return answer
        except HeritageError as error:
            problem = str(error)
        else:
            problem = ""
        assert time.monotonic() < deadline, f"not within {limit_s:.0f} s: {what}; {problem}"
        production.revive()
        time.sleep(1.0)


def states(airflow: AirflowApi, dag: str, run: str) -> dict[str, str]:
    """State of each task of a run, mapped ones under one name."""
    return {task["task_id"]: str(task["state"]) for task in airflow.tasks(dag, run)}


def ended(airflow: AirflowApi, dag: str, run: str) -> Callable[[], str]:
    """Asks for the final state of a run; '' before."""
    return lambda: next((r["state"] for r in airflow.runs(dag) if r["dag_run_id"] == run and r["state"] in ENDED), "")
