"""The production stack without containers: the commands and env files of docker/, as processes of this machine.

    python -m heritage.local.production up|down [FOLDER]

PostgreSQL, Redis, SeaweedFS, MLflow with accounts, Airflow's API server, scheduler, DAG processor and triggerer, and
Celery workers, all on loopback and on free ports.
"""

import json
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from heritage.errors import Misconfigured, NotFound
from heritage.local import processes, production_postgres, state
from heritage.local.ports import LOOPBACK
from heritage.local.processes import Process
from heritage.local.production_files import Unit, read_env, read_units
from heritage.local.production_plan import base_environment, make_values, unit_values
from heritage.local.state import Service
from heritage.names import printable

READY_LIMIT_S = 180.0
JOB_LIMIT_S = 180.0
WORKER = "airflow-worker"
# what stop_grace_period says in compose.yaml, but for tests there is less
GRACE_S: Mapping[str, float] = {"seaweedfs": 60.0, WORKER: 60.0}
_PORT_OF = {
    "redis": "REDIS_PORT",
    "seaweedfs": "S3_PORT",
    "mlflow": "MLFLOW_PORT",
    "airflow-api-server": "AIRFLOW_PORT",
    "airflow-scheduler": "SCHEDULER_HEALTH_PORT",
}
_HEALTH = {
    "seaweedfs": "/healthz",
    "mlflow": "/health",
    "airflow-api-server": "/api/v2/monitor/health",
    "airflow-scheduler": "/health",
}
# heartbeats that the API server tells of, by the unit that sends them
_HEARTBEAT = {"airflow-dag-processor": "dag_processor", "airflow-triggerer": "triggerer"}
_AIRFLOW = ("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer")


@dataclass
class Production:
    """The stack of one working folder; `running` holds its processes in the order of their start."""

    work_dir: Path
    project: Path
    values: dict[str, str]
    running: dict[str, Process] = field(default_factory=dict)
    ready_s: dict[str, float] = field(default_factory=dict)

    @classmethod
    def up(cls, work_dir: Path, project: Path = Path(), workers: int = 2) -> "Production":
        """Start everything and wait until it is healthy; when one part fails, what was started is stopped again."""
        stack = cls.prepared(work_dir, project)
        try:
            stack.start_stores()
            stack.start_services(workers)
        except BaseException:
            stack.down(hurry=True)
            raise
        return stack

    @classmethod
    def prepared(cls, work_dir: Path, project: Path = Path()) -> "Production":
        """The stack with its folder, secrets and ports, and nothing running."""
        work_dir, project = work_dir.resolve(), project.resolve()
        work_dir.mkdir(parents=True, exist_ok=True)
        work_dir.chmod(0o711)  # PostgreSQL's own user passes through; the secrets' folder is closed to it
        down(work_dir)
        secrets = ["/bin/sh", str(project / "docker/secrets.sh"), str(work_dir / "secrets")]
        subprocess.run(secrets, check=True, capture_output=True)
        return cls(work_dir, project, make_values(work_dir, project))

    def down(self, hurry: bool = False) -> None:
        """Stop everything, the last started first."""
        down(self.work_dir, hurry)
        self.running.clear()

    def start(self, name: str) -> None:
        """Start one unit, such as 'mlflow' or 'airflow-worker-1', without waiting for it."""
        if name == "postgres":
            script = self.project / "docker/postgres/databases.sh"
            self._keep(name, production_postgres.start(self.work_dir / name, self.environment(name), script))
            return
        unit = self._unit(name)
        home = self.work_dir / name
        home.mkdir(exist_ok=True)
        self._keep(name, processes.start(name, unit.command, home / "log", self.environment(name), cwd=home))

    def stop(self, name: str, grace_s: float = 10.0) -> None:
        """Stop one unit: SIGTERM, and SIGKILL for what is left after `grace_s`."""
        processes.stop(self.running.pop(name), grace_s)
        self._save()

    def revive(self) -> list[str]:
        """Start again what has ended by itself, as `restart: unless-stopped` does; gives its names."""
        ended = [name for name, process in self.running.items() if not processes.is_alive(process)]
        for name in ended:
            self.start(name)
        return ended

    def wait(self, name: str) -> None:
        """Wait until a started unit is healthy."""
        process = self.running[name]
        self.ready_s[name] = processes.wait_ready(process, lambda: self._is_ready(name, process), READY_LIMIT_S)

    def environment(self, name: str) -> dict[str, str]:
        """What the unit `name` has in its environment, secrets still as names of files."""
        values = unit_values(self.values, self.work_dir, name)
        found = base_environment(Path(sysconfig.get_path("scripts")), name)
        for file in self._unit(name).env_files:
            found |= read_env(file, values)
        return found

    def secret(self, name: str) -> str:
        """One of the secrets, such as 'mlflow_admin_password'."""
        return (self.work_dir / "secrets" / name).read_text().strip()

    def url(self, name: str) -> str:
        """Address of a unit that answers HTTP."""
        return f"http://{LOOPBACK}:{self.values[_PORT_OF[name]]}"

    def passwords(self) -> dict[str, str]:
        """Password of each user of Airflow."""
        found: dict[str, str] = json.loads(self.secret("airflow_passwords"))
        return found

    def run_job(self, name: str, *words: str) -> None:
        """Run a one-shot service such as 'airflow-init' to its end; `Misconfigured` with its last words if it fails.

        `words` take the place of its command, as with `docker compose run`.
        """
        unit, log = self._unit(name), self.work_dir / f"{name}.log"
        entrypoint = ["sh", str(self.project / "docker/entrypoint.sh")]
        with log.open("wb") as out:
            done = subprocess.run(
                [*entrypoint, *words] if words else unit.command,
                env=self.environment(name),
                cwd=self.work_dir,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=JOB_LIMIT_S,
                check=False,
            )
        if done.returncode:
            last = [printable(line, 200) for line in log.read_text(errors="replace").splitlines()[-8:]]
            raise Misconfigured("\n  ".join([f"{name} failed with {done.returncode}; the end of {log}:", *last]))

    def start_stores(self) -> None:
        """PostgreSQL, Redis and storage, with their databases and buckets."""
        for name in ("postgres", "redis", "seaweedfs"):
            self.start(name)
        for name in ("redis", "seaweedfs"):
            self.wait(name)
        self.run_job("storage-init")

    def start_services(self, workers: int = 2) -> None:
        """MLflow and Airflow, over the stores."""
        self.start("mlflow")
        self.run_job("airflow-init")
        self.wait("mlflow")
        self.run_job("mlflow-users")
        units = [*_AIRFLOW, *(f"{WORKER}-{i}" for i in range(1, workers + 1))]
        for name in units:
            self.start(name)
        for name in units:
            self.wait(name)

    def _unit(self, name: str) -> Unit:
        units = read_units(self.project, unit_values(self.values, self.work_dir, name))
        service = WORKER if name.startswith(WORKER) else name
        if service not in units:
            raise NotFound(f"there is no service '{name}' in docker/compose.yaml; it has: {', '.join(units)}")
        return units[service]

    def _is_ready(self, name: str, process: Process) -> bool:
        if name.startswith(WORKER):
            return " ready." in Path(process.log).read_text(errors="replace")
        if heartbeat := _HEARTBEAT.get(name):
            answer = _ask(self.url("airflow-api-server") + _HEALTH["airflow-api-server"])
            return answer is not None and answer.json().get(heartbeat, {}).get("status") == "healthy"
        port = int(self.values[_PORT_OF[name]])
        healthy = name not in _HEALTH or _ask(self.url(name) + _HEALTH[name]) is not None
        return healthy and processes.listens(process, port)

    def _keep(self, name: str, process: Process) -> None:
        self.running[name] = process
        self._save()

    def _save(self) -> None:
        state.write(self.work_dir, {name: Service(process, 0) for name, process in self.running.items()})


def down(work_dir: Path, hurry: bool = False) -> list[str]:
    """Stop what runs for `work_dir`, whoever started it; gives the names. In a hurry, data in flight may be lost."""
    known = state.read(work_dir)
    # the parts of Airflow do not need one another to end, so they are asked at once
    for name in reversed(list(known)):
        grace_s = 3.0 if hurry else next((s for unit, s in GRACE_S.items() if name.startswith(unit)), 15.0)
        processes.stop(known[name].process, grace_s)
    state.write(work_dir, {})
    return list(known)


def _ask(address: str) -> httpx.Response | None:
    try:
        answer = httpx.get(address, timeout=5, trust_env=False)
    except httpx.HTTPError:
        return None
    return answer if answer.is_success else None


def _up(work_dir: Path) -> None:
    began = time.monotonic()
    stack = Production.up(work_dir)
    print(f"ready after {time.monotonic() - began:.0f} s; data, logs and secrets are in {stack.work_dir}")
    for name in ("airflow-api-server", "mlflow", "seaweedfs"):
        print(f"  {name:20s} {stack.url(name)}")
    print(f"  users of Airflow     {stack.work_dir}/secrets/airflow_passwords")
    print(f"  admin of MLflow      {stack.work_dir}/secrets/mlflow_admin_password")


def main(arguments: list[str]) -> int:
    """`up` or `down`, with the working folder."""
    jobs: dict[str, Callable[[Path], object]] = {"up": _up, "down": down}
    if not arguments or arguments[0] not in jobs:
        print("usage: python -m heritage.local.production up|down [FOLDER]", file=sys.stderr)
        return 2
    jobs[arguments[0]](Path(arguments[1] if len(arguments) > 1 else ".heritage/production"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
