"""A disk without space: an error that says so, and nothing half-written to be found later."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from heritage.errors import HeritageError
from heritage.lineage.index import LineageIndex
from heritage.registry import Registry
from heritage.weights.write import write_safetensors
from tests.faults import invariants
from tests.faults.tiny import tiny_weights

pytestmark = pytest.mark.services


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("only root may mount a small disk; the limits of file sizes are tested elsewhere")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_weights_that_do_not_fit_leave_nothing_behind(
    registry: Registry, name: str, small_disk: Path, tmp_path: Path
) -> None:
    write_safetensors(tmp_path / "big.safetensors", {"w": np.arange(250_000, dtype=np.float32)})
    version = registry.register(name, tmp_path / "big.safetensors").version
    cache = small_disk / "weights"

    with pytest.raises((HeritageError, OSError), match=r"make room|No space"):
        registry.fetch_weights(version, cache)

    used = sum(file.stat().st_size for file in small_disk.rglob("*") if file.is_file())
    assert used < 100_000, "what does not fit must not stay"
    small = registry.register(name, tiny_weights(tmp_path)).version
    assert registry.fetch_weights(small, cache).is_dir()


def test_an_index_that_does_not_fit_says_so_and_stays_readable(
    registry: Registry, name: str, small_disk: Path, tmp_path: Path
) -> None:
    registry.register(name, tiny_weights(tmp_path))
    entries = list(registry.entries(registry.versions(name=name)))
    with LineageIndex(small_disk / "index.sqlite") as index:
        index.update(entries)
        before = index.digest()
        (small_disk / "filler").write_bytes(b"x" * (_free(small_disk) - 4096))
        many = [_numbered(entries[0], i) for i in range(20_000)]

        with pytest.raises(HeritageError, match="disk space"):
            index.update(many)

        assert index.digest() == before
    invariants.check_registry(registry, tmp_path / "check", [name])


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _numbered(entry: object, i: int) -> object:
    import dataclasses

    version = dataclasses.replace(entry.version, version=str(i + 2), digest=f"{i:064x}")
    return dataclasses.replace(entry, version=version, manifest=None)
