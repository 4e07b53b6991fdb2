"""heritage_promote: a challenger becomes champion once a person has approved it."""

from datetime import timedelta
from typing import Any

import heritage_forms as forms
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import TriggerRule, dag, task
from airflow.sdk.exceptions import AirflowFailException
from heritage_assets import CHALLENGER, jobs
from heritage_notify import approval_asked, failed
from heritage_steps import start_the_others

from heritage.settings import settings

_RULES = settings().promote


@dag(
    schedule=[CHALLENGER],
    catchup=False,
    on_failure_callback=failed(),
    tags=["heritage", "promote"],
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    params={
        "address": forms.address("The challenger, as name/version.", required=False),
        "plan": forms.plan("Hash of the plan whose gate it passed."),
    },
    doc_md=(
        "Shows what the gate found and waits for a person; no answer in time means **Reject**. The approval is bound "
        "to the plan's hash: if the challenger's plan changed meanwhile, nothing is promoted. After the aliases have "
        "moved, the champion is loaded as a server would load it; if that fails the move is taken back."
    ),
)
def heritage_promote() -> None:
    """Brief -> approval -> move aliases -> smoke test, or back. An approval each: the others get runs of their own."""

    @task
    def brief(params: dict[str, Any], triggering_asset_events: Any) -> dict[str, str]:
        from heritage.flows import promote
        from heritage.flows.context import Context

        job = jobs(CHALLENGER, triggering_asset_events, params)[0]
        return promote.brief(Context.connect(), job["address"], job["plan"])

    @task
    def move_aliases(challenger: dict[str, str]) -> dict[str, Any]:
        from heritage.flows import promote
        from heritage.flows.context import Context

        return promote.promote(Context.connect(), challenger["address"], challenger["plan"])

    @task(retries=0)
    def smoke_test(moved: dict[str, Any]) -> dict[str, Any]:
        from heritage.flows import promote
        from heritage.flows.context import Context

        return promote.smoke_test(Context.connect(), moved["model"])

    @task(trigger_rule=TriggerRule.ONE_FAILED)
    def roll_back(moved: dict[str, Any] | None) -> None:
        from heritage.flows import promote
        from heritage.flows.context import Context

        if not moved:
            raise AirflowFailException("nothing was moved, so nothing is taken back; see what failed before")
        promote.roll_back(Context.connect(), moved["model"], "the smoke test failed", moved["version"])

    challenger = brief()
    approval = ApprovalOperator(
        task_id="approve",
        subject="{{ ti.xcom_pull(task_ids='brief')['subject'] }}",
        body="{{ ti.xcom_pull(task_ids='brief')['body'] }}",
        defaults="Reject",
        response_timeout=timedelta(hours=_RULES.timeout_hours),
        assigned_users=[{"id": user, "name": user} for user in _RULES.approvers] or None,
        notifiers=approval_asked("brief"),
    )
    moved = move_aliases(challenger)
    challenger >> approval >> moved
    smoke_test(moved) >> roll_back(moved)
    start_the_others("heritage_promote", CHALLENGER)


heritage_promote()
