"""heritage_recluster: all families again, and the tree of each."""

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, TriggerRule, dag, task


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=1,
    tags=["heritage", "lineage"],
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    params={
        "reset": Param(False, type="boolean", description="Drop all families and recovered edges first."),
        "dry_run": Param(False, type="boolean", description="Say what would be changed and stop."),
    },
    doc_md=(
        "Finds the families of all versions anew from their fingerprints, recovers the tree of each, and writes what "
        "differs: families keep the id that most of their members have, and what was declared or attested stays as it "
        "is. The result, with its quality, is stored as `families/current.json`."
    ),
)
def heritage_recluster() -> None:
    """Fingerprints that lack -> families -> a tree each -> changes, some versions at a time -> result."""

    @task
    def versions(params: dict[str, Any]) -> list[list[str]]:
        from heritage.flows import recluster
        from heritage.flows.context import Context

        return [] if params["dry_run"] else recluster.portions(Context.connect())

    @task(max_active_tis_per_dagrun=4)
    def prepare(addresses: list[str], params: dict[str, Any]) -> None:
        from heritage.flows import recluster
        from heritage.flows.context import Context

        recluster.prepare(Context.connect(), addresses, params["reset"])

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def families(params: dict[str, Any]) -> list[str]:
        from heritage.flows import recluster
        from heritage.flows.context import Context

        return [] if params["dry_run"] else recluster.families(Context.connect(), params["reset"])

    @task(max_active_tis_per_dagrun=4)
    def tree(reference: str) -> list[str]:
        from heritage.flows import recluster
        from heritage.flows.context import Context

        return recluster.trees(Context.connect(), reference)

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def changes(found: list[list[str]]) -> list[list[str]]:
        from heritage.flows import plans

        return plans.portions(found)

    @task(max_active_tis_per_dagrun=4)
    def record(references: list[str]) -> int:
        from heritage.flows import plans
        from heritage.flows.context import Context

        return plans.record(Context.connect(), references)

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def publish(references: list[str], updated: list[int], params: dict[str, Any]) -> dict[str, Any]:
        from heritage.flows import recluster
        from heritage.flows.context import Context

        if params["dry_run"]:
            return recluster.run(Context.connect(), params["reset"], dry_run=True)
        return recluster.publish(Context.connect(), references, sum(updated or ()))

    found = families()
    prepare.expand(addresses=versions()) >> found
    publish(found, record.expand(references=changes(tree.expand(reference=found))))


heritage_recluster()
