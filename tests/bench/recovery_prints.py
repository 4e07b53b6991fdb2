"""The part of recovery.py that is about fingerprints: what recovery and placing cost once they are taken."""

import time
from collections.abc import Callable
from pathlib import Path

from rich.table import Table
from threadpoolctl import threadpool_limits

from heritage.recovery.incremental import place
from heritage.recovery.models import open_folder
from heritage.recovery.recover import recover_fingerprints
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.fingerprint import Fingerprint
from heritage.weights.fingerprinting import take_fingerprint


def taken(folder: Path) -> dict[str, Fingerprint]:
    """The fingerprints of the models of `folder`."""
    with open_folder(folder) as (models, _):
        return {m.name: take_fingerprint(m.weights) for m in models}


def from_fingerprints(folder: Path) -> float:
    """CPU seconds of a recovery from the fingerprints of `folder`, the least of three."""
    prints = taken(folder)
    return min(_cpu(lambda: recover_fingerprints(prints)) for _ in range(3))


def placing(sizes: list[int], make: Callable[[int], Path]) -> Table:
    """CPU of placing one more model in families of `sizes`; `make` gives a folder of so many models."""
    table = Table(title="placing one model in a family, CPU ms")
    for head in ("family", "by fingerprints", "with the weights of itself and three relatives"):
        table.add_column(head)
    for size in sizes:
        folder = make(size + 1)
        prints = taken(folder)
        name = max(prints)
        new = prints.pop(name)
        families = {"one": prints}

        def weights(model: str, folder: Path = folder) -> Checkpoint:
            return Checkpoint.open(folder / f"{model}.safetensors")

        with threadpool_limits(limits=1, user_api="blas"):
            alone, read = (
                min(_cpu(lambda: place(name, new, families, source)) for _ in range(5))  # noqa: B023
                for source in (None, weights)
            )
        table.add_row(str(size), f"{alone * 1e3:.1f}", f"{read * 1e3:.1f}")
    return table


def _cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
