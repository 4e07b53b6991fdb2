"""PostgreSQL dies and its standby takes its address, under running tasks, an approval and a client that writes."""

import threading
import time
from pathlib import Path

from heritage.errors import HeritageError
from heritage.flows.context import Context
from heritage.local.airflow_rest import AirflowApi
from heritage.local.production import Production
from heritage.registry import Registry
from tests.faults.tiny import tiny_weights
from tests.stack.contests import LIMIT_S, PROMOTE, check_contests, ended, promotion, until
from tests.stack.standby import standby
from tests.stack.test_stack_outages import by_hand

INGEST = "heritage_ingest"


class Writer(threading.Thread):
    """Registers one model after the other, each again until it is told that it is done."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        super().__init__(daemon=True)
        self.registry, self.folder = registry, folder
        self.told: dict[str, str] = {}
        self.failed = 0
        self.enough = threading.Event()

    def run(self) -> None:
        """Until there is enough."""
        for i in range(1000):
            weights = tiny_weights(self.folder)
            while not self.enough.is_set():
                try:
                    version = self.registry.register(f"written-{i}", weights).version
                    self.told[version.address] = version.digest
                    time.sleep(0.5)
                    break
                except HeritageError:
                    self.failed += 1
                    time.sleep(0.5)


def test_a_standby_takes_over_under_running_tasks(
    production: Production, ctx: Context, airflow: AirflowApi, tmp_path: Path
) -> None:
    contest, conf = promotion(ctx, tmp_path / "weights")
    promoting = airflow.start(PROMOTE, conf)
    airflow.approval(PROMOTE, promoting, "approve", LIMIT_S)
    addresses = [by_hand(production, f"failed-over-{i}", tmp_path) for i in range(3)]
    writer = Writer(ctx.registry, tmp_path / "written")
    with standby(production) as second:
        writer.start()
        runs = [airflow.start(INGEST, {"address": address}) for address in addresses]
        until(production, lambda: len(writer.told) > 2 and _is_at_work(airflow), "registrations and a running task")

        away_s, before = second.take_over(), len(writer.told)

        began = time.monotonic()
        states = [until(production, ended(airflow, INGEST, run), f"the end of {run}") for run in runs]
        ended_s = time.monotonic() - began
        until(production, lambda: len(writer.told) > before + 3, "registrations at the second server")
        airflow.answer(PROMOTE, promoting, "approve", "Approve", LIMIT_S)
        states.append(until(production, ended(airflow, PROMOTE, promoting), "the end of the promotion"))
        writer.enough.set()
        writer.join(60)
        print(
            f"\nsecond server after {away_s:.1f} s; runs {states}, {ended_s:.0f} s later; registrations told: "
            f"{before} before, {len(writer.told) - before} after, {writer.failed} tried again"
        )
        assert states == ["success"] * 4
        lost = [a for a, digest in writer.told.items() if ctx.registry.version(a).digest != digest]
        assert lost == []
        assert contest.champion == "2"
        check_contests(ctx, tmp_path, *(a.split("/")[0] for a in [*addresses, *writer.told]))


def _is_at_work(airflow: AirflowApi) -> bool:
    """Whether a task of the DAG runs, which may be one of a scheduled run that the others wait for."""
    running = [run["dag_run_id"] for run in airflow.runs(INGEST) if run["state"] == "running"]
    return any(task["state"] == "running" for run in running for task in airflow.tasks(INGEST, run))
