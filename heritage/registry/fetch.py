"""Weights of a version on local disk: downloaded as plain files, verified, cached by digest, never executed."""

import os
import secrets
import shutil
import time
from pathlib import Path

from heritage.errors import Misconfigured, NotFound, UnsafeCheckpoint
from heritage.names import check_file_name, check_source, printable
from heritage.records import Manifest, ModelVersion
from heritage.registry.artifacts import RunArtifacts, run_of
from heritage.registry.read import Reader
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.layout import INDEX_SUFFIX
from heritage.weights.limits import Limits

WEIGHTS = "weights"
_LEFT_S = 24 * 3600.0


def fetch_weights(reader: Reader, version: ModelVersion, folder: Path, limits: Limits) -> Path:
    """Folder with the version's safetensors files: `folder/<digest>`; a second call downloads no weights.

    Every file has the SHA-256 and size that the manifest tells, and all together the content digest. Raises
    `NotFound` for a version without manifest, `UnsafeName` for a source that is not read, `UnsafeCheckpoint` for
    files that are not what the manifest tells; nothing is left behind then.
    """
    manifest = reader.manifest(version)
    if manifest is None:
        raise NotFound(
            f"version {printable(version.address)} was registered without heritage and has no manifest to verify its "
            "weights against; run `heritage ingest` first"
        )
    target = folder / manifest.digest
    if target.is_dir():
        return target
    source = _source_folder(version)
    folder.mkdir(parents=True, exist_ok=True)
    remove_left(folder, ".*.tmp")
    _check_space(manifest, folder, version)
    scratch = folder / f".{manifest.digest[:16]}.{secrets.token_hex(8)}.tmp"
    scratch.mkdir(mode=0o700)
    try:
        _download(reader.artifacts(version), source, manifest, scratch)
        _check_content(scratch, manifest, version, limits)
        _publish(scratch, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def fetch_unverified(reader: Reader, version: ModelVersion, folder: Path, limit_bytes: int) -> Path:
    """Folder with the safetensors files that lie at the source of a version without manifest.

    Nothing vouches for them: open them with `Checkpoint`, as any file from outside. Raises `NotFound` where there are
    none, and `UnsafeCheckpoint` where they have more than `limit_bytes` together.
    """
    shown = printable(version.address)
    artifacts, source = reader.artifacts(version), _source_folder(version)
    sizes = {p: n for p, n in artifacts.sizes(source).items() if p.endswith((".safetensors", INDEX_SUFFIX))}
    if not sizes:
        raise NotFound(f"{shown}: there is no safetensors file under '{source}'; convert its weights and register them")
    if sum(sizes.values()) > limit_bytes:
        raise UnsafeCheckpoint(f"{shown}: its weights have {sum(sizes.values())} bytes; the limit is {limit_bytes}")
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"unverified-{version.run_id}-{secrets.token_hex(4)}"
    target.mkdir(mode=0o700)
    for path, size in sizes.items():
        artifacts.save(path, target / check_file_name(path.rpartition("/")[2], shown), size)
    return target


def listed_weights(reader: Reader, version: ModelVersion) -> dict[str, int]:
    """Name and size in bytes of every file that lies where the version's weights should; nothing is read of them."""
    found = reader.artifacts(version).sizes(_source_folder(version))
    return {path.rpartition("/")[2]: size for path, size in found.items()}


def _source_folder(version: ModelVersion) -> str:
    """Where the weights lie among the files of the version's run."""
    check_source(version.source)
    # a copy of a version under another name points at the first one, but has the run, and so the files, of its own
    if version.source.startswith("models:"):
        return WEIGHTS
    return run_of(version.source, version.run_id)


def remove_left(folder: Path, pattern: str) -> None:
    """Remove folders below `folder` that nobody added a file to for a day: processes that were killed left them."""
    for left in folder.glob(pattern):
        try:
            age_s = time.time() - left.stat().st_mtime
        except FileNotFoundError:  # another process was quicker
            continue
        if age_s > _LEFT_S:
            shutil.rmtree(left, ignore_errors=True)


def _check_space(manifest: Manifest, folder: Path, version: ModelVersion) -> None:
    needed, free = sum(file.size_bytes for file in manifest.files), shutil.disk_usage(folder).free
    if needed > free:
        raise Misconfigured(
            f"weights of {printable(version.address)} need {needed} bytes, {printable(str(folder), 300)} has {free} "
            "free; make room or set HERITAGE_WORK_DIR"
        )


def _download(artifacts: RunArtifacts, source: str, manifest: Manifest, scratch: Path) -> None:
    for file in manifest.files:
        path = f"{source}/{file.name}"
        saved = artifacts.save(path, scratch / file.name, file.size_bytes)
        if (saved.sha256, saved.size_bytes) != (file.sha256, file.size_bytes):
            raise UnsafeCheckpoint(
                f"artifact '{path}' has {saved.size_bytes} bytes with SHA-256 {saved.sha256}; its manifest says "
                f"{file.size_bytes} and {file.sha256}: it was changed or cut; register the weights again"
            )


def _check_content(scratch: Path, manifest: Manifest, version: ModelVersion, limits: Limits) -> None:
    with Checkpoint.open(scratch, limits) as checkpoint:
        if checkpoint.digest != manifest.digest:
            raise UnsafeCheckpoint(
                f"weights of {printable(version.address)} have the digest {checkpoint.digest}, the manifest says "
                f"{manifest.digest}: the manifest was forged; register the weights again"
            )


def _publish(scratch: Path, target: Path) -> None:
    try:
        os.rename(scratch, target)
    except OSError:
        if not target.is_dir():  # else another process was quicker, with the same content
            raise
