"""What one machine holds, and what grows how: prints tables for docs/scale.md.

    python tests/bench/scale.py index        # the lineage index at 1,000 to 100,000 versions
    python tests/bench/scale.py registry     # an index from 5,000 real MLflow versions, and reading them
    python tests/bench/scale.py registry=500 # the same with fewer
    python tests/bench/scale.py nearest      # the nearest of 100,000 fingerprints, and placing a model among thousands

CPU seconds are of this process; wall seconds depend on what else the machine does.
"""

import dataclasses
import importlib.util
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from heritage.lineage.codec import MANIFEST_PATH, encode
from heritage.lineage.index import LineageIndex
from heritage.lineage.tags import index_tags
from heritage.local import seaweed
from heritage.records import MadeBy, Manifest, Origin, ParentEdge, Relation
from heritage.registry import Registry
from heritage.storage import ObjectStore

VERSIONS = 5_000
FINGERPRINTS = 100_000
WIDTH = 4_096  # of a fingerprint's sketch over the whole model


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
    forest, sizes = beside("lineage_index"), [1_000, 10_000, 100_000]
    rows = []
    for size in sizes:
        forest.VERSIONS, forest.EDGES = size, size * 11 // 10
        rows.append(indexed(forest.registry()))
        print("  ".join(f"{name}: {value:,.2f}" for name, value in rows[-1].items()))
    for name in ("rebuild ms", "all descendants ms", "add 1,000 ms"):
        print(f"{name} grows as size ^ {slope(sizes, [row[name] for row in rows]):.2f}")
    last = rows[-1]
    each_us = last["ancestors of the newest ms"] / last["their number"] * 1e3
    print(f"an ancestor takes {each_us:.1f} us: 2 ms are enough for {2e3 / each_us:,.0f} ancestors")


def indexed(entries: list[Any]) -> dict[str, float]:
    """CPU milliseconds of what is done with one index."""
    root, leaf = entries[0].version.digest, entries[-1].version.digest
    new = [renamed(entry, i) for i, entry in enumerate(entries[-1_000:])]
    picked = random.Random(0).sample(entries, 300)
    with tempfile.TemporaryDirectory() as folder, LineageIndex(Path(folder) / "i.sqlite") as lineage:
        rebuild = timed(lambda: lineage.rebuild(entries))[1]
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


def renamed(entry: Any, i: int) -> Any:
    """The same content under another name, as a version that is new to the index."""
    return dataclasses.replace(entry, version=dataclasses.replace(entry.version, name="new", version=str(i + 1)))


def registry(count: int = VERSIONS) -> None:
    """5,000 real versions: a run, a manifest file and a version with tags each, on SQLite."""
    from mlflow.tracking import MlflowClient

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = seaweed.start(folder / "s3")
        try:
            uri = f"sqlite:///{folder / 'mlflow.db'}"
            client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            experiment = client.create_experiment("heritage", artifact_location=str(folder / "files"))
            started = time.perf_counter()
            for i in range(count):
                add(client, experiment, folder / "files", i)
            print(f"{count} versions made in {time.perf_counter() - started:.0f} s")
            own = Registry(uri, ObjectStore.connect(server.settings))
            rebuilt(own, folder)
        finally:
            seaweed.stop(server.process, folder / "s3", grace_s=1.0)


def add(client: Any, experiment: str, files: Path, i: int) -> None:
    """Version number `i`, made from an earlier one."""
    digest, model = f"{i:064x}", f"scale-{i // 100}"
    parents = (ParentEdge(f"{(i - 1) // 2:064x}", Relation.FINETUNE, Origin.DECLARED),) if i else ()
    manifest = Manifest(digest, model, (), "float32", 15, MadeBy("0.1.0"), "2026-11-22T00:00:00+00:00", parents=parents)
    run = client.create_run(experiment).info.run_id
    path = files / run / "artifacts" / MANIFEST_PATH
    path.parent.mkdir(parents=True)
    path.write_bytes(encode(manifest))
    if i % 100 == 0:
        client.create_registered_model(model)
    client.create_model_version(model, f"runs:/{run}/weights", run, tags=index_tags(manifest), await_creation_for=0)


def rebuilt(own: Registry, folder: Path) -> None:
    """Read everything and fill the index, then read what is new."""
    kept: list[Any] = []
    read_wall, read_cpu = timed(lambda: kept.extend(own.entries()))
    broken = [entry.problem for entry in kept if entry.problem]
    with LineageIndex(folder / "index.sqlite") as lineage:
        fill_wall, fill_cpu = timed(lambda: lineage.rebuild(kept))
        print(f"{'':34s} {'wall s':>8s} {'CPU s':>8s}")
        print(f"{f'read {len(kept)} versions and manifests':34s} {read_wall:8.2f} {read_cpu:8.2f}")
        print(f"{'rebuild the index from them':34s} {fill_wall:8.2f} {fill_cpu:8.2f}")
        total = read_cpu + fill_cpu
        print(f"together {total:.1f} s of CPU of 5 s: {'kept' if total < 5 else 'MISSED'}; unreadable: {len(broken)}")


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


def beside(name: str) -> ModuleType:
    """The script `name` of this folder."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    parts: dict[str, Callable[..., None]] = {"index": index, "registry": registry, "nearest": nearest}
    for chosen in sys.argv[1:] or parts:
        part, _, size = chosen.partition("=")
        parts[part](*[int(size)] if size else [])
