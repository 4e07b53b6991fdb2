"""heritage_label: people are asked for the labels that help most, and the repair goes on with their answers."""

from datetime import timedelta
from typing import Any

import heritage_forms as forms
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import TriggerRule, dag, task
from airflow.sdk.exceptions import AirflowSkipException
from heritage_assets import LABELS_NEEDED, Job, jobs
from heritage_notify import approval_asked
from heritage_steps import repaired, start_the_others
from heritage_triggers import LabelsSensor

from heritage.settings import settings

_RULES = settings()


@dag(
    schedule=[LABELS_NEEDED],
    catchup=False,
    tags=["heritage", "labelling"],
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    params={
        "model": forms.model("The registered model whose repair needs labels."),
        "window": forms.window("The drifted window; empty: the newest."),
        **forms.search(),
        "dry_run": forms.dry_run("Say which rows would be asked for and stop."),
    },
    doc_md=(
        "Chooses rows of the current window, writes them as `labels/<request>/tasks.jsonl`, waits for answers, and "
        "checks them. When time is over it goes on with what came. Where annotators disagree, a person has to sign "
        "the answers off (settings: `labels.sign_off`); no answer in time means **Reject**. Then it repairs again "
        "with the new labels. What passes the gate becomes `challenger`."
    ),
)
def heritage_label() -> None:
    """Request -> wait -> check answers -> sign off where needed -> repair again. The others get runs of their own."""

    @task
    def request(params: dict[str, Any], triggering_asset_events: Any) -> dict[str, Any]:
        from heritage.flows import hand_off, label
        from heritage.flows.context import Context

        ctx, job = Context.connect(), jobs(LABELS_NEEDED, triggering_asset_events, params)[0]
        asked = label.request(ctx, job["model"], job["window"], dry_run=params["dry_run"])
        if params["dry_run"]:
            raise AirflowSkipException(f"dry run; {asked['tasks']} rows would be asked for")
        hand_off.send(ctx, asked["request"])
        return asked

    @task
    def check(status: dict[str, Any]) -> dict[str, Any]:
        from heritage.flows import label
        from heritage.flows.context import Context

        checked = label.review(Context.connect(), status["request"])
        if not checked["enough"]:
            raise AirflowSkipException(f"too few answers came; {status['request']} stays open")
        return checked

    @task.branch
    def doubts(checked: dict[str, Any]) -> str:
        return "sign_off" if checked["doubts"] else "collect"

    @task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    def collect(checked: dict[str, Any]) -> list[Job]:
        from heritage.flows import label
        from heritage.flows.context import Context

        collected = label.collect(Context.connect(), checked["request"])
        return [{key: collected[key] for key in ("model", "window")}]

    asked = request()
    wait = LabelsSensor(task_id="wait", request=asked["request"], deadline=asked["deadline"])
    checked = check(wait.output)
    sign_off = ApprovalOperator(
        task_id="sign_off",
        subject="{{ ti.xcom_pull(task_ids='check')['subject'] }}",
        body="{{ ti.xcom_pull(task_ids='check')['body'] }}",
        defaults="Reject",
        response_timeout=timedelta(hours=_RULES.labels.timeout_hours),
        assigned_users=[{"id": user, "name": user} for user in _RULES.labels.reviewers] or None,
        notifiers=approval_asked("check"),
    )
    collected = collect(checked)
    doubts(checked) >> [sign_off, collected]
    sign_off >> collected
    repaired(collected)
    start_the_others("heritage_label", LABELS_NEEDED)


heritage_label()
