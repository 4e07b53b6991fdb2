"""The assets that connect the DAGs, and what a run was started for. No DAG in this file."""

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowSkipException

REGISTERED = Asset("heritage_registered")  # a version was registered
DRIFTED = Asset("heritage_drifted")  # a deployed version drifted; extra: the verdict in short
CHALLENGER = Asset("heritage_challenger")  # a version passed the gate; extra: its address and plan hash
LABELS_NEEDED = Asset("heritage_labels_needed")  # the lineage could not help; extra: model and window

Job = dict[str, Any]


def jobs(asset: Asset, events: Mapping[Asset, Sequence[Any]], params: Mapping[str, Any]) -> list[Job]:
    """What this run is for: the extras of the asset events that started it, else its parameters.

    Two events for the same job are one.
    """
    wanted = [dict(event.extra) for event in events.get(asset, ())] or [dict(params)]
    unique = {tuple(sorted((k, str(v)) for k, v in job.items())): job for job in wanted}
    return list(unique.values())


def skip_unless(result: Mapping[str, Any], decision: str) -> None:
    """Skip this task, with the gate's reason, unless the gate decided `decision` and the run is no dry run."""
    if result["dry_run"]:
        raise AirflowSkipException(f"dry run; the gate would decide: {result['decision']}")
    if result["decision"] != decision:
        raise AirflowSkipException(f"{result['decision']}: {result['reason']}")
