"""Folders for weights that are needed for a while, on the disk of the work folder."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heritage.flows.context import Context
from heritage.registry.fetch import remove_left


@contextmanager
def scratch(ctx: Context, work: str) -> Iterator[Path]:
    """An empty folder for this `work`, gone afterwards; those that killed processes left behind are removed too."""
    home = ctx.settings.work_dir
    home.mkdir(parents=True, exist_ok=True)
    remove_left(home, f"{work}-*")
    with tempfile.TemporaryDirectory(dir=home, prefix=f"{work}-") as folder:
        yield Path(folder)
