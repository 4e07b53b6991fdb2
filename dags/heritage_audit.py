"""heritage_audit: does the registry tell the truth about itself, and what became of the fleet?"""

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, dag, task
from airflow.sdk.exceptions import AirflowFailException


@dag(
    schedule=CronTriggerTimetable("0 3 * * 0", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    tags=["heritage", "lineage"],
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    params={
        "weights": Param(False, type="boolean", description="Read and hash every weights file again."),
        "fail_on_error": Param(True, type="boolean", description="Let the run fail where errors were found."),
        "dry_run": Param(False, type="boolean", description="Look, and write nothing."),
    },
    doc_md=(
        "Compares manifests, tags, files, locked copies, signatures and configurations of every version, and stores "
        "what does not fit as `audit/findings.json`. Locks a copy of every sound manifest, computes config drift, "
        "mutations and masks of the fleet, writes the stories on the version pages again, and keeps one HTML report "
        "as a run in MLflow. The run **fails** where findings of severity error were found."
    ),
)
def heritage_audit() -> None:
    """Findings -> stories, masks and report -> judgement."""

    @task
    def find(params: dict[str, Any]) -> dict[str, Any]:
        from heritage.flows import audit
        from heritage.flows.context import Context

        return audit.counted(audit.run(Context.connect(), weights=params["weights"], dry_run=params["dry_run"]))

    @task
    def stories(params: dict[str, Any]) -> int:
        from heritage.flows import audit, story
        from heritage.flows.context import Context

        ctx = Context.connect()
        return 0 if params["dry_run"] else story.refresh(ctx, audit.entries(ctx))

    @task
    def report(params: dict[str, Any], run_id: str) -> str:
        from heritage.flows import audit
        from heritage.flows.context import Context

        return "" if params["dry_run"] else audit.keep_report(Context.connect(), run_id)

    @task
    def judge(found: dict[str, Any], params: dict[str, Any]) -> None:
        if found["counts"]["error"] and params["fail_on_error"]:
            raise AirflowFailException(f"{found['counts']['error']} errors: {'; '.join(found['worst'])}")

    found = find()
    found >> stories() >> report(run_id="{{ run_id }}") >> judge(found)


heritage_audit()
