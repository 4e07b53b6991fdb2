"""Zero masks of the registry's pruned versions: how their features cluster, and whether children kept their masks.

Content never changes, so each version is looked at once: what was found lies at `audit/masks/<digest>.json`, and only
new versions, and new parents of known ones, are computed.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from heritage.errors import BadInput, HeritageError, NotFound, Unavailable
from heritage.flows import prints
from heritage.flows.context import Context
from heritage.flows.networks import weights_path
from heritage.flows.trees import canonical
from heritage.names import check_digest, printable
from heritage.records import Manifest, ModelVersion
from heritage.registry import Entry

Record = dict[str, Any]
SPARSE = 0.05  # share of zeros among a matrix's entries from which it counts as pruned
_FEATURES, _CLUSTERS, _NULL_DRAWS = 128, 8, 3
_LARGEST = 64 * 2**20  # entries of a matrix that is clustered


def run(ctx: Context, entries: Iterable[Entry]) -> list[Record]:
    """A record for each version that is pruned, or whose parent is, oldest first.

    Each has address, digest, sparsity, `tensors` (name, shape, zeros: their share), `clusters` (numbers of the largest
    pruned matrix, or None) and `parents`: evidence by the digest of each pruned parent.
    """
    known = [(e.version, e.manifest) for e in entries if e.manifest]
    manifests = {manifest.digest: manifest for _, manifest in known}
    members = canonical(version for version, _ in known)
    records = {d: _stored(ctx, d) or _looked_at(ctx, v) for d, v in members.items() if d in manifests}
    found = [_with_parents(ctx, members, manifests[digest], records) for digest in records]
    return [record for record in found if record["tensors"] or record["parents"]]


def _looked_at(ctx: Context, version: ModelVersion) -> Record:
    """The record of one version without its parents; stored."""
    record: Record = {"address": printable(version.address), "digest": version.digest, "sparsity": 0.0, "tensors": [],
                      "clusters": None, "parents": {}, "problem": ""}  # fmt: skip
    taken = prints.stored(ctx, version)
    if taken is None:  # registered before fingerprints were taken; heritage ingest makes one
        return record
    matrices = [t for t in (taken.tensor(n) for n in taken.names) if len(t.shape) == 2 and t.count]
    pruned = [t for t in matrices if SPARSE <= t.zeros / t.count < 1]
    if pruned:
        record["sparsity"] = sum(t.zeros for t in matrices) / sum(t.count for t in matrices)
        shares = {t.name: t.zeros / t.count for t in pruned}
        record["tensors"] = [
            {"name": printable(t.name), "shape": list(t.shape), "zeros": shares[t.name]} for t in pruned
        ]
        largest = max((t for t in pruned if t.count <= _LARGEST), key=lambda t: t.count, default=None)
        try:
            record["clusters"] = None if largest is None else _clusters(ctx, version, largest.name)
        except Unavailable:
            raise
        except HeritageError as error:  # such as one column, or the same zeros in all of them
            record["problem"] = printable(str(error), 500)
    _keep(ctx, record)
    return record


def _clusters(ctx: Context, version: ModelVersion, tensor: str) -> Record:
    from heritage.masks.experiment import analyze
    from heritage.masks.matrix import load_matrix
    from heritage.masks.report import plain

    matrix = load_matrix(weights_path(ctx, version), tensor)
    near = min(_FEATURES, matrix.shape[1] - 1)
    done = analyze(matrix, n_features=near, n_clusters=min(_CLUSTERS, near), null_draws=_NULL_DRAWS)
    numbers = {"tensor": printable(tensor), "feature": done.main_feature_idx, "published": asdict(done.metrics),
               "corrected": asdict(done.corrected), "average_linkage": asdict(done.linkage)}  # fmt: skip
    found: Record = plain(numbers)
    return found


def _with_parents(
    ctx: Context, members: Mapping[str, ModelVersion], manifest: Manifest, records: Mapping[str, Record]
) -> Record:
    """The version's record with evidence for each pruned parent that it lacks; stored where something was added."""
    record = records[manifest.digest]
    wanted = {e.digest for e in manifest.parents} & records.keys() - record["parents"].keys()
    added = {
        digest: _evidence(ctx, members[digest], members[manifest.digest])
        for digest in sorted(wanted)
        if records[digest]["tensors"]
    }
    if not added:
        return record
    record = {**record, "parents": {**record["parents"], **added}}
    _keep(ctx, record)
    return record


def _evidence(ctx: Context, parent: ModelVersion, child: ModelVersion) -> Record:
    """Containment of the parent's zeros, and agreement of the masks, of both networks."""
    from heritage.masks.evidence import between
    from heritage.masks.report import plain
    from heritage.weights.checkpoint import Checkpoint

    told: Record = {"address": printable(parent.address), "problem": ""}
    try:
        with Checkpoint.open(weights_path(ctx, parent)) as one, Checkpoint.open(weights_path(ctx, child)) as other:
            shared = [n for n in one.tensors if n in other.tensors and len(one.tensors[n].shape) == 2]
            above, below = ({name: side.read_f32(name) for name in shared} for side in (one, other))
        found: Record = plain(asdict(between(above, below)))
        return told | found
    except (BadInput, NotFound) as error:  # no shared matrix
        return told | {"problem": printable(str(error), 500)}


def _stored(ctx: Context, digest: str) -> Record | None:
    try:
        found: Record = json.loads(ctx.store.get(_key(digest)))
    except NotFound:
        return None
    return found


def _keep(ctx: Context, record: Record) -> None:
    ctx.store.put(_key(record["digest"]), json.dumps(record, sort_keys=True, allow_nan=False).encode())


def _key(digest: str) -> str:
    return f"audit/masks/{check_digest(digest)}.json"
