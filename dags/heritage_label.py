"""heritage_label: people are asked for the labels that help most, and the repair goes on with their answers."""

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task
from heritage_assets import CHALLENGER, LABELS_NEEDED, Job, jobs, skip_unless
from heritage_triggers import LabelsSensor


@dag(
    schedule=[LABELS_NEEDED],
    catchup=False,
    tags=["heritage", "labelling"],
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    params={
        "model": Param("", type="string", description="The registered model whose repair needs labels."),
        "window": Param("", type="string", description="The drifted window; empty: the newest."),
        "dry_run": Param(False, type="boolean", description="Say which rows would be asked for and stop."),
    },
    doc_md=(
        "Chooses rows of the current window, writes them as `labels/<request>/tasks.jsonl`, waits for "
        "`labels.jsonl` beside it, checks the answers and repairs again with them. When time is over it goes on with "
        "what came. What passes the gate becomes `challenger`."
    ),
)
def heritage_label() -> None:
    """Request -> wait -> check answers -> repair again -> register what passes."""

    @task
    def pick(params: dict[str, Any], triggering_asset_events: Any) -> list[Job]:
        return jobs(LABELS_NEEDED, triggering_asset_events, params)

    @task
    def request(job: Job, params: dict[str, Any]) -> dict[str, str]:
        from heritage.flows import label
        from heritage.flows.context import Context

        return label.request(Context.connect(), job["model"], job["window"], dry_run=params["dry_run"])

    @task
    def collect(status: dict[str, Any]) -> dict[str, Any]:
        from heritage.flows import label
        from heritage.flows.context import Context

        return label.collect(Context.connect(), status["request"])

    @task
    def repair_again(collected: dict[str, Any]) -> dict[str, Any]:
        from heritage.flows import repair
        from heritage.flows.context import Context

        return repair.search(Context.connect(), collected["model"], collected["window"])

    @task(outlets=[CHALLENGER])
    def register(result: dict[str, Any], *, outlet_events: Any) -> dict[str, str]:
        from heritage.flows import repair
        from heritage.flows.context import Context

        skip_unless(result, "accept")
        challenger = repair.register_challenger(Context.connect(), result["plan"])
        outlet_events[CHALLENGER].extra = challenger
        return challenger

    wait = LabelsSensor.partial(task_id="wait").expand_kwargs(request.expand(job=pick()))
    register.expand(result=repair_again.expand(collected=collect.expand(status=wait.output)))


heritage_label()
