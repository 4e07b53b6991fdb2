"""Forks one child for each task of a line of JSON on standard input, and answers with a line of their outcomes.

The tasks of a line share one connection. A task names a method of the registry and its arguments; `kill_at` names the
step after which the child kills itself.
An outcome is {"signal": 9}, {"value": ...} or {"error": class name, "message": ...}.
"""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heritage.registry import Registry


def main() -> None:
    import boto3  # noqa: F401 loaded once, before the forks
    import mlflow.entities
    import mlflow.store.artifact.artifact_repository_registry
    import mlflow.tracking  # noqa: F401

    import heritage.registry  # noqa: F401

    for line in sys.stdin:
        print(json.dumps(_run(json.loads(line))), flush=True)


def _run(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # opened here, so that 16 children need not; nothing has been sent yet, so there is no connection to share
    registries = [_registry(task) for task in tasks[:1]] * len(tasks)
    gate, hold = os.pipe()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = [Path(folder) / str(i) for i in range(len(tasks))]
        given = zip(tasks, registries, outcomes, strict=True)
        pids = [_fork(task, registry, outcome, gate, hold) for task, registry, outcome in given]
        os.close(hold)  # all children begin now
        os.close(gate)
        statuses = [os.waitpid(pid, 0)[1] for pid in pids]
        return [
            {"signal": os.WTERMSIG(status)} if os.WIFSIGNALED(status) else json.loads(outcome.read_text())
            for status, outcome in zip(statuses, outcomes, strict=True)
        ]


def _registry(task: dict[str, Any]) -> "Registry":
    from heritage.registry import Registry, Timing
    from heritage.settings import S3Settings
    from heritage.storage import ObjectStore

    store = ObjectStore.connect(S3Settings(**task["s3"]))
    return Registry(task["tracking_uri"], store, timing=Timing(task["lease_s"], task["wait_s"]))


def _fork(task: dict[str, Any], registry: "Registry", outcome: Path, gate: int, hold: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.close(hold)
    code = 1
    try:
        os.read(gate, 1)
        outcome.write_text(json.dumps(_outcome(task, registry)))
        code = 0
    finally:
        os._exit(code)


def _outcome(task: dict[str, Any], registry: "Registry") -> dict[str, Any]:
    from heritage.errors import HeritageError

    try:
        return {"value": _carry_out(task, registry)}
    except HeritageError as error:
        return {"error": type(error).__name__, "message": str(error)}


def _carry_out(task: dict[str, Any], registry: "Registry") -> Any:
    from heritage.registry.promote import Promoter, Request

    on_step = _killer(task.get("kill_at", ""))
    if task["do"] == "register":
        done = registry.register(task["name"], Path(task["weights"]), on_step=on_step)
        return {"version": done.version.version, "created": done.created}
    promoter = Promoter(registry._connection, registry._reader, on_step)
    if task["do"] == "promote":
        return promoter.promote(Request(**task["request"])).version
    return promoter.rollback(**task["request"]).version


def _killer(step: str) -> Callable[[str], None]:
    def on_step(done: str) -> None:
        if done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return on_step


if __name__ == "__main__":
    main()
