"""heritage_ingest: every version in the registry gets its digest, its manifest and its place in the lineage."""

from datetime import timedelta
from typing import Any

from airflow.sdk import AssetOrTimeSchedule, CronTriggerTimetable, Param, dag, task
from heritage_assets import REGISTERED


@dag(
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("*/15 * * * *", timezone="UTC"), assets=[REGISTERED]),
    catchup=False,
    max_active_runs=1,
    tags=["heritage", "lineage"],
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    params={
        "address": Param("", type="string", description="One version, as name/version; empty: all that are pending."),
        "dry_run": Param(False, type="boolean", description="Say what would be ingested and stop."),
    },
    doc_md=(
        "Versions that were registered by hand in MLflow have no manifest. For each of them: weights checked and "
        "hashed, declared parents read from tags and model card, manifest and tags written. A version that cannot "
        "be read is tagged with the reason and left alone."
    ),
)
def heritage_ingest() -> None:
    """Pending versions -> one ingest each."""

    @task
    def pending(params: dict[str, Any]) -> list[str]:
        from heritage.flows import ingest
        from heritage.flows.context import Context

        return ingest.pending(Context.connect(), params["address"])

    @task(max_active_tis_per_dagrun=4)
    def ingest_version(address: str, params: dict[str, Any]) -> dict[str, Any]:
        from heritage.flows import ingest
        from heritage.flows.context import Context

        return ingest.run(Context.connect(), address, dry_run=params["dry_run"])

    ingest_version.expand(address=pending())


heritage_ingest()
