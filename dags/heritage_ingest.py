"""heritage_ingest: every version in the registry gets its fingerprint, its manifest and its place in the lineage."""

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
        "For every version without a place: weights checked, hashed and fingerprinted; declared parents read from tags "
        "and model card; family and parents recovered from weights and set beside what was declared. Manifest, tags "
        "and `heritage/ingest.json` tell what was found. A version that cannot be read is tagged with the reason and "
        "left alone."
    ),
)
def heritage_ingest() -> None:
    """Pending versions, some at a time -> fingerprints, in parallel -> places, one after the other."""

    @task
    def pending(params: dict[str, Any]) -> list[list[str]]:
        from heritage.flows import ingest
        from heritage.flows.context import Context

        return ingest.pending_chunks(Context.connect(), params["address"])

    @task(max_active_tis_per_dagrun=4)
    def fingerprint(addresses: list[str], params: dict[str, Any]) -> list[str]:
        from heritage.flows import ingest
        from heritage.flows.context import Context

        return addresses if params["dry_run"] else ingest.fingerprint_all(Context.connect(), addresses)

    # each version is compared with those before it
    @task(max_active_tis_per_dagrun=1)
    def place(addresses: list[str], params: dict[str, Any]) -> list[dict[str, Any]]:
        from heritage.flows import ingest
        from heritage.flows.context import Context

        return ingest.run_all(Context.connect(), addresses, params["dry_run"], again=bool(params["address"]))

    place.expand(addresses=fingerprint.expand(addresses=pending()))


heritage_ingest()
