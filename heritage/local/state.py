"""What runs for a working folder: a small file that another process can read, change under a lock, and trust."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from heritage.errors import BadInput, Conflict
from heritage.local.processes import Process
from heritage.names import printable

STATE_FILE = "services.json"
_FORMAT = 1


@dataclass(frozen=True)
class Service:
    """A started server and the port that it answers on."""

    process: Process
    port: int


@contextmanager
def locked(work_dir: Path) -> Iterator[None]:
    """Nobody else starts or stops servers of `work_dir` meanwhile; `Conflict` where somebody does.

    The lock ends with the process that holds it, however that ends.
    """
    work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (work_dir / "services.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"another command is starting or stopping the servers of {work_dir}; wait until it is done"
            ) from None
        yield


def read(work_dir: Path) -> dict[str, Service]:
    """Service by name, in the order of their start; empty where nothing was started. `BadInput` for a broken file."""
    file = work_dir / STATE_FILE
    if not file.exists():
        return {}
    try:
        state = json.loads(file.read_text())
        if state["format"] != _FORMAT:
            raise ValueError(f"format {state['format']}, not {_FORMAT}")
        return {
            name: Service(Process(**entry["process"]), int(entry["port"])) for name, entry in state["services"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{file} cannot be read ({printable(str(error))}); stop the servers by hand, then remove it"
        ) from error


def write(work_dir: Path, services: Mapping[str, Service]) -> None:
    """Replace the file in one step (mode 0600); remove it where nothing runs."""
    file = work_dir / STATE_FILE
    if not services:
        file.unlink(missing_ok=True)
        return
    text = json.dumps({"format": _FORMAT, "services": {name: asdict(s) for name, s in services.items()}}, indent=2)
    new = file.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    new.replace(file)
