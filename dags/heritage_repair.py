"""heritage_repair: a drifted version is repaired from the weights of its relatives."""

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task
from heritage_assets import CHALLENGER, DRIFTED, LABELS_NEEDED, Job, jobs, skip_unless


@dag(
    schedule=[DRIFTED],
    catchup=False,
    tags=["heritage", "repair"],
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    params={
        "model": Param("", type="string", description="The registered model whose champion drifted."),
        "window": Param("", type="string", description="The drifted window; empty: the newest with labelled rows."),
        "dry_run": Param(False, type="boolean", description="Search and report, register nothing."),
    },
    doc_md=(
        "Looks for the relative, and the factor, whose weights make the drifted version better on the rows it sees "
        "now; a gate compares the result on rows that were not used for the search. **Accepted**: registered as "
        "`challenger`, which starts heritage_promote. **Not enough**: heritage_label asks people. **Refused**: the "
        "reason stands in the run's report, and nothing changes."
    ),
)
def heritage_repair() -> None:
    """Search and gate -> register, or ask for labels, or neither."""

    @task
    def pick(params: dict[str, Any], triggering_asset_events: Any) -> list[Job]:
        return jobs(DRIFTED, triggering_asset_events, params)

    @task
    def search(job: Job, params: dict[str, Any]) -> dict[str, Any]:
        from heritage.flows import repair
        from heritage.flows.context import Context

        return repair.search(Context.connect(), job["model"], job["window"], dry_run=params["dry_run"])

    @task(outlets=[CHALLENGER])
    def register(result: dict[str, Any], *, outlet_events: Any) -> dict[str, str]:
        from heritage.flows import repair
        from heritage.flows.context import Context

        skip_unless(result, "accept")
        challenger = repair.register_challenger(Context.connect(), result["plan"])
        outlet_events[CHALLENGER].extra = challenger
        return challenger

    @task(outlets=[LABELS_NEEDED])
    def ask_for_labels(result: dict[str, Any], *, outlet_events: Any) -> None:
        skip_unless(result, "ask_labels")
        outlet_events[LABELS_NEEDED].extra = {key: result[key] for key in ("model", "window")}

    results = search.expand(job=pick())
    register.expand(result=results)
    ask_for_labels.expand(result=results)


heritage_repair()
