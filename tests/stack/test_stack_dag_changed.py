"""A DAG file changes while a run of it waits for a person; what was asked is still asked, and done once."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from heritage.flows.context import Context
from heritage.local.airflow_rest import AirflowApi
from heritage.local.production import Production
from tests.deployed import Contest
from tests.stack.contests import LIMIT_S, PROMOTE, check_contests, ended, promotion, states, until

ORDER = "    challenger >> approval >> moved\n"
ANNOUNCED = """
    @task
    def announce() -> None:
        print("approved")

    challenger >> approval >> announce() >> moved
"""


@pytest.fixture
def file(production: Production, airflow: AirflowApi) -> Iterator[Path]:
    """heritage_promote as this stack reads it; put back afterwards."""
    found = production.project / "dags" / f"{PROMOTE}.py"
    original = found.read_text()
    assert ORDER in original
    yield found
    known = airflow.version(PROMOTE)
    changed = found.read_text() != original
    found.write_text(original)
    if changed:
        until(production, lambda: airflow.version(PROMOTE) > known, "the version that was put back")


def test_a_step_more_is_done_by_the_run_that_waits(
    production: Production, ctx: Context, airflow: AirflowApi, file: Path, tmp_path: Path
) -> None:
    contest, run = waiting(ctx, airflow, tmp_path)
    changed(production, airflow, file, file.read_text().replace(ORDER, ANNOUNCED))
    assert contest.champion == "1"

    airflow.answer(PROMOTE, run, "approve", "Approve", LIMIT_S)

    assert until(production, ended(airflow, PROMOTE, run), "the end") == "success"
    assert states(airflow, PROMOTE, run)["announce"] == "success"
    check_promoted_once(ctx, contest.name, tmp_path)


def test_an_approval_under_another_name_is_asked_again(
    production: Production, ctx: Context, airflow: AirflowApi, file: Path, tmp_path: Path
) -> None:
    contest, run = waiting(ctx, airflow, tmp_path)
    changed(production, airflow, file, file.read_text().replace('task_id="approve"', 'task_id="consent"'))

    until(production, lambda: states(airflow, PROMOTE, run).get("consent") == "awaiting_input", "the new question")
    print("\ntasks after the approval was renamed:", states(airflow, PROMOTE, run))
    assert contest.champion == "1"
    airflow.answer(PROMOTE, run, "consent", "Approve", LIMIT_S)

    assert until(production, ended(airflow, PROMOTE, run), "the end") == "success"
    check_promoted_once(ctx, contest.name, tmp_path)


def test_a_file_that_is_broken_for_a_while(
    production: Production, ctx: Context, airflow: AirflowApi, file: Path, tmp_path: Path
) -> None:
    contest, run = waiting(ctx, airflow, tmp_path)
    original = file.read_text()
    file.write_text(original[: len(original) // 2])  # as a copy that is under way
    mended = threading.Timer(15.0, file.write_text, [original])
    mended.start()

    # no worker can load the task that takes the answer: it fails, and asks again once the file is whole
    airflow.answer(PROMOTE, run, "approve", "Approve", LIMIT_S)
    mended.join()

    assert until(production, ended(airflow, PROMOTE, run), "the end") == "success"
    check_promoted_once(ctx, contest.name, tmp_path)


def waiting(ctx: Context, airflow: AirflowApi, folder: Path) -> tuple[Contest, str]:
    """A contest and the run that asks whether its second version may be promoted."""
    contest, conf = promotion(ctx, folder / "weights")
    run = airflow.start(PROMOTE, conf)
    airflow.approval(PROMOTE, run, "approve", LIMIT_S)
    return contest, run


def changed(production: Production, airflow: AirflowApi, file: Path, text: str) -> None:
    """Write the file and wait until Airflow has read it as a new version."""
    known, began = airflow.version(PROMOTE), time.monotonic()
    assert text != file.read_text()
    file.write_text(text)
    until(production, lambda: airflow.version(PROMOTE) > known, "the new version")
    print(f"\nversion {known + 1} of {PROMOTE} after {time.monotonic() - began:.0f} s")


def check_promoted_once(ctx: Context, name: str, folder: Path) -> None:
    assert [move.kind for move in ctx.registry.history(name)] == ["initial", "promote"]
    assert ctx.registry.aliases(name)["champion"] == "2"
    check_contests(ctx, folder)
