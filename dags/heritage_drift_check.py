"""heritage_drift_check: has what the deployed versions see drifted away from what they were made for?"""

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException
from heritage_assets import DRIFTED
from heritage_notify import failed


@dag(
    schedule=CronTriggerTimetable("0 * * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    on_failure_callback=failed(),
    tags=["heritage", "drift"],
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    params={
        "model": Param("", type="string", description="One registered model; empty: every deployed version."),
        "dry_run": Param(False, type="boolean", description="Say what would be checked and stop."),
    },
    doc_md=(
        "Merges the new windows of every deployed version (alias `champion`), compares them with the version's drift "
        "profile, writes verdict, Evidently report, tags and metrics, and starts **heritage_repair** where drift was "
        "seen in enough windows. A run judges windows that begin before its logical date, so a backfill gives each "
        "hour its own verdict. A run that finds no new window changes nothing."
    ),
)
def heritage_drift_check() -> None:
    """Deployed versions -> one check each -> an alarm for those that need repair."""

    @task
    def deployed(params: dict[str, Any]) -> list[str]:
        from heritage.flows import check_drift
        from heritage.flows.context import Context

        return check_drift.deployed(Context.connect(), params["model"])

    @task(max_active_tis_per_dagrun=4)
    def check(address: str, params: dict[str, Any], logical_date: datetime | None = None) -> dict[str, Any]:
        from heritage.flows import check_drift
        from heritage.flows.context import Context

        return check_drift.run(Context.connect(), address, params["dry_run"], until=logical_date)

    @task(outlets=[DRIFTED])
    def alarm(found: dict[str, Any], *, outlet_events: Any) -> None:
        if not found["triggered"]:
            raise AirflowSkipException(f"{found['address']}: {found['status']}; no repair is needed")
        told = ("model", "version", "window", "status", "ancestors")
        outlet_events[DRIFTED].extra = {key: found[key] for key in told}

    alarm.expand(found=check.expand(address=deployed()))


heritage_drift_check()
