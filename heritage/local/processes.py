"""Servers as child processes: started in a session of their own, found again by another process, stopped as a group.

A process is known by its id and its start time, so a recycled id is never signalled. Servers that fork (MLflow,
Airflow) leave children behind when only the parent is stopped; here the whole session ends.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from heritage.errors import Misconfigured, Unavailable
from heritage.names import printable

# marks every descendant, also one that makes itself a new session
MARK = "HERITAGE_LOCAL_PROCESS"
_TAIL_BYTES = 2000
# start times are in clock ticks of 10 ms, and are reckoned from the boot time, which may be corrected
_SAME_START_S = 2.0

# children of this interpreter, so that they are reaped and never become zombies
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Process:
    """A started server. `pid` is also its session and process group; `started` is in seconds of the epoch.

    `mark` stands in the environment of all its descendants. It is made of name and log, so one log has one server.
    """

    name: str
    pid: int
    started: float
    log: str
    mark: str


def start(name: str, command: Sequence[str], log: Path, env: Mapping[str, str], cwd: Path | None = None) -> Process:
    """Run `command` in a session of its own, output appended to `log`; returns before it is ready.

    A server that an interrupted start left behind with the same log is stopped first.
    """
    if (stray := find(name, log)) is not None:
        stop(stray)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        try:
            child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**env, MARK: _mark(name, log)},
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise Misconfigured(f"cannot start {name} ({printable(command[0])}): {error}") from error
    _children[child.pid] = child
    process = Process(name, child.pid, psutil.Process(child.pid).create_time(), str(log), _mark(name, log))
    _wait_marked(process)
    return process


def find(name: str, log: Path) -> Process | None:
    """The running server that was started under this name with this log, by whomever."""
    mark = _mark(name, log)
    for found in psutil.process_iter():
        if _is_marked(found, mark) and os.getsid(found.pid) == found.pid:
            return Process(name, found.pid, found.create_time(), str(log), mark)
    return None


def is_alive(process: Process) -> bool:
    """Whether the very process that was started still runs."""
    child = _children.get(process.pid)
    if child is not None and child.poll() is not None:
        return False
    return _leader(process) is not None


def members(process: Process) -> list[psutil.Process]:
    """Everything that still runs of `process`: its session, its group, its descendants and what carries its mark."""
    leader = _leader(process)
    recycled = leader is None and psutil.pid_exists(process.pid) and not _is_zombie(process.pid)
    family = {child.pid for child in leader.children(recursive=True)} if leader else set()
    return [
        found
        for found in psutil.process_iter()
        if found.pid in family or (not recycled and _in_session(found, process)) or _is_marked(found, process.mark)
    ]


def listens(process: Process, port: int) -> bool:
    """Whether `process` or a child of it is the one that listens on `port`, and not some other server."""
    for member in members(process):
        try:
            sockets = member.net_connections(kind="tcp")
        except psutil.Error:
            continue
        if any(s.status == psutil.CONN_LISTEN and s.laddr.port == port for s in sockets):
            return True
    return False


def wait_ready(process: Process, ready: Callable[[], bool], limit_s: float) -> float:
    """Seconds until `ready` said yes.

    Raises `Misconfigured` with the end of the log when the process ended, `Unavailable` when `limit_s` passed.
    """
    started = time.monotonic()
    while is_alive(process):
        if ready():
            return time.monotonic() - started
        if time.monotonic() - started > limit_s:
            raise Unavailable(f"{process.name} was not ready after {limit_s:g} s; {log_tail(process)}")
        time.sleep(0.05)
    raise Misconfigured(f"{process.name} ended while it started; {log_tail(process)}")


def stop(process: Process, grace_s: float = 10.0) -> None:
    """End all of `process`: SIGTERM, up to `grace_s` seconds to leave, SIGKILL for what stayed. Safe to call twice.

    SIGTERM goes to the first process and its children. Their children are left to them: Airflow's scheduler waits for
    ever for a worker that was ended behind its back.
    """
    _signal(_heads(members(process), process.pid), signal.SIGTERM)
    _wait_gone(process, grace_s)
    while left := members(process):
        _signal(left, signal.SIGKILL)
        _wait_gone(process, 1.0)
    child = _children.pop(process.pid, None)
    if child is not None:
        child.wait()


def log_tail(process: Process) -> str:
    """Where the log is, and its last lines made safe to print."""
    try:
        with Path(process.log).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = log.read().decode(errors="replace")
    except OSError as error:
        return f"its log {process.log} cannot be read: {error}"
    lines = [printable(line, 200) for line in text.splitlines() if line.strip()]
    return "\n  ".join([f"the end of {process.log}:", *lines[-8:]])


def _mark(name: str, log: Path) -> str:
    return f"{name}:{log.resolve()}"


def _leader(process: Process) -> psutil.Process | None:
    try:
        found = psutil.Process(process.pid)
        same = abs(found.create_time() - process.started) < _SAME_START_S
        return found if same and found.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def _is_zombie(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _in_session(found: psutil.Process, process: Process) -> bool:
    try:
        if process.pid not in (os.getsid(found.pid), os.getpgid(found.pid)):
            return False
        young_enough = found.create_time() > process.started - _SAME_START_S
        return bool(young_enough and found.status() != psutil.STATUS_ZOMBIE)
    except (OSError, psutil.Error):
        return False


def _is_marked(found: psutil.Process, mark: str) -> bool:
    try:
        return bool(found.environ().get(MARK) == mark)
    except (OSError, psutil.Error):
        return False


def _heads(found: Sequence[psutil.Process], leader: int) -> list[psutil.Process]:
    """Those whose parent is the leader, or is none of `found`."""
    pids = {member.pid for member in found} - {leader}
    return [member for member in found if _parent(member) not in pids]


def _parent(member: psutil.Process) -> int:
    try:
        return int(member.ppid())
    except psutil.Error:
        return 0


def _wait_marked(process: Process) -> None:
    """Wait the moment in which a program that has just replaced its starter shows no environment yet."""
    deadline = time.monotonic() + 1.0
    while is_alive(process) and time.monotonic() < deadline:
        if _is_marked(psutil.Process(process.pid), process.mark):
            return
        time.sleep(0.005)


def _signal(targets: Sequence[psutil.Process], number: signal.Signals) -> None:
    for target in targets:
        try:
            target.send_signal(number)  # psutil compares the start time again before it signals
        except psutil.Error:
            continue


def _wait_gone(process: Process, limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while members(process) and time.monotonic() < deadline:
        child = _children.get(process.pid)
        if child is not None:
            child.poll()
        time.sleep(0.1)
