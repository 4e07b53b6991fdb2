"""Where the processes of the native production stack listen and keep their data: the values of the env files."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from heritage.local import production_worker
from heritage.local.ports import LOOPBACK, SHADOW, free_ports, is_free

_PORTS = (
    "POSTGRES_PORT",
    "REDIS_PORT",
    "S3_PORT",
    "WEED_VOLUME_PORT",
    "WEED_MASTER_PORT",
    "WEED_FILER_PORT",
    "WEED_METRICS_PORT",
    "MLFLOW_PORT",
    "AIRFLOW_PORT",
    "SCHEDULER_HEALTH_PORT",
)
_HOSTS = ("POSTGRES_HOST", "REDIS_HOST", "S3_HOST", "MLFLOW_HOST", "AIRFLOW_HOST", "BIND")


def make_values(work_dir: Path, project: Path) -> dict[str, str]:
    """Values for every variable of the env files; ports are those of last time where they are free."""
    ports = _ports(work_dir / "ports.json")
    mlflow = ",".join(f"{host}:{ports['MLFLOW_PORT']}" for host in (LOOPBACK, "localhost"))
    return {
        **dict.fromkeys(_HOSTS, LOOPBACK),
        **{name: str(port) for name, port in ports.items()},
        "PROJECT": str(project),
        "SECRETS": str(work_dir / "secrets"),
        "WORK_DIR": str(work_dir / "work"),
        "MLFLOW_ALLOWED_HOSTS": mlflow,
        "MLFLOW_ALLOWED_ORIGINS": f"http://{LOOPBACK}:{ports['MLFLOW_PORT']}",
        "AIRFLOW_URL": f"http://{LOOPBACK}:{ports['AIRFLOW_PORT']}",
        "TASK_HEARTBEAT_TIMEOUT": "60",  # people wait here
        "AIRFLOW_API_WORKERS": "1",
        "MLFLOW_WORKERS": "1",
        "HOSTNAME_CALLABLE": f"{production_worker.__name__}.name",
    }


def unit_values(values: Mapping[str, str], work_dir: Path, name: str) -> dict[str, str]:
    """`values` with what differs from unit to unit: folders of its own and its name."""
    home = work_dir / name
    return {**values, "DATA": str(home), "AIRFLOW_HOME_DIR": str(home), "WORKER_NAME": f"{name}@%h"}


def base_environment(programs: Path, name: str) -> dict[str, str]:
    """What a container would have beside its env files: a path to its programs, a home, and a name."""
    path = os.pathsep.join([str(programs), os.environ.get("PATH", os.defpath)])
    kept = {key: os.environ[key] for key in ("HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH") if key in os.environ}
    return {**kept, "PATH": path, production_worker.UNIT: name}


def _ports(file: Path) -> dict[str, int]:
    known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    kept = {name: port for name, port in known.items() if name in _PORTS and is_free(port) and is_free(port + SHADOW)}
    missing = [name for name in _PORTS if name not in kept]
    found = kept | dict(zip(missing, free_ports(len(missing)), strict=True))
    file.write_text(json.dumps(found, indent=2))
    return found
