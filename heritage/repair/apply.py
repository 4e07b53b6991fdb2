"""Carrying out a repair plan on files: tensor by tensor, from safetensors to safetensors, whole or not at all.

The drifted model's header is kept byte for byte, so names, order, types and metadata stay. A run that was killed at
any point is run again and gives the same bytes; of a sharded model, finished shards are kept.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heritage.errors import BadInput, Conflict, NotFound, Unavailable
from heritage.names import printable
from heritage.repair.commit import explained, locked, sync_folder, where, write_all, written
from heritage.repair.evaluate import fixed_threads
from heritage.repair.plan import RepairPlan
from heritage.repair.stream import Mixture, make_mixture
from heritage.repair.tensors import State
from heritage.weights.checkpoint import CHUNK_BYTES, Checkpoint, TensorInfo, digest_start, model_digest
from heritage.weights.layout import INDEX_SUFFIX


@dataclass(frozen=True, slots=True)
class Applied:
    """What was written: `path` (a file, or a folder of shards), the model's content digest, its files.

    `kept` names shards that an earlier, interrupted run had finished.
    """

    path: Path
    digest: str
    files: tuple[Path, ...]
    kept: tuple[str, ...] = ()


def apply_plan(
    plan: RepairPlan, drifted: Path, donors: Mapping[str, Path], out: Path, replaced: State | None = None
) -> Applied:
    """Write the model that `plan` makes of the files `drifted` and `donors` (by the plan's names) to `out`.

    `out` is a file for one safetensors file, a folder for a sharded index; a file there is replaced, a folder must not
    exist or be the result already. `replaced`: see `heritage.repair.stream.make_mixture`. Raises `NotFound` for a
    donor that is gone, `Conflict` where the result is not the plan's (`plan.result`), and then leaves nothing behind.
    Memory: 2 MB a file. Cost: one read of every file, one write.
    """
    with opened(plan, drifted, donors) as (source, relatives):
        mixture = make_mixture(plan, source, relatives, replaced)
        _check_target(out, [source, *relatives.values()])
        return _write(mixture, _index_of(drifted), out, Job(plan.hash, plan.result))


def undo(plan: RepairPlan, original: Path, out: Path) -> Applied:
    """Write the drifted model that `plan` began with to `out`, bit for bit, from the file or folder `original`.

    A mix cannot be computed backwards without rounding, so the original is kept and proven by its digest: `Conflict`
    where `original` is another model. Resumes and commits as `apply_plan` does.
    """
    with Checkpoint.open(original) as source:
        _check_target(out, [source])
        return _write(copied(source), _index_of(original), out, Job(f"undo{plan.hash}", plan.drifted))


@dataclass(frozen=True, slots=True)
class Job:
    """One writing: `key` names its temporary files, `result` is the content digest it must come to ('': any)."""

    key: str
    result: str

    def check(self, digest: str) -> None:
        """Raise `Conflict` where the result is another model."""
        if self.result and digest != self.result:
            raise Conflict(
                f"job {self.key[:12]}: the result is {digest[:12]}, expected is {self.result[:12]}; an input changed "
                "since the plan was made: give the weights of those very versions, or make the plan again"
            )


def copied(source: Checkpoint) -> Mixture:
    """The mixture that leaves `source` as it is."""
    return Mixture(source, {}, {}, frozenset(), {}, {})


def _write(mixture: Mixture, index: Path | None, out: Path, job: Job) -> Applied:
    if index is None:
        with written(out, job.key) as descriptor:
            digests = write_tensors(mixture, mixture.drifted.files[0], _writer(descriptor))
            job.check(model_digest(digests))
        return Applied(out, model_digest(digests), (out,))
    return _write_shards(mixture, index, out, job)


def _writer(descriptor: int) -> Callable[[memoryview], None]:
    return lambda piece: write_all(descriptor, piece)


@contextmanager
def opened(
    plan: RepairPlan,
    drifted: Path | str,
    donors: Mapping[str, Path] | Mapping[str, str],
    opener: Callable[[Any], AbstractContextManager[Checkpoint]] = Checkpoint.open,
) -> Iterator[tuple[Checkpoint, dict[str, Checkpoint]]]:
    """The drifted model and the donors that the plan uses, opened by `opener`; `NotFound` names one that is gone."""
    with ExitStack() as stack:
        source = stack.enter_context(opener(drifted))
        relatives: dict[str, Checkpoint] = {}
        for name, a in plan.recipe.coefficients.items():
            if a == 0.0:
                continue
            if name not in donors:
                raise NotFound(f"donor '{printable(name)}' of plan {plan.hash[:12]} has no file; give its weights")
            try:
                relatives[name] = stack.enter_context(opener(donors[name]))
            except NotFound as error:
                raise NotFound(f"donor '{printable(name)}' of plan {plan.hash[:12]} is gone: {error}") from error
        yield source, relatives


def _check_target(out: Path, sources: list[Checkpoint]) -> None:
    if not out.parent.is_dir():
        raise NotFound(f"{where(out)}: its folder does not exist; make it first")
    taken = {f.resolve() for s in sources for f in s.files}
    if out.resolve() in taken or out.resolve() in {f.parent for f in taken}:
        raise BadInput(f"{where(out)}: is one of the inputs, which are never overwritten; give another path")
    needed = sources[0].size_bytes
    free = shutil.disk_usage(out.parent).free
    if free < needed:
        raise Unavailable(f"{where(out)}: needs {needed} bytes, {free} are free; free some space and run it again")


def _index_of(path: Path) -> Path | None:
    """The shard index at `path`, where there is one."""
    if path.is_dir():
        return next(iter(sorted(path.glob(f"*{INDEX_SUFFIX}"))), None)
    return path if path.name.endswith(INDEX_SUFFIX) else None


def write_tensors(mixture: Mixture, file: Path, write: Callable[[memoryview], None]) -> dict[str, str]:
    """Header and tensors of `file`, repaired, in order to `write`; returns the digest of each tensor."""
    write(memoryview(mixture.drifted.header_bytes(file)))
    digests: dict[str, str] = {}
    with fixed_threads(1):  # on pieces of a megabyte several threads mostly wait for one another, at full load
        for info in _in_file_order(mixture.drifted, file):
            state = digest_start(info)
            for piece in mixture.bytes_of(info):
                state.update(piece)
                write(piece)
            digests[info.name] = state.hexdigest()
    return digests


def _in_file_order(checkpoint: Checkpoint, source: Path) -> list[TensorInfo]:
    # empty tensors share their place with the next one: the end decides
    return sorted((t for t in checkpoint.tensors.values() if t.file == source), key=lambda t: (t.offset, t.size_bytes))


def _write_shards(mixture: Mixture, index: Path, out: Path, job: Job) -> Applied:
    staging = out.with_name(f".{out.name[:180]}.{job.key[:16]}.partial")
    with explained(staging):
        staging.mkdir(exist_ok=True)
    with locked(staging / ".lock"):
        digests: dict[str, str] = {}
        kept: list[str] = []
        for source in mixture.drifted.files:
            done = _finished(staging / source.name, mixture.drifted, source)
            if done is None:
                with written(staging / source.name, job.key) as descriptor:
                    done = write_tensors(mixture, source, _writer(descriptor))
            else:
                kept.append(source.name)
            digests |= done
        _check_shards(model_digest(digests), job, staging)
        with written(staging / index.name, job.key) as descriptor:
            write_all(descriptor, memoryview(index.read_bytes()))
        _move(staging, out, model_digest(digests))
    return Applied(out, model_digest(digests), tuple(out / f.name for f in mixture.drifted.files), tuple(kept))


def _finished(shard: Path, drifted: Checkpoint, source: Path) -> dict[str, str] | None:
    """Digests of the tensors of a shard that an earlier run finished; None where it did not.

    The name is given by a rename after fsync, so a shard that has it is whole.
    """
    if not shard.exists():
        return None
    digests: dict[str, str] = {}
    with shard.open("rb") as file:
        for info in _in_file_order(drifted, source):
            state = digest_start(info)
            file.seek(info.offset)
            left = info.size_bytes
            while left:
                piece = file.read(min(left, CHUNK_BYTES))
                if not piece:
                    return None
                state.update(piece)
                left -= len(piece)
            digests[info.name] = state.hexdigest()
    return digests


def _check_shards(digest: str, job: Job, staging: Path) -> None:
    try:
        job.check(digest)
    except Conflict:
        shutil.rmtree(staging)
        raise


def _move(staging: Path, out: Path, digest: str) -> None:
    """Give the finished folder its name; an equal result that is there already is as good."""
    (staging / ".lock").unlink()
    if out.exists():
        with Checkpoint.open(out) as there:
            equal = there.digest == digest
        shutil.rmtree(staging)
        if not equal:
            raise Conflict(f"{where(out)}: is there already and holds another model; give another path")
        return
    with explained(out):
        os.rename(staging, out)
        sync_folder(out.parent)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
