"""Carrying out a repair plan on weights in storage: objects in, objects out, nothing kept on this machine's disk.

    <out>                                   one safetensors object
    <folder of out>/<shard>  ...  <out>     shards, then the index, which commits them

A shard that a killed run finished is known by its note `repairs/<plan hash>/shards/...` and its ETag, and is kept.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from heritage.errors import BadInput, Conflict, NotFound
from heritage.flows.remote import open_remote
from heritage.large_objects import LargeObject, Upload
from heritage.names import printable
from heritage.repair.apply import Job, copied, opened, write_tensors
from heritage.repair.plan import RepairPlan
from heritage.repair.stream import Mixture, make_mixture
from heritage.repair.tensors import State
from heritage.storage import ObjectStore, check_key
from heritage.weights.checkpoint import model_digest
from heritage.weights.layout import INDEX_SUFFIX


@dataclass(frozen=True, slots=True)
class RemoteApplied:
    """What was written: key of the model (object or index), its content digest, shards that an earlier run had made."""

    key: str
    digest: str
    kept: tuple[str, ...] = ()


def apply_remote(
    store: ObjectStore,
    plan: RepairPlan,
    drifted: str,
    donors: Mapping[str, str],
    out: str,
    replaced: State | None = None,
) -> RemoteApplied:
    """Write the model that `plan` makes of the objects `drifted` and `donors` (keys by the plan's names) to `out`.

    Keys name a safetensors object or a shard index; `out` must be of the same kind as `drifted`. The object appears
    by a conditional put, whole, and never replaces another model: `Conflict`. Memory: 16 MB a file, and 16 MB.
    """
    _check_out(drifted, [drifted, *donors.values()], out)
    with opened(plan, drifted, donors, partial(open_remote, store)) as (source, relatives):
        mixture = make_mixture(plan, source, relatives, replaced)
        return _write(store, mixture, drifted, out, Job(plan.hash, plan.result))


def undo_remote(store: ObjectStore, plan: RepairPlan, original: str, out: str) -> RemoteApplied:
    """Write the drifted model that `plan` began with to `out`, bit for bit, from `original`; see `undo`."""
    _check_out(original, [original], out)
    with open_remote(store, original) as source:
        return _write(store, copied(source), original, out, Job(f"undo{plan.hash}", plan.drifted))


def _check_out(drifted: str, inputs: list[str], out: str) -> None:
    check_key(out)
    if drifted.endswith(INDEX_SUFFIX) != out.endswith(INDEX_SUFFIX):
        raise BadInput(f"{printable(out)}: a sharded model is written to a key that ends in {INDEX_SUFFIX}, others not")
    folders = {key.rpartition("/")[0] for key in inputs}
    if out in inputs or (out.endswith(INDEX_SUFFIX) and out.rpartition("/")[0] in folders):
        raise BadInput(f"{printable(out)}: is among the inputs, which are never overwritten; give another key")


def _write(store: ObjectStore, mixture: Mixture, drifted: str, out: str, job: Job) -> RemoteApplied:
    if not out.endswith(INDEX_SUFFIX):
        with Upload(store, out) as upload:
            digest = model_digest(write_tensors(mixture, mixture.drifted.files[0], upload.write))
            job.check(digest)
            if not upload.commit():
                _check_equal(store, out, digest)
        return RemoteApplied(out, digest)
    digests: dict[str, str] = {}
    kept: list[str] = []
    for source in mixture.drifted.files:
        key = f"{out.rpartition('/')[0]}/{source.name}"
        done = _finished(store, key, job)
        if done is None:
            done = _write_shard(store, mixture, source, key, job)
        else:
            kept.append(source.name)
        digests |= done
    digest = model_digest(digests)
    job.check(digest)
    index = store.get(drifted)
    if not store.create(out, index) and store.get(out) != index:
        raise Conflict(f"{out}: another model's index is there already; give another key")
    return RemoteApplied(out, digest, tuple(kept))


def _write_shard(store: ObjectStore, mixture: Mixture, source: Path, key: str, job: Job) -> dict[str, str]:
    with Upload(store, key) as upload:
        digests = write_tensors(mixture, source, upload.write)
        if not upload.commit():
            _check_equal(store, key, model_digest(digests))
    note = {"etag": LargeObject.find(store, key).etag, "digests": digests}
    store.put(_note_key(key, job), json.dumps(note, sort_keys=True).encode())
    return digests


def _finished(store: ObjectStore, key: str, job: Job) -> dict[str, str] | None:
    """Digests of the tensors of a shard that an earlier run of this job wrote; None where it did not."""
    try:
        note = json.loads(store.get(_note_key(key, job)))
        etag = LargeObject.find(store, key).etag
    except NotFound:
        return None
    return dict(note["digests"]) if note["etag"] == etag else None


def _note_key(key: str, job: Job) -> str:
    return f"repairs/{job.key}/shards/{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _check_equal(store: ObjectStore, key: str, digest: str) -> None:
    with open_remote(store, key) as there:
        if there.digest != digest:
            raise Conflict(f"{key}: is there already and holds another model; give another key")
