"""What the fleet analyses cost against their peers, in one table: distances, edges, masks, the whole suite.

    python tests/bench/fleet.py                    # 14,500 models, a mask of 4,096 x 11,008, `configs all` on 15,000
    python tests/bench/fleet.py --models 1000 --rows 512 --columns 2048 --suite 1000     # a taste

Peers: the published loops, the gower package, R's cluster::daisy, sklearn, scipy, faiss. What is not installed is named
as absent. Slow peers do a part of the work and are scaled, marked '~'. Wall seconds depend on what else the machine
does; CPU seconds count all threads. `limit` is what a release must keep, in wall seconds on two cores of its own.
"""

import argparse
import importlib.util
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Row:
    """One system at one task; seconds are of the whole task, `ratio` is its CPU time over ours."""

    task: str
    system: str
    wall_s: float
    cpu_s: float
    scaled: bool = False
    limit_s: float | None = None
    remark: str = ""


def beside(name: str) -> ModuleType:
    """The script `name` of this folder, under a name that no peer has."""
    spec = importlib.util.spec_from_file_location(f"bench_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def distances(models: int, table: Path) -> list[Row]:
    """Gower matrices, neighbours, edges, mutations."""
    gower = beside("gower")
    fleet = gower.fleet(table, models)
    edge_lines = gower.edges_and_mutations(fleet)
    groups = [
        (f"full matrix, {models:,} models", gower.full_matrix(fleet), {"ours, numba, warm": 2.0}),
        ("10 nearest neighbours of each", gower.ten_nearest(fleet), {"ours, numba": 1.5}),
        (f"drift of {gower.EDGES:,} edges", edge_lines[:2], {}),
        (f"mutations of {gower.EDGES:,} edges", edge_lines[2:], {}),
    ]
    return [
        Row(task, line.name, line.wall_s, line.cpu_s, line.scaled, limits.get(line.name), line.remark)
        for task, lines, limits in groups
        for line in lines
    ]


def masks(rows: int, columns: int) -> list[Row]:
    """Hamming search and all pairs of a mask's columns."""
    hamming = beside("hamming")
    mask = hamming.mask_like_wanda(rows, columns)
    packed = hamming.pack(mask)
    groups = [
        (f"top {hamming.TOP} of one column, {rows:,} x {columns:,}", hamming.one_query(mask, packed),
         {"ours, packed": 0.003}),
        ("all pairs of columns", hamming.every_pair(mask, packed), {"ours, numba popcount": 3.0}),
    ]  # fmt: skip
    return [
        Row(task, name, wall, cpu, mark == "~", limits.get(name))
        for task, lines, limits in groups
        for name, wall, cpu, mark in lines
    ]


def suite(models: int, table: Path) -> list[Row]:
    """`heritage configs all` as a user runs it: reading, twelve studies, pictures, the page."""
    import numpy as np
    import pandas as pd

    fleet = beside("gower").fleet(table, models)
    rng = np.random.default_rng(1)
    pairs = rng.integers(0, models, (models // 3, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        fleet.frame.to_csv(folder / "configs.csv", index=False)
        ids = fleet.frame["modelId"].to_numpy(dtype=object)
        edges = pd.DataFrame({"parent_id": ids[pairs.min(axis=1)], "child_id": ids[pairs.max(axis=1)]})
        edges.to_csv(folder / "edges.csv", index=False)
        command = [sys.executable, "-m", "heritage.cli", "configs", "all", "--table", str(folder / "configs.csv"),
                   "--edges", str(folder / "edges.csv"), "-o", str(folder / "out")]  # fmt: skip
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        files = sum(1 for f in (folder / "out").rglob("*") if f.is_file())
    remark = f"peak {after.ru_maxrss / 1e6:.2f} GB of 2, {files} files"
    return [Row(f"configs all, {models:,} models, {len(edges):,} edges", "ours", wall, cpu, False, 60.0, remark)]


def _met(row: Row, limit_s: float) -> str:
    """Whether the limit holds; CPU time within it means that a machine of its own would keep it."""
    if row.wall_s <= limit_s:
        return " met"
    return " MISSED on a busy machine, CPU within" if row.cpu_s <= limit_s else " MISSED"


def show(rows: list[Row]) -> None:
    """Print the table; the ratio is of CPU time against ours at the same task, warm where there are several."""
    print(f"\n{'task':<44}{'system':<26}{'wall s':>12}{'CPU s':>12}{'ratio':>11}{'limit s':>9}  remark")
    last = ""
    for row in rows:
        own = [r for r in rows if r.task == row.task and r.system.startswith("ours")]
        base = next((r for r in own if r.limit_s is not None), own[0])
        mark = "~" if row.scaled else " "
        met = "" if row.limit_s is None else _met(row, row.limit_s)
        limit = "" if row.limit_s is None else f"{row.limit_s:g}"
        told = f"{mark}{row.wall_s:>11,.4f}{mark}{row.cpu_s:>11,.4f}{row.cpu_s / max(base.cpu_s, 1e-9):>10,.1f}x"
        print(f"{row.task if row.task != last else '':<44}{row.system:<26}{told}{limit:>9} {met} {row.remark}")
        last = row.task


def main() -> None:
    """Measure and print."""
    gower = beside("gower")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=14_500)
    parser.add_argument("--rows", type=int, default=4_096)
    parser.add_argument("--columns", type=int, default=11_008)
    parser.add_argument("--suite", type=int, default=15_000, help="models of `configs all`; 0 leaves it out")
    parser.add_argument("--table", type=Path, default=gower.SAMPLE)
    options = parser.parse_args()
    found = distances(options.models, options.table) + masks(options.rows, options.columns)
    if options.suite:
        found += suite(options.suite, options.table)
    show(found)


if __name__ == "__main__":
    main()
