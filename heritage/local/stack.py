"""The servers that heritage needs, as one thing: S3, MLflow and, where asked for, Airflow, of one working folder."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from heritage.errors import NotFound
from heritage.local import airflow, processes, seaweed, state, tracking
from heritage.local.airflow import check_dags
from heritage.local.environment import client_environment
from heritage.local.ports import LOOPBACK, is_free
from heritage.local.state import Service
from heritage.settings import S3Settings

# in the order of their start: each needs the ones before it
S3, MLFLOW, AIRFLOW = "s3", "mlflow", "airflow"
_LOGS = {S3: "s3/weed.log", MLFLOW: "mlflow/mlflow.log", AIRFLOW: "airflow/airflow.log"}


@dataclass(frozen=True)
class Plan:
    """What should run. Ports left open are the ones of last time where they are free, else any free ones."""

    airflow: bool = False
    dags: Path = Path("dags")
    plugins: Path = Path("plugins")
    s3_port: int | None = None
    mlflow_port: int | None = None
    airflow_port: int | None = None
    database: str | None = None


@dataclass(frozen=True)
class Stack:
    """The running servers of `work_dir`; `started` names those that this call of `up` started itself."""

    work_dir: Path
    services: dict[str, Service]
    started: tuple[str, ...] = ()

    @classmethod
    def up(cls, work_dir: Path, airflow: bool = False, plan: Plan | None = None) -> "Stack":
        """Start what does not run yet, and wait until it answers; what runs already is kept.

        When one server fails to start, or the call is interrupted, those that it started are stopped again.
        Raises `Misconfigured` for a taken port or a missing program, `Conflict` while another command starts or stops.
        """
        wanted = plan or Plan(airflow=airflow)
        if wanted.airflow:
            check_dags(wanted.dags)
        with state.locked(work_dir):
            return _Start(work_dir.resolve(), wanted, state.read(work_dir)).run()

    @classmethod
    def load(cls, work_dir: Path) -> "Stack":
        """The servers that run now; `NotFound` where S3 or MLflow does not."""
        running = _running(state.read(work_dir))
        missing = [name for name in (S3, MLFLOW) if name not in running]
        if missing:
            raise NotFound(f"{' and '.join(missing)} of {work_dir} do not run; start them with: heritage up")
        return cls(work_dir.resolve(), running)

    @classmethod
    @contextmanager
    def running(cls, work_dir: Path, airflow: bool = False, plan: Plan | None = None) -> Iterator["Stack"]:
        """The servers for the length of a block; those that were started for it end with it.

        Also on Ctrl-C and SIGTERM. Only the main thread may use it, as only that may handle signals.
        """
        with _interrupts() as raise_missed:
            stack = cls.up(work_dir, airflow, plan)
            try:
                raise_missed()
                yield stack
            finally:
                stack.down(stack.started)

    def down(self, names: tuple[str, ...] = (AIRFLOW, MLFLOW, S3)) -> None:
        """Stop these servers, the last started first; also what an interrupted start left behind."""
        down(self.work_dir, names)

    @property
    def s3(self) -> S3Settings:
        """Settings that reach the storage."""
        return seaweed.settings_for(self.work_dir / S3, self.services[S3].port)

    @property
    def tracking_uri(self) -> str:
        """Address of MLflow, which is also its web page."""
        return f"http://{LOOPBACK}:{self.services[MLFLOW].port}"

    @property
    def airflow_url(self) -> str | None:
        """Address of Airflow's web page and API; None where it does not run."""
        service = self.services.get(AIRFLOW)
        return f"http://{LOOPBACK}:{service.port}" if service else None

    def passwords(self) -> dict[str, str]:
        """Password of each user of Airflow; empty where it does not run."""
        file = self.work_dir / AIRFLOW / airflow.PASSWORDS_FILE
        return airflow.passwords(file) if AIRFLOW in self.services else {}

    def environment(self) -> dict[str, str]:
        """The variables that clients and DAG processes need."""
        return {**client_environment(self.s3, self.tracking_uri), "HERITAGE_WORK_DIR": str(self.work_dir)}


def down(work_dir: Path, names: tuple[str, ...] = (AIRFLOW, MLFLOW, S3)) -> list[str]:
    """Stop the servers of `work_dir`, whoever started them; gives the names of those that ran."""
    if not work_dir.exists():
        return []
    stopped = []
    with state.locked(work_dir):
        known = state.read(work_dir)
        for name in names:
            found = known[name].process if name in known else processes.find(name, work_dir / _LOGS[name])
            if found is not None:
                _stop(work_dir, name, found)
                stopped.append(name)
            known.pop(name, None)
            state.write(work_dir, known)
    return stopped


@dataclass
class _Start:
    """One run of `up`: goes through the servers in order and remembers which it started."""

    work_dir: Path
    plan: Plan
    known: dict[str, Service]
    started: list[str] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)

    def run(self) -> Stack:
        running = _running(self.known)
        try:
            self._ensure(S3, running, self.plan.s3_port, self._start_s3)
            self._ensure(MLFLOW, running, self.plan.mlflow_port, self._start_mlflow)
            if self.plan.airflow or AIRFLOW in running:
                self._ensure(AIRFLOW, running, self.plan.airflow_port, self._start_airflow)
        except BaseException:
            for name in reversed(self.begun):
                # one that was interrupted half-way through its start is known by its mark only
                service = self.known.pop(name, None)
                found = service.process if service else processes.find(name, self.work_dir / _LOGS[name])
                if found is not None:
                    _stop(self.work_dir, name, found)
            state.write(self.work_dir, self.known)
            raise
        return Stack(self.work_dir, dict(self.known), tuple(reversed(self.started)))

    def _ensure(
        self, name: str, running: dict[str, Service], port: int | None, start: Callable[[int | None], Service]
    ) -> None:
        """Keep the server that runs, unless one that it depends on was started anew."""
        if name in running and not self.started:
            return
        if (last := self.known.pop(name, None)) is not None:
            _stop(self.work_dir, name, last.process)
            port = port or (last.port if is_free(last.port) else None)
        self.begun.append(name)
        self.known[name] = start(port)
        self.started.append(name)
        state.write(self.work_dir, self.known)

    def _start_s3(self, port: int | None) -> Service:
        server = seaweed.start(self.work_dir / S3, port)
        return Service(server.process, server.port)

    def _start_mlflow(self, port: int | None) -> Service:
        server = tracking.start(self.work_dir / MLFLOW, self._so_far().s3, port, self.plan.database)
        return Service(server.process, server.port)

    def _start_airflow(self, port: int | None) -> Service:
        environment = self._so_far().environment()
        home = self.work_dir / AIRFLOW
        server = airflow.start(home, self.plan.dags, self.plan.plugins, environment, port)
        return Service(server.process, server.port)

    def _so_far(self) -> Stack:
        return Stack(self.work_dir, self.known)


def _running(services: dict[str, Service]) -> dict[str, Service]:
    """Those that live and listen on their port."""
    return {name: s for name, s in services.items() if processes.listens(s.process, s.port)}


def _stop(work_dir: Path, name: str, process: processes.Process) -> None:
    if name == S3:
        seaweed.stop(process, work_dir / S3)
    else:
        processes.stop(process, airflow.STOP_GRACE_S if name == AIRFLOW else tracking.STOP_GRACE_S)


@contextmanager
def _interrupts() -> Iterator[Callable[[], None]]:
    """SIGINT and SIGTERM end the block as exceptions; gives a function that raises one that got lost.

    Python drops an exception that a signal raises inside a callback of the interpreter, such as the one that runs
    after every import.
    """
    seen: list[int] = []

    def leave(number: int, _frame: FrameType | None) -> None:
        seen.append(number)
        raise_missed()

    def raise_missed() -> None:
        if signal.SIGINT in seen:
            raise KeyboardInterrupt
        if seen:
            raise SystemExit(128 + seen[0])

    before = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield raise_missed
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
