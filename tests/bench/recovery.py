"""Accuracy and cost of recovery, as one table.

    python tests/bench/recovery.py --seeds 301-303 [--counts 20,50,100,500] [--placed 50,100,500] [--large 40]
                                   [--skip accuracy]

Accuracy is measured on generated forests whose seeds were not used by fit_direction.py (those are 1 to 206). Cost is
CPU time: HERITAGE as it runs from files, in a process of its own; MoTHer as `recovery_mother.py` tells; and a plain
loop over pairs of loaded models. What would take minutes is timed on some pairs and multiplied, marked '~'; MoTHer's
tree is left out above 100 models, in its favour. 'From fingerprints' starts from fingerprints in memory; 'rows still'
are fingerprints of models each step of which leaves half of the embedding's rows as they are, so that every model might
be a TIES merge.

`load_file` maps files and reads nothing, so 'loading' adds up the values of each tensor once; 'bytes once' reads each
file by position into one buffer. Both take one thread.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev

import torch
from recovery_mother import mother
from recovery_prints import from_fingerprints, placing
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file, save_file

from heritage.recovery.models import open_folder
from heritage.recovery.recover import recover, recover_fingerprints
from heritage.testing.forests import KINDS, kept_forest
from heritage.testing.score import Score, pooled, score
from heritage.weights.fingerprinting import take_fingerprint

console = Console(width=140)
_PAIRS = 3000  # of the plain loop; more are extrapolated


def main() -> None:
    """Measure and print."""
    a = _arguments()
    torch.set_num_threads(1)
    if "accuracy" not in a.skip:
        console.print(accuracy(a.seeds, a.kinds.split(","), a.folder))
    if "cost" not in a.skip:
        console.print(cost([int(n) for n in a.counts.split(",")], a.folder))
        console.print(placing([int(n) for n in a.placed.split(",")], lambda n: _many(n, a.folder)))
    if a.large:
        console.print(large(a.large, a.folder))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="301-303")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "heritage-forests")
    parser.add_argument("--counts", default="20,50,100,500")
    parser.add_argument("--placed", default="50,100,500", help="sizes of families in which one more model is placed")
    parser.add_argument("--large", type=int, default=40, help="number of models of 50 MB; 0 to leave out")
    parser.add_argument("--skip", default="", help="accuracy, cost or both")
    return parser.parse_args()


def accuracy(seeds: str, kinds: list[str], folder: Path) -> Table:
    """One row a kind of forest, pooled over seeds, from weights and from fingerprints; their difference by forest."""
    first, _, last = seeds.partition("-")
    table = Table(title=f"accuracy on fresh forests (seeds {seeds})")
    for head in ("forest", "pairs", "ARI", "directed", "undirected", "precision", "roots", "merges", "relation", "ECE"):
        table.add_column(head)
    for kind in kinds:
        forests = [kept_forest(kind, seed, folder) for seed in range(int(first), int(last or first) + 1)]
        shares = []
        for name, method in (("weights", _from_weights), ("fingerprints", _from_fingerprints)):
            scores = [score(truth, method(place)) for place, truth in forests]
            shares.append([s.directed / max(1, s.pairs) for s in scores])
            table.add_row(f"{kind}, {name}", *_cells(pooled(scores)))
        less = [w - p for w, p in zip(*shares, strict=True)]
        spread = f", standard deviation {stdev(less):.3f}" if len(less) > 1 else ""
        table.add_row(f"{kind}, weights less fingerprints", "", "", f"{mean(less):+.3f}{spread}")
    return table


def _from_weights(place: Path) -> dict[str, list]:
    with open_folder(place) as (models, _):
        return recover(models).document()


def _from_fingerprints(place: Path) -> dict[str, list]:
    with open_folder(place) as (models, _):
        return recover_fingerprints({m.name: take_fingerprint(m.weights) for m in models}).document()


def _cells(s: Score) -> list[str]:
    return [
        str(s.pairs),
        f"{s.ari:.3f}",
        _share(s.directed, s.pairs),
        _share(s.undirected, s.pairs),
        _share(s.right, s.edges),
        f"{s.roots}/{s.families}",
        f"{s.merges}/{s.all_merges}",
        _share(s.labelled, s.directed),
        f"{s.calibration_error():.3f}",
    ]


def _share(hit: int, count: int) -> str:
    return f"{hit / count:.3f}" if count else "-"


def cost(counts: list[int], folder: Path) -> Table:
    """CPU seconds for N models of 0.2 to 0.3 MB, all of one family for the pairwise methods."""
    table = Table(title="CPU seconds, models of about 0.25 MB")
    heads = ("models", "HERITAGE", "its peak MB", "from fingerprints", "rows still", "pairwise loop")
    for head in (*heads, "MoTHer as published", "last step once", "rule alone", "MoTHer / HERITAGE"):
        table.add_column(head)
    for n in counts:
        place = _many(n, folder)
        runs = [_alone(place) for _ in range(3)]
        ours, peak = min(r[1] for r in runs), max(r[2] for r in runs)
        files = sorted(place.glob("*.safetensors"))
        theirs, loop = mother(files), _loop(files)
        ratio = f"{theirs.published / ours:.0f}"
        peer = [f"~{v:.1f}" for v in (theirs.published, theirs.once, theirs.rule)]
        prints = [f"{from_fingerprints(_many(n, folder, still)):.3f}" for still in (False, True)]
        table.add_row(str(n), f"{ours:.3f}", f"{peak:.0f}", *prints, _seconds(loop), *peer, ratio)
    return table


def _alone(place: Path) -> tuple[float, float, float]:
    """Wall and CPU seconds, and peak MB, of a recovery in a process of its own, without its imports."""
    ran = subprocess.run([sys.executable, "-c", _CHILD, str(place)], capture_output=True, text=True, check=True)
    wall, cpu, peak = json.loads(ran.stdout)
    return wall, cpu, peak


def _many(n: int, folder: Path, still: bool = False) -> Path:
    """`n` models like a small transformer; `still`: every step moves half of the rows of the embedding."""
    shapes = {"embed.weight": (64, 48), "head.weight": (10, 48)}
    for i in range(2):
        shapes |= {f"layer.{i}.{k}.weight": (48, 48) for k in ("query", "key", "value", "attention.output.dense")}
        shapes |= {f"layer.{i}.up.weight": (144, 48), f"layer.{i}.down.weight": (48, 144), f"layer.{i}.up.bias": (144,)}
        shapes |= {f"layer.{i}.norm.weight": (48,)}
    return _planted(folder / f"{'still' if still else 'many'}-{n}", n, shapes, still)


def _cpu(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _seconds(measured: tuple[float, bool]) -> str:
    return f"{'~' if measured[1] else ''}{measured[0]:.1f}"


def _loop(files: list[Path]) -> tuple[float, bool]:
    """CPU seconds of the squared distance of every pair, all models in memory."""
    states = [load_file(f) for f in files]
    pairs = list(combinations(range(len(files)), 2))
    chosen = pairs if len(pairs) <= _PAIRS else pairs[:_PAIRS]

    def distance(i: int, j: int) -> float:
        a, b = states[i], states[j]
        return sum(float(((a[k] - b[k]) ** 2).sum()) for k in a if k in b and a[k].shape == b[k].shape)

    torch.set_num_threads(1)
    seconds = _cpu(lambda: [distance(i, j) for i, j in chosen]) * len(pairs) / len(chosen)
    return seconds, len(chosen) < len(pairs)


_CHILD = """
import json, sys, time
from pathlib import Path
from heritage.recovery.models import open_folder
from heritage.recovery.recover import recover
import scipy.optimize, scipy.sparse.csgraph
wall, cpu = time.perf_counter(), time.process_time()
with open_folder(Path(sys.argv[1])) as (models, _):
    recover(models)
peak = int(next(v for v in open("/proc/self/status") if v.startswith("VmHWM")).split()[1]) / 1024
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu, peak]))
"""


def large(n: int, folder: Path) -> Table:
    """Wall, CPU and memory for `n` models of 50 MB against loading and touching each file once."""
    place = _large_models(n, folder)
    files = sorted(place.glob("*.safetensors"))
    once, loading = _best(lambda: _read_once(files)), _best(lambda: _touch(files))
    runs = [_alone(place) for _ in range(3)]
    wall, cpu, peak = (min(r[0] for r in runs), min(r[1] for r in runs), max(r[2] for r in runs))
    theirs = mother(files)
    table = Table(title=f"{n} models of 50 MB")
    for head in ("what", "wall s", "CPU s", "HERITAGE, wall", "HERITAGE, CPU"):
        table.add_column(head)
    table.add_row(f"HERITAGE (peak {peak:.0f} MB)", f"{wall:.2f}", f"{cpu:.2f}", "1", "1")
    for name, (w, c) in (("bytes once", once), ("loading once with load_file", loading)):
        table.add_row(name, f"{w:.2f}", f"{c:.2f}", f"{wall / w:.1f} times", f"{cpu / c:.1f} times")
    published = f"MoTHer as published (groups of pairs differ by {theirs.spread:.0%})"
    for name, c in ((published, theirs.published), ("its last step once", theirs.once), ("rule alone", theirs.rule)):
        table.add_row(name, "", f"~{c:.0f}", "", f"1 / {c / cpu:.0f}")
    return table


def _best(work: Callable[[], None]) -> tuple[float, float]:
    """Least wall and CPU seconds of three runs."""
    runs = []
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        runs.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(r[0] for r in runs), min(r[1] for r in runs)


def _read_once(files: list[Path]) -> None:
    buffer = memoryview(bytearray(2**20))
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def _touch(files: list[Path]) -> None:
    for f in files:
        for v in load_file(f).values():
            float(v.sum())


def _large_models(n: int, folder: Path) -> Path:
    width = 512
    shapes = {"embed.weight": (1800, width), "head.weight": (10, width), "norm.weight": (width,)}
    for i in range(4):
        kinds = ("query", "key", "value", "attention.output.dense")
        shapes |= {f"layer.{i}.{k}.weight": (width, width) for k in kinds}
        shapes |= {f"layer.{i}.up.weight": (4 * width - 200, width), f"layer.{i}.down.weight": (width, 4 * width - 200)}
        shapes |= {f"layer.{i}.up.bias": (4 * width - 200,), f"layer.{i}.norm.weight": (width,)}
    return _planted(folder / f"large-{n}", n, shapes)


def _planted(place: Path, n: int, shapes: dict[str, tuple[int, ...]], still: bool = False) -> Path:
    """A root, ten children by random steps, and children of those: only sizes matter here, and what stands `still`."""
    place.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)

    def noise(scale: float) -> dict[str, torch.Tensor]:
        return {k: scale * torch.randn(s, generator=generator) for k, s in shapes.items()}

    parents = [noise(0.04)]
    for i in range(n):
        path = place / f"{i:03d}.safetensors"
        if path.exists():
            continue
        step = noise(0.002 if i else 0.0)
        if still:
            step["embed.weight"] *= torch.rand((len(step["embed.weight"]), 1), generator=generator) < 0.5
        state = {k: v + step[k] for k, v in parents[i % len(parents)].items()}
        parents += [state] if 0 < i <= 10 else []
        save_file(state, path)
    return place


if __name__ == "__main__":
    main()
    console.print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
