"""Steps that several DAGs share: look at donors, search and register what passed. No DAG in this file."""

from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Asset, TriggerRule, task
from heritage_assets import CHALLENGER, Job, skip_unless
from heritage_assets import jobs as jobs_of


@task
def donors(jobs: list[Job]) -> list[dict[str, Any]]:
    """Pieces of work for `look`: model, window and digests. What they find lies in storage, not between tasks."""
    from heritage.flows import repair
    from heritage.flows.context import Context

    ctx = Context.connect()
    return [part for job in jobs for part in repair.parts(ctx, job["model"], job["window"])]


@task(max_active_tis_per_dagrun=4)
def look(part: dict[str, Any]) -> dict[str, str]:
    """How healthy one donor is on what the champion sees now."""
    from heritage.flows import repair
    from heritage.flows.context import Context

    return repair.assess(Context.connect(), part["model"], part["window"], part["digests"])


# without labels there is no donor to look at, and `look` is skipped
@task(trigger_rule=TriggerRule.NONE_FAILED)
def search(job: Job, params: dict[str, Any]) -> dict[str, Any]:
    """The gate's decision on the best repair, in short."""
    from heritage.flows import decisions, repair
    from heritage.flows.context import Context

    wish = repair.Wish(",".join(params.get("rungs", ())), params.get("donors", ""), params.get("seed"))
    return decisions.short(repair.search(Context.connect(), job["model"], job["window"], params["dry_run"], wish))


@task(outlets=[CHALLENGER])
def register(result: dict[str, Any], *, outlet_events: Any) -> dict[str, str]:
    """The repaired version as challenger, where the gate accepted it."""
    from heritage.flows import repair
    from heritage.flows.context import Context

    skip_unless(result, "accept")
    challenger = repair.register_challenger(Context.connect(), result["plan"])
    outlet_events[CHALLENGER].extra = challenger
    return challenger


def start_the_others(dag_id: str, asset: Asset) -> None:
    """A run asks people one question; where several events started it, each further one gets a run of its own."""

    @task
    def others(params: dict[str, Any], triggering_asset_events: Any) -> list[Job]:
        return jobs_of(asset, triggering_asset_events, params)[1:]

    TriggerDagRunOperator.partial(task_id="start_the_others", trigger_dag_id=dag_id).expand(conf=others())


def repaired(jobs: Any) -> Any:
    """Decisions on the repairs of `jobs`, a task's list; accepted ones become challengers."""
    looked = look.expand(part=donors(jobs))
    results = search.expand(job=jobs)
    looked >> results
    register.expand(result=results)
    return results
