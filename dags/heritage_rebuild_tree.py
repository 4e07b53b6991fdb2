"""heritage_rebuild_tree: the tree of one family again."""

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
        "family": Param(type="string", minLength=1, description="The family, as `heritage families` lists it."),
        "weights": Param(False, type="boolean", description="Read the weights of all members, not the fingerprints."),
        "dry_run": Param(False, type="boolean", description="Say what would be changed and stop."),
    },
    doc_md=(
        "Recovers the parents of all members of a family at once and writes those that differ, beside what was "
        "declared or attested. With `weights` adapters and TIES merges are told apart too, at the cost of reading "
        "every file. The result is stored as `families/trees/<family>.json`."
    ),
)
def heritage_rebuild_tree() -> None:
    """Plan -> changes, some versions at a time -> result."""

    @task
    def plan(params: dict[str, Any]) -> list[str]:
        from heritage.flows import rebuild
        from heritage.flows.context import Context

        return [] if params["dry_run"] else rebuild.plan(Context.connect(), params["family"], params["weights"])

    @task(max_active_tis_per_dagrun=4)
    def record(reference: str) -> int:
        from heritage.flows import plans
        from heritage.flows.context import Context

        return plans.record(Context.connect(), [reference])

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def report(updated: list[int], params: dict[str, Any]) -> dict[str, Any]:
        from heritage.flows import rebuild
        from heritage.flows.context import Context

        ctx = Context.connect()
        if params["dry_run"]:
            return rebuild.brief(rebuild.run(ctx, params["family"], params["weights"], dry_run=True))
        return rebuild.brief(rebuild.report(ctx, params["family"], sum(updated or ())))

    report(record.expand(reference=plan()))


heritage_rebuild_tree()
