"""Folders for a while: gone afterwards, also those of processes that were killed."""

import os
import time
from pathlib import Path

import pytest

from heritage.flows.context import Context
from heritage.flows.scratch import scratch
from heritage.registry.fetch import remove_left
from heritage.settings import Settings


def left_behind(path: Path, age_s: float) -> Path:
    path.mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"half")
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_what_killed_processes_left_is_removed_after_a_day_and_nothing_else(tmp_path: Path) -> None:
    ctx = Context(None, None, Settings(work_dir=tmp_path / "work"))  # type: ignore[arg-type]
    old, young = left_behind(tmp_path / "work/ingest-old", 90_000), left_behind(tmp_path / "work/ingest-young", 60)
    others = left_behind(tmp_path / "work/weights", 900_000)
    with scratch(ctx, "ingest") as folder:
        assert list(folder.iterdir()) == []
        assert (old.exists(), young.exists(), others.exists()) == (False, True, True)
    assert not folder.exists()


@pytest.mark.parametrize(("age_s", "stays"), [(90_000, False), (60, True)])
def test_half_a_download_is_removed_after_a_day(tmp_path: Path, age_s: float, stays: bool) -> None:
    half, whole = left_behind(tmp_path / ".abc.123.tmp", age_s), left_behind(tmp_path / "abc", 90_000)
    remove_left(tmp_path, ".*.tmp")
    assert (half.exists(), whole.exists()) == (stays, True)
