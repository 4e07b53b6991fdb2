"""Pickled checkpoints (.pt, .pth, .bin, .ckpt) to safetensors, without ever unpickling in this process."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from heritage.errors import BadInput, Conflict, HeritageError, NotFound, UnsafeCheckpoint
from heritage.names import printable
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.limits import Limits
from heritage.weights.shard import open_regular

_WORKER = "heritage.weights.convert_worker"
_OUTPUT = "out.safetensors"
_MOST_REPLY = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Quarantine:
    """What the throw-away process may use.

    `wall_s` on the clock, `memory_bytes` beyond its libraries (None: 2 GiB and three times the file's size),
    `output_bytes` for the result (None: 64 MiB and four times the file's size).
    """

    wall_s: float = 600.0
    memory_bytes: int | None = None
    output_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was made: number of tensors, names left out because they are no tensors, and what kept the process in.

    `isolation` lists 'network', 'resources' and 'files', each where the kernel allowed it.
    """

    tensors: int
    dropped: tuple[str, ...]
    isolation: tuple[str, ...]


def convert(
    source: Path,
    target: Path,
    key: str = "",
    limits: Limits = Limits(),  # noqa: B008 - frozen
    quarantine: Quarantine = Quarantine(),
) -> Conversion:
    """Write the weights of the pickled file `source` to `target`, a new safetensors file; all or nothing.

    A process with limited resources, an empty environment, and no network or files where the kernel allows that,
    opens the file with torch's loader for tensors only. `key` names the entry with the tensors where there are
    several. Names that share one tensor are written each by itself. Raises `UnsafeCheckpoint` for a file that wants
    to run code, is no checkpoint or needs more than `quarantine` allows; `BadInput` for one without a usable set of
    tensors; `Conflict` where `target` exists.
    """
    if os.path.lexists(target):
        raise Conflict(f"{printable(str(target), 300)}: exists already; remove it or give another name")
    if not target.parent.is_dir():
        raise NotFound(f"{printable(str(target), 300)}: its folder does not exist; make it first")
    where = printable(str(source), 300)
    descriptor = open_regular(source)
    try:
        _refuse_other_formats(descriptor, where)
        # in the target's folder, so that the result can be moved to its place in one step
        with TemporaryDirectory(prefix=".heritage-convert-", dir=target.parent) as folder:
            reply = _run(descriptor, Path(folder), key, quarantine, where)
            _check_result(Path(folder) / _OUTPUT, where, limits)
            os.replace(Path(folder) / _OUTPUT, target)
    finally:
        os.close(descriptor)
    return Conversion(int(reply["tensors"]), tuple(reply["dropped"]), tuple(reply["isolation"]))


def _refuse_other_formats(descriptor: int, where: str) -> None:
    start = os.pread(descriptor, 9, 0)
    if not start:
        raise UnsafeCheckpoint(f"{where}: is empty; fetch it again")
    if start[8:] == b"{":
        raise BadInput(f"{where}: is a safetensors file already, whatever its name; use it as it is")


def _run(descriptor: int, folder: Path, key: str, quarantine: Quarantine, where: str) -> dict[str, Any]:
    """The reply of the worker, which ran in `folder`; raises what its failure means."""
    size = os.fstat(descriptor).st_size
    options = {
        "key": key,
        "cpu_s": int(quarantine.wall_s) + 1,
        "memory_bytes": 2 * 2**30 + 3 * size if quarantine.memory_bytes is None else quarantine.memory_bytes,
        "output_bytes": 64 * 2**20 + 4 * size if quarantine.output_bytes is None else quarantine.output_bytes,
    }
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", _WORKER, str(descriptor), json.dumps(options)],
        env={},
        cwd=folder,
        pass_fds=[descriptor],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    raw, late = _output(process, quarantine.wall_s)
    try:
        reply = json.loads(raw.rpartition(b"\n")[2] or raw.strip().rpartition(b"\n")[2])
    except ValueError:
        reply = {"error": "late" if late else "ended", "detail": _ending(process.returncode, raw)}
    if "error" in reply:
        _explain(str(reply["error"]), printable(str(reply["detail"]), 400), where, quarantine)
    return dict(reply)


def _output(process: subprocess.Popen[bytes], wall_s: float) -> tuple[bytes, bool]:
    """What the process printed, after it and all that it started have ended; and whether time ran out."""
    late = threading.Event()

    def end() -> None:
        late.set()
        _kill(process)

    timer = threading.Timer(wall_s, end)
    timer.start()
    try:
        assert process.stdout is not None
        with process.stdout as pipe:
            raw = pipe.read(_MOST_REPLY)
    finally:
        timer.cancel()
        _kill(process)  # it is over by now, or printed more than it should; its number is still its own
        process.wait()
    return raw, late.is_set()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _ending(code: int, raw: bytes) -> str:
    if code < 0:
        return f"was ended by signal {-code} ({signal.Signals(-code).name})"
    return f"ended with code {code}: {raw[-300:].decode('utf-8', 'replace').strip()}"


def _explain(kind: str, detail: str, where: str, quarantine: Quarantine) -> NoReturn:
    """Raise what a failed conversion means."""
    if kind == "unusable":
        raise BadInput(f"{where}: {detail}; give the file that holds the model's weights")
    causes = {
        "global": (f"wants to run '{detail}', which is refused", "have its author publish safetensors"),
        "pickle": (
            f"is no checkpoint that torch can open without running code ({detail})",
            "have its author publish safetensors, or fetch it again",
        ),
        "memory": ("needs more memory than the conversion may use", "raise the limit if you trust the file"),
        "output": ("gives a larger result than the conversion may write", "raise the limit if you trust the file"),
        "late": (f"took more than {quarantine.wall_s:g} s", "raise the limit if you trust the file"),
        "ended": (f"broke the process that opened it, which {detail}", "fetch it again"),
    }
    rule, remedy = causes.get(kind, (f"is no checkpoint that torch can open ({detail})", "fetch it again"))
    raise UnsafeCheckpoint(f"{where}: {rule}; {remedy}")


def _check_result(path: Path, where: str, limits: Limits) -> None:
    """Open what came out of the quarantine as the outside file that it is, and have it on the disk."""
    try:
        Checkpoint.open(path, limits).close()
    except HeritageError as error:
        reason = str(error).replace(f"{printable(str(path), 300)}: ", "")
        raise UnsafeCheckpoint(f"{where}: what it holds is not accepted: {reason}") from error
    result = os.open(path, os.O_RDONLY)
    try:
        os.fsync(result)
    finally:
        os.close(result)
