"""The whole product as a person starts it: Airflow, MLflow and S3 as processes, through `heritage demo`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from heritage.local import state

pytestmark = [pytest.mark.services, pytest.mark.airflow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


def demo(work_dir: Path) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "HERITAGE", "MLFLOW"))}
    return subprocess.run(
        [sys.executable, "-m", "heritage.cli", "demo", "--json"],
        env={**kept, "HERITAGE_WORK_DIR": str(work_dir), "HERITAGE_CONFIG": os.devnull},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )


@pytest.fixture(scope="module")
def told(work_dir: Path) -> dict:
    done = demo(work_dir)
    assert done.returncode == 0, done.stderr[-4000:]
    return {**json.loads(done.stdout), "notes": done.stderr}


def test_the_drift_is_seen_and_the_calm_hour_is_not(told):
    assert told["verdicts"] == {"hour-01": "ok", "hour-02": "drift", "hour-03": "drift"}


def test_assets_carry_the_story_from_check_to_promotion(told):
    for step in ("heritage_drift_check: alarm[0]: success", "heritage_repair: register[0]: success",
                 "heritage_promote: approve: success", "heritage_promote: move_aliases: success",
                 "heritage_promote: smoke_test: success", "heritage_promote: roll_back: skipped"):  # fmt: skip
        assert step in told["notes"]


def test_what_was_promoted_is_better_on_fresh_rows(told):
    now = told["accuracy"]["all three"]
    assert told["promoted"]
    assert now["repaired"] > now["drifted"] + 0.1
    assert now["repaired"] > now["rollback"]


def test_nothing_is_left_running(told, work_dir):
    assert state.read(work_dir) == {}


@pytest.mark.slow
def test_a_second_run_reads_the_records_of_the_first(told, work_dir):
    again = demo(work_dir)
    assert again.returncode == 0, again.stderr[-4000:]
    second = json.loads(again.stdout)
    assert second["replayed"]
    assert second["accuracy"] == told["accuracy"]
    assert second["promoted"] == told["promoted"]
