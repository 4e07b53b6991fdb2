"""The name under which a process of Airflow reports what it ran, where several of them share one machine."""

import os

UNIT = "HERITAGE_UNIT"


def name() -> str:
    """The unit's name, such as 'airflow-worker-2'; Airflow calls this as its `hostname_callable`."""
    return os.environ.get(UNIT, "unknown")
