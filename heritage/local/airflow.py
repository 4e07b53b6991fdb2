"""`airflow standalone` on SQLite with the LocalExecutor: scheduler, DAG processor, triggerer and API in one group."""

import json
import os
import secrets
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import httpx

from heritage.errors import Misconfigured
from heritage.local import processes
from heritage.local.ports import LOOPBACK, check_free, free_ports
from heritage.local.processes import Process

PASSWORDS_FILE = "passwords.json"
READY_LIMIT_S = 180.0
STOP_GRACE_S = 10.0
# user name -> role of Airflow's SimpleAuthManager (for development only: passwords lie in a file)
USERS: Mapping[str, str] = MappingProxyType({"admin": "admin", "approver": "user", "viewer": "viewer"})

_FIXED: Mapping[str, str] = MappingProxyType(
    {
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "5",
        # tasks load torch; more at once than this only makes two cores swap
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__API__HOST": LOOPBACK,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        # a task's end is often noticed only at its next heartbeat; lost ones are borne for 15 s, as by default
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "15",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "SCARF_ANALYTICS": "false",
        "NO_COLOR": "1",
    }
)
_PARTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


@dataclass(frozen=True)
class Airflow:
    """A running Airflow. The passwords of its users are in `PASSWORDS_FILE` of its home, mode 0600."""

    process: Process
    url: str
    port: int
    ready_s: float


def start(
    home: Path, dags: Path, plugins: Path, environment: Mapping[str, str] | None = None, port: int | None = None
) -> Airflow:
    """Start Airflow with its own home and wait until every part of it is healthy.

    `environment` is what DAG processes need to find the registry and the storage.
    """
    check_dags(dags)
    home.mkdir(parents=True, exist_ok=True)
    own_port = check_free(port, "Airflow") if port else free_ports(1)[0]
    variables = {**os.environ, **_environment(home.resolve(), dags.resolve(), plugins.resolve(), own_port)}
    variables |= environment or {}
    command = [sys.executable, "-m", "airflow", "standalone"]
    process = processes.start("airflow", command, home / "airflow.log", variables, cwd=home)
    url = f"http://{LOOPBACK}:{own_port}"
    try:
        ready_s = processes.wait_ready(process, lambda: _answers(process, url, own_port), READY_LIMIT_S)
    except BaseException:
        processes.stop(process, grace_s=1.0)
        raise
    return Airflow(process, url, own_port, ready_s)


def check_dags(folder: Path) -> None:
    """`Misconfigured` where there is no folder of DAG files."""
    if not folder.is_dir():
        raise Misconfigured(f"the DAG folder {folder} does not exist; run from the project folder or name another")


def passwords(file: Path) -> dict[str, str]:
    """Password of each user, from the `PASSWORDS_FILE` of a home."""
    found: dict[str, str] = json.loads(file.read_text())
    return found


def _environment(home: Path, dags: Path, plugins: Path, port: int) -> dict[str, str]:
    url = f"http://{LOOPBACK}:{port}"
    keys = _keys(home / "keys.json")
    return {
        **_FIXED,
        "AIRFLOW_HOME": str(home),
        "PATH": os.pathsep.join([str(_programs(home / "bin")), os.environ.get("PATH", os.defpath)]),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in USERS.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_passwords_file(home / PASSWORDS_FILE)),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": keys["fernet"],
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__SECRET_KEY": keys["api"],
        "AIRFLOW__API_AUTH__JWT_SECRET": keys["jwt"],
    }


def _programs(folder: Path) -> Path:
    """A folder with the program `airflow`, by which standalone starts its parts.

    Scheduler and triggerer would each serve their logs on every network interface (3.3.2, `host=""`), and no setting
    changes that; the option does. All parts share this machine's files, so nobody misses those servers.
    """
    folder.mkdir(exist_ok=True)
    own = f"exec {shlex.quote(sys.executable)} -m airflow"
    script = f'#!/bin/sh\ncase "$1" in\nscheduler|triggerer) {own} "$@" --skip-serve-logs ;;\n*) {own} "$@" ;;\nesac\n'
    (folder / "airflow").write_text(script)
    (folder / "airflow").chmod(0o700)
    return folder


def _keys(file: Path) -> dict[str, str]:
    """Secrets that the parts share; kept, so that sessions and connections outlive a restart."""
    from cryptography.fernet import Fernet

    if not file.exists():
        fernet = Fernet.generate_key().decode()
        _write_private(file, {"fernet": fernet, "api": secrets.token_hex(32), "jwt": secrets.token_hex(32)})
    found: dict[str, str] = json.loads(file.read_text())
    return found


def _passwords_file(file: Path) -> Path:
    if not file.exists():
        _write_private(file, {user: secrets.token_urlsafe(12) for user in USERS})
    return file


def _write_private(file: Path, content: Mapping[str, str]) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        json.dump(dict(content), out)


def _answers(process: Process, url: str, port: int) -> bool:
    try:
        answer = httpx.get(f"{url}/api/v2/monitor/health", timeout=5, trust_env=False)
        parts = answer.json() if answer.status_code == httpx.codes.OK else {}
    except (httpx.HTTPError, ValueError):
        return False
    healthy = all(parts.get(part, {}).get("status") == "healthy" for part in _PARTS)
    # standalone goes on without its API when the port is taken, and another Airflow would answer
    return healthy and processes.listens(process, port)
