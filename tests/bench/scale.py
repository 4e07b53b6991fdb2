"""What one machine holds, and what grows how: prints tables for docs/scale.md.

    python tests/bench/scale.py index        # the lineage index at 1,000 to 100,000 versions
    python tests/bench/scale.py nearest      # the nearest of 100,000 fingerprints, and placing a model among thousands

CPU seconds are of this process; wall seconds depend on what else the machine does.
"""

import dataclasses
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx
import numpy as np

from heritage.lineage.index import LineageIndex
from heritage.weights.fingerprint import WHOLE as WIDTH

FINGERPRINTS = 100_000


def timed(work: Callable[[], Any], repeats: int = 1) -> tuple[float, float]:
    """Median wall and CPU seconds of `work`."""
    wall, cpu = [], []
    for _ in range(repeats):
        started = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - started[0])
        cpu.append(time.process_time() - started[1])
    return statistics.median(wall), statistics.median(cpu)


def slope(sizes: list[int], seconds: list[float]) -> float:
    """Exponent p of seconds ~ size^p, by least squares in logarithms."""
    x, y = np.log(sizes), np.log(np.maximum(seconds, 1e-7))
    return float(np.polyfit(x, y, 1)[0])


def index() -> None:
    """The index of a made-up forest, three sizes: one family, the worst case for both walks."""
    import lineage_index as forest  # beside this script, whose folder Python looks through first

    sizes = [1_000, 10_000, 100_000]
    rows = []
    for size in sizes:
        forest.VERSIONS, forest.EDGES = size, size * 11 // 10
        rows.append(indexed(forest.registry()))
        print("  ".join(f"{name}: {value:,.2f}" for name, value in rows[-1].items()))
    for name in ("rebuild ms", "all descendants ms", "add 1,000 ms"):
        print(f"{name} grows as size ^ {slope(sizes, [row[name] for row in rows]):.2f}")
    last = rows[-1]
    print("all walks agree with networkx")
    each_us = last["ancestors of the newest ms"] / last["their number"] * 1e3
    print(f"an ancestor takes {each_us:.1f} us: 2 ms are enough for {2e3 / each_us:,.0f} ancestors")


def indexed(entries: list[Any]) -> dict[str, float]:
    """CPU milliseconds of what is done with one index."""
    root, leaf = entries[0].version.digest, entries[-1].version.digest
    new = [renamed(entry, i) for i, entry in enumerate(entries[-1_000:])]
    picked = random.Random(0).sample(entries, 300)
    with tempfile.TemporaryDirectory() as folder, LineageIndex(Path(folder) / "i.sqlite") as lineage:
        rebuild = timed(lambda: lineage.rebuild(entries))[1]
        compare(lineage, entries, [root, leaf, *(e.version.digest for e in picked[:20])])
        some = [timed(lambda e=e: lineage.ancestors(e.version.digest))[1] for e in picked]
        return {
            "versions": len(entries),
            "edges": sum(len(entry.manifest.parents) for entry in entries),
            "rebuild ms": rebuild * 1e3,
            "ancestors, median of 300 ms": statistics.median(some) * 1e3,
            "ancestors of the newest ms": timed(lambda: lineage.ancestors(leaf), 21)[1] * 1e3,
            "their number": len(lineage.ancestors(leaf)),
            "all descendants ms": timed(lambda: lineage.descendants(root), 5)[1] * 1e3,
            "add 1,000 ms": timed(lambda: lineage.update(new))[1] * 1e3,
            "MiB": lineage.path.stat().st_size / 2**20,
        }


def compare(lineage: LineageIndex, entries: list[Any], digests: list[str]) -> None:
    """The walks from `digests` against those of networkx."""
    graph = networkx.DiGraph((p.digest, e.version.digest) for e in entries for p in e.manifest.parents)
    for digest in digests:
        assert lineage.ancestors(digest) == networkx.ancestors(graph, digest)
        assert lineage.descendants(digest) == networkx.descendants(graph, digest)


def renamed(entry: Any, i: int) -> Any:
    """The same content under another name, as a version that is new to the index."""
    return dataclasses.replace(entry, version=dataclasses.replace(entry.version, name="new", version=str(i + 1)))


def nearest() -> None:
    """One fingerprint against many: sketches alone, and the whole of placing a model."""
    rng = np.random.default_rng(0)
    new = rng.normal(size=WIDTH).astype(np.float32)
    sizes, found = [1_000, 10_000, FINGERPRINTS], []
    print(f"{'fingerprints':>13s} {'GiB':>6s} {'CPU ms':>9s}   one sketch against all, in blocks")
    for size in sizes:
        found.append(searched(size, new, rng))
    print(f"grows as size ^ {slope(sizes, found):.2f}")
    placing()


def searched(size: int, new: Any, rng: np.random.Generator) -> float:
    """CPU seconds to find the nearest of `size` sketches."""
    known = np.empty((size, WIDTH), np.float32)
    for start in range(0, size, 10_000):
        known[start : start + 10_000] = rng.normal(size=known[start : start + 10_000].shape)
    known[size // 2] = new + 0.1 * known[size // 2]
    norms = np.einsum("ij,ij->i", known, known)
    best: list[int] = []
    took = timed(lambda: best.append(int(np.argmin(norms - 2 * (known @ new)))), 3)[1]
    assert best[-1] == size // 2
    print(f"{size:13d} {known.nbytes / 2**30:6.2f} {took * 1e3:9.1f}")
    return took


def placing() -> None:
    """`recovery.incremental.place` among families of ten."""
    from heritage.recovery.incremental import place
    from heritage.weights.checkpoint import Checkpoint
    from heritage.weights.fingerprinting import take_fingerprint
    from heritage.weights.write import write_safetensors

    rng, sizes, found = np.random.default_rng(1), [250, 500, 1_000, 2_000], []
    prints: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(max(sizes) + 1):
            if i % 10 == 0:
                root = rng.normal(size=(48, 32)).astype(np.float32)
            path = Path(folder) / "m.safetensors"
            write_safetensors(path, {"w": root + 0.02 * rng.normal(size=root.shape).astype(np.float32)})
            with Checkpoint.open(path) as checkpoint:
                prints.append(take_fingerprint(checkpoint))
            path.unlink()
    new = prints.pop()
    print(f"{'members':>13s} {'CPU ms':>9s}   placing one model among them by fingerprints")
    for size in sizes:
        families = {f"f{f}": {f"m{i}": prints[i] for i in range(f, f + 10)} for f in range(0, size, 10)}
        found.append(timed(lambda families=families: place("new", new, families))[1])
        print(f"{size:13d} {found[-1] * 1e3:9.1f}")
    power = slope(sizes, found)
    print(f"grows as size ^ {power:.2f}; at that rate 100,000 take {found[-1] * math.pow(50, power):.0f} s")


if __name__ == "__main__":
    parts: dict[str, Callable[..., None]] = {"index": index, "nearest": nearest}
    for chosen in sys.argv[1:] or parts:
        parts[chosen]()
