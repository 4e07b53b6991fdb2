"""heritage_repair: a drifted version is repaired from the weights of its relatives."""

from datetime import timedelta
from typing import Any

import heritage_forms as forms
from airflow.sdk import dag, task
from heritage_assets import DRIFTED, LABELS_NEEDED, Job, jobs, skip_unless
from heritage_steps import repaired


@dag(
    schedule=[DRIFTED],
    catchup=False,
    tags=["heritage", "repair"],
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10)},
    params={
        "model": forms.model("The registered model whose champion drifted."),
        "window": forms.window("The drifted window; empty: the newest with rows."),
        **forms.search(),
        "dry_run": forms.dry_run("Search and report, register nothing."),
    },
    doc_md=(
        "Looks for the relative, and the factor, whose weights make the drifted version better on the rows it sees "
        "now; a gate compares the result on rows that were not used for the search. **Accepted**: registered as "
        "`challenger`, which starts heritage_promote. **Not enough**: heritage_label asks people. **Refused**: the "
        "reason stands in the report, and nothing changes. Every decision leaves a run in MLflow with plan and report."
    ),
)
def heritage_repair() -> None:
    """Look at donors -> search and gate -> register, or ask for labels, or neither."""

    @task
    def pick(params: dict[str, Any], triggering_asset_events: Any) -> list[Job]:
        return jobs(DRIFTED, triggering_asset_events, params)

    @task(outlets=[LABELS_NEEDED])
    def ask_for_labels(result: dict[str, Any], *, outlet_events: Any) -> None:
        skip_unless(result, "ask_labels")
        outlet_events[LABELS_NEEDED].extra = {key: result[key] for key in ("model", "window")}

    ask_for_labels.expand(result=repaired(pick()))


heritage_repair()
