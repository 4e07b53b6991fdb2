"""heritage_validate: any version against the champion, through the same gate as a repair."""

from datetime import timedelta
from typing import Any

import heritage_forms as forms
from airflow.sdk import dag, task
from heritage_assets import CHALLENGER, skip_unless


@dag(
    schedule=None,
    catchup=False,
    tags=["heritage", "promote"],
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    params={
        "address": forms.address("The version to validate, as name/version."),
        "window": forms.window("Window with labelled rows; empty: the newest."),
        "dry_run": forms.dry_run("Report, and write nothing."),
    },
    doc_md=(
        "Compares a version with the champion on labelled rows of the current window and on the original domain. "
        "Writes the verdict as tags and report. What passes becomes `challenger`, which starts heritage_promote."
    ),
)
def heritage_validate() -> None:
    """Compare -> hand on to approval what passed."""

    @task
    def compare(params: dict[str, Any]) -> dict[str, Any]:
        from heritage.flows import decisions, validate
        from heritage.flows.context import Context

        return decisions.short(
            validate.run(Context.connect(), params["address"], params["window"], dry_run=params["dry_run"])
        )

    @task(outlets=[CHALLENGER])
    def challenge(result: dict[str, Any], *, outlet_events: Any) -> None:
        skip_unless(result, "accept")
        outlet_events[CHALLENGER].extra = {key: result[key] for key in ("address", "plan")}

    challenge(compare())


heritage_validate()
