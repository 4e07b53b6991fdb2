"""Fingerprints of registered versions: stored beside the manifest, kept on this machine once they were read.

    heritage/fingerprint.npz    among the files of the version's run
    heritage.fingerprint        the version's tag: the beginning of the fingerprint's architecture

Weights are read once, where a version is registered or ingested; all that is done with whole families reads these.
"""

import os
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from heritage.errors import BadInput, NotFound
from heritage.flows.context import Context
from heritage.names import check_digest, printable
from heritage.records import ModelVersion
from heritage.recovery.architecture import group
from heritage.recovery.sketched import PrintedModel
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.fingerprint import Fingerprint
from heritage.weights.fingerprint_codec import from_bytes, to_bytes
from heritage.weights.fingerprinting import take_fingerprint
from heritage.weights.limits import Limits

FINGERPRINT_PATH = "heritage/fingerprint.npz"
FINGERPRINT_TAG = "heritage.fingerprint"
_LIMIT_BYTES = 64 * 2**20
_READERS = 6  # artifacts read at once; the HTTP client keeps 10 connections


def architecture_tag(taken: Fingerprint) -> str:
    """The tag of a version with this fingerprint: equal for models that fit tensor by tensor."""
    return taken.architecture[:16]


def limits_of(ctx: Context) -> Limits:
    """What the settings allow a checkpoint to be."""
    return Limits(ctx.settings.weights.max_header_bytes, ctx.settings.weights.max_tensors)


def taken_from(ctx: Context, path: Path) -> Fingerprint:
    """The fingerprint of the weights at `path`, which are read once."""
    with Checkpoint.open(path, limits_of(ctx)) as checkpoint:
        return take_fingerprint(checkpoint)


def is_finite(taken: Fingerprint) -> bool:
    """Whether the model holds no NaN and nothing infinite."""
    return not taken.non_finite.any()


def keep(ctx: Context, version: ModelVersion, taken: Fingerprint) -> None:
    """Store the fingerprint of `version`; the tag comes last, so what has the tag has the file."""
    ctx.registry.put_artifact(version, FINGERPRINT_PATH, to_bytes(taken))
    if version.tags.get(FINGERPRINT_TAG) != architecture_tag(taken):
        ctx.registry.set_tag(version, FINGERPRINT_TAG, architecture_tag(taken))


def stored(ctx: Context, version: ModelVersion) -> Fingerprint | None:
    """The version's stored fingerprint; None where there is none, or none that is of its content and readable."""
    if FINGERPRINT_TAG not in version.tags or not version.digest:
        return None
    kept = ctx.settings.work_dir / "fingerprints" / f"{check_digest(version.digest)}.npz"
    try:
        return _checked(kept.read_bytes(), version)
    except (OSError, BadInput):
        pass  # not read on this machine before, or by another release
    try:
        data = ctx.registry.artifact(version, FINGERPRINT_PATH, _LIMIT_BYTES)
        found = _checked(data, version)
    except (NotFound, BadInput):
        return None
    _write(kept, data)
    return found


def read(ctx: Context, versions: Mapping[str, ModelVersion]) -> dict[str, Fingerprint]:
    """Stored fingerprints by digest; versions that have none are left out."""
    with ThreadPoolExecutor(_READERS, "heritage-fingerprints") as pool:
        found = pool.map(lambda v: stored(ctx, v), versions.values())
        return {digest: taken for digest, taken in zip(versions, found, strict=True) if taken is not None}


def comparable(ctx: Context, new: Fingerprint, versions: Mapping[str, ModelVersion]) -> dict[str, ModelVersion]:
    """Those of `versions` whose weights can be compared with the model of `new`, told from one of each architecture."""
    kinds: dict[str, dict[str, ModelVersion]] = {}
    for digest, version in versions.items():
        kinds.setdefault(version.tags.get(FINGERPRINT_TAG, ""), {})[digest] = version
    kinds.pop("", None)
    first = read(ctx, {kind: next(iter(own.values())) for kind, own in kinds.items()})
    names = list(first)
    models = [PrintedModel("", new), *(PrintedModel(name, first[name]) for name in names)]
    together = next(g for g in group([m.signature for m in models]) if 0 in g)
    near = {names[i - 1] for i in together if i}
    return {digest: version for kind in kinds if kind in near for digest, version in kinds[kind].items()}


def _checked(data: bytes, version: ModelVersion) -> Fingerprint:
    """`BadInput` where it is the fingerprint of other content: anybody may write files of a run."""
    found = from_bytes(data, f"fingerprint of {printable(version.address)}")
    if found.digest != version.digest:
        raise BadInput(f"fingerprint of {printable(version.address)} is of other content; run heritage ingest again")
    return found


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    os.replace(file.name, path)
