"""What a DAG run left behind."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def outcome(run) -> dict[str, str]:
    """State of each task, mapped ones with their index."""
    return {
        ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]": str(ti.state)
        for ti in run.get_task_instances()
    }
