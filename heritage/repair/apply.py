"""Carrying out a repair plan on files: tensor by tensor, from safetensors to safetensors, whole or not at all.

The drifted model's header is kept byte for byte, so names, order, types and metadata stay. A run that was killed at
any point is run again and gives the same bytes; of a sharded model, finished shards are kept.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from heritage.errors import BadInput, Conflict, NotFound, Unavailable
from heritage.names import printable
from heritage.repair.commit import explained, locked, sync_folder, where, write_all, written
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
    with _opened(plan, drifted, donors) as (source, relatives):
        _check_target(out, [source, *relatives.values()])
        mixture = make_mixture(plan, source, relatives, replaced)
        if len(source.files) == 1 and not _index_of(drifted):
            digests = _write_file(mixture, source.files[0], out, plan)
            return Applied(out, model_digest(digests), (out,))
        return _write_shards(mixture, _index_of(drifted), out, plan)


def undo(plan: RepairPlan, original: Path, out: Path) -> Applied:
    """Write the drifted model that `plan` began with to `out`, bit for bit, from the file `original`.

    A mix cannot be computed backwards without rounding, so the original is kept and proven by its digest: `Conflict`
    where `original` is another model. Files only; a sharded model goes back by its alias or folder.
    """
    with Checkpoint.open(original) as source:
        _check_target(out, [source])
        if len(source.files) != 1:
            raise BadInput(f"{where(original)}: is sharded; point to its folder again instead of copying it")
        return _copied(plan, source, out)


def _copied(plan: RepairPlan, source: Checkpoint, out: Path) -> Applied:
    untouched = Mixture(source, {}, {}, frozenset(), {}, {})
    with written(out, plan.hash) as descriptor:
        digest = model_digest(_write_tensors(untouched, source.files[0], descriptor))
        if digest != plan.drifted:
            raise Conflict(
                f"{source.where}: its digest is {digest[:12]}, the plan began with {plan.drifted[:12]}; "
                "give the weights of that version"
            )
    return Applied(out, digest, (out,))


@contextmanager
def _opened(
    plan: RepairPlan, drifted: Path, donors: Mapping[str, Path]
) -> Iterator[tuple[Checkpoint, dict[str, Checkpoint]]]:
    with ExitStack() as stack:
        source = stack.enter_context(Checkpoint.open(drifted))
        relatives: dict[str, Checkpoint] = {}
        for name, a in plan.recipe.coefficients.items():
            if a == 0.0:
                continue
            if name not in donors:
                raise NotFound(f"donor '{printable(name)}' of plan {plan.hash[:12]} has no file; give its weights")
            try:
                relatives[name] = stack.enter_context(Checkpoint.open(donors[name]))
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


def _write_file(mixture: Mixture, source: Path, out: Path, plan: RepairPlan) -> dict[str, str]:
    with written(out, plan.hash) as descriptor:
        digests = _write_tensors(mixture, source, descriptor)
        _check_result(model_digest(digests), plan)
    return digests


def _write_tensors(mixture: Mixture, source: Path, descriptor: int) -> dict[str, str]:
    """Header and tensors of the file `source`, repaired; returns the digest of each tensor."""
    write_all(descriptor, memoryview(_header(source)))
    digests: dict[str, str] = {}
    for info in _in_file_order(mixture.drifted, source):
        state = digest_start(info)
        for piece in mixture.bytes_of(info):
            state.update(piece)
            write_all(descriptor, piece)
        digests[info.name] = state.hexdigest()
    return digests


def _in_file_order(checkpoint: Checkpoint, source: Path) -> list[TensorInfo]:
    # empty tensors share their place with the next one: the end decides
    return sorted((t for t in checkpoint.tensors.values() if t.file == source), key=lambda t: (t.offset, t.size_bytes))


def _header(source: Path) -> bytes:
    """The length field and the header, as they are in the file."""
    with source.open("rb") as file:
        length = file.read(8)
        return length + file.read(int.from_bytes(length, "little"))


def _check_result(digest: str, plan: RepairPlan) -> None:
    if plan.result and digest != plan.result:
        raise Conflict(
            f"plan {plan.hash[:12]}: the result would be {digest[:12]}, the plan was judged as {plan.result[:12]}; "
            "an input changed since: make the plan again"
        )


def _write_shards(mixture: Mixture, index: Path | None, out: Path, plan: RepairPlan) -> Applied:
    assert index is not None
    staging = out.with_name(f".{out.name[:180]}.{plan.hash[:16]}.partial")
    with explained(staging):
        staging.mkdir(exist_ok=True)
    with locked(staging / ".lock"):
        digests: dict[str, str] = {}
        kept: list[str] = []
        for source in mixture.drifted.files:
            done = _finished(staging / source.name, mixture.drifted, source)
            if done is None:
                done = _write_shard(mixture, source, staging / source.name, plan)
            else:
                kept.append(source.name)
            digests |= done
        _check_shards(model_digest(digests), plan, staging)
        with written(staging / index.name, plan.hash) as descriptor:
            write_all(descriptor, memoryview(index.read_bytes()))
        _move(staging, out, model_digest(digests))
    return Applied(out, model_digest(digests), tuple(out / f.name for f in mixture.drifted.files), tuple(kept))


def _write_shard(mixture: Mixture, source: Path, target: Path, plan: RepairPlan) -> dict[str, str]:
    with written(target, plan.hash) as descriptor:
        return _write_tensors(mixture, source, descriptor)


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


def _check_shards(digest: str, plan: RepairPlan, staging: Path) -> None:
    try:
        _check_result(digest, plan)
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
