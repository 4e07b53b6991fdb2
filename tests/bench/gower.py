"""What distances between configurations cost: ours, the published loops, sklearn, the gower package, R's daisy, faiss.

    python tests/bench/gower.py                # 14,500 models, some minutes
    python tests/bench/gower.py --models 2000  # a taste

Peers that are not installed are left out and said so. Slow ones run on fewer pairs and are scaled by the number of
pairs, marked '~'. CPU seconds count all threads of the process; wall seconds depend on what else the machine does.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

import heritage.configs
from heritage.configs.drift import drift_edges
from heritage.configs.edges import edges_of
from heritage.configs.fields import FEATURES, Kind
from heritage.configs.gower import Gower, encode, matrix, nearest
from heritage.configs.mutations import mutation_rates
from heritage.configs.table import ConfigTable, load_configs

SAMPLE = Path(heritage.configs.__file__).parent / "sample" / "configs.csv"
EDGES = 5_000
MISSING = 0.58


@dataclass(frozen=True, slots=True)
class Line:
    """One measured way: what, wall and CPU seconds, whether scaled from fewer pairs, a remark."""

    name: str
    wall_s: float
    cpu_s: float
    scaled: bool = False
    remark: str = ""


def fleet(path: Path, n: int, seed: int = 0) -> ConfigTable:
    """`n` models resampled from a table, numbers varied, 58 % of the values missing."""
    rng = np.random.default_rng(seed)
    table = load_configs(path)
    frame = table.frame.iloc[rng.integers(0, len(table), n)].reset_index(drop=True)
    for name in FEATURES:
        if name not in frame:
            frame[name] = np.nan
        if name in ("config_max_position_embeddings", "config_vocab_size", "config_rope_theta"):
            frame[name] = frame[name] * rng.choice([0.5, 1.0, 2.0], n)
        frame[name] = frame[name].where(rng.random(n) >= MISSING)
    frame["modelId"] = [f"o/m{i}" for i in range(n)]
    return ConfigTable(frame, table.fields, table.quarantine)


def measured(name: str, work: Callable[[], object], share: float = 1.0, remark: str = "") -> Line:
    """Time `work`, which did `share` of the whole."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Line(name, wall / share, cpu / share, share != 1.0, remark)


def published_distance(x: pd.Series, y: pd.Series, kinds: dict[str, Kind]) -> float:
    """The published definition, one field after the other, as the notebooks compute it."""
    total, count = 0.0, 0
    for name, kind in kinds.items():
        if name not in x.index or name not in y.index:
            continue
        a, b = x[name], y[name]
        if pd.isna(a) or pd.isna(b):
            continue
        if kind is Kind.NUMERIC:
            largest = max(abs(float(a)), abs(float(b)))
            total += abs(float(a) - float(b)) / largest if largest > 0 else 0.0
        else:
            total += float(str(a) != str(b))
        count += 1
    return total / count if count else 1.0


def row_distance(x: np.ndarray, y: np.ndarray, kinds: list[Kind]) -> float:
    """The same definition on bare rows, for a library that calls it pair by pair."""
    parts = []
    for a, b, kind in zip(x, y, kinds, strict=True):
        if a is None or b is None or a != a or b != b:
            continue
        if kind is Kind.NUMERIC:
            largest = max(abs(a), abs(b))
            parts.append(abs(a - b) / largest if largest > 0 else 0.0)
        else:
            parts.append(float(a != b))
    return sum(parts) / len(parts) if parts else 1.0


def full_matrix(table: ConfigTable) -> list[Line]:
    """All pairs."""
    encoded, classic = encode(table), encode(table, Gower("range"))
    n = len(table)
    out = np.empty((n, n), np.float32)
    lines = [measured("ours, numba, fresh array", lambda: matrix(encoded.take(np.arange(n))))]
    matrix(encoded, out=out)
    lines.append(measured("ours, numba, warm", lambda: matrix(encoded, out=out)))
    lines.append(measured("ours, numba, warm, range", lambda: matrix(classic, out=out)))
    rows = encoded.take(np.arange(min(n, 1_000)))
    lines.append(measured("ours, numpy", lambda: matrix(rows, encoded, engine="numpy"), len(rows) / n))
    kinds = {f.name: f.kind for f in encoded.fields}
    few = table.frame.head(25)
    loop = lambda: [published_distance(few.iloc[i], few.iloc[j], kinds) for i in range(25) for j in range(i)]  # noqa: E731
    return [*lines, measured("published loop", loop, 300 / (n * (n - 1) / 2)), *matrix_peers(table, n)]


def matrix_peers(table: ConfigTable, n: int) -> list[Line]:
    """The gower package, R's daisy, faiss: each with what it does to missing values."""
    fields = encode(table).fields
    small = min(n, 2_000)
    plain = table.frame[[f.name for f in fields]].head(small).copy()
    share = (small / n) ** 2
    lines = []
    package = peer("gower")
    if package is not None:
        numeric = [f.kind is Kind.NUMERIC for f in fields]
        filled = plain.copy()
        for f in fields:
            filled[f.name] = filled[f.name].astype(float if f.kind is Kind.NUMERIC else str)
        found: list[np.ndarray] = []
        flags = np.array([not v for v in numeric])
        line = measured("gower package", lambda: found.append(package.gower_matrix(filled, cat_features=flags)), share)
        lines.append(
            Line(*(line.name, line.wall_s, line.cpu_s, line.scaled), f"{np.isnan(found[0]).mean():.1%} of it NaN")
        )
    lines += daisy(plain, share)
    return lines


def daisy(plain: pd.DataFrame, share: float) -> list[Line]:
    """cluster::daisy of R, the classical reference; empty where R is absent."""
    program = shutil.which("Rscript")
    if program is None:
        print("R is not installed: daisy left out")
        return []
    with tempfile.TemporaryDirectory() as folder:
        plain.to_csv(Path(folder) / "t.csv", index=False)
        code = (f"x <- read.csv('{folder}/t.csv', stringsAsFactors=TRUE); s <- system.time(d <- cluster::daisy(x, "
                "metric='gower')); cat(s[['elapsed']], s[['user.self']])")  # fmt: skip
        done = subprocess.run([program, "-e", code], capture_output=True, text=True, check=True)
    wall, cpu = (float(v) / share for v in done.stdout.split()[-2:])
    return [Line("R cluster::daisy", wall, cpu, True, "range mode, skips missing")]


def ten_nearest(table: ConfigTable) -> list[Line]:
    """Ten neighbours of every model."""
    encoded = encode(table)
    nearest(encoded.take(np.arange(20)), 10)
    lines = [measured("ours, numba", lambda: nearest(encoded, 10))]
    kinds = {f.name: f.kind for f in encoded.fields}
    from sklearn.neighbors import NearestNeighbors

    rows = table.frame[list(kinds)].to_numpy(dtype=object)
    codes = np.arange(len(rows), dtype=float)[:, None]

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        x, y = rows[int(a[0])], rows[int(b[0])]
        return row_distance(x, y, list(kinds.values()))

    finder = NearestNeighbors(n_neighbors=10, metric=distance, algorithm="brute").fit(codes)
    lines.append(measured("sklearn, callable", lambda: finder.kneighbors(codes[:5]), 5 / len(rows)))
    faiss = peer("faiss")
    if faiss is not None:
        lines.append(faiss_nearest(faiss, table, kinds))
    return lines


def faiss_nearest(faiss: object, table: ConfigTable, kinds: dict[str, Kind]) -> Line:
    """faiss with L1 on scaled numbers and one-hot words: another distance, as it cannot skip missing values."""
    parts = []
    for name, kind in kinds.items():
        column = table.frame[name]
        if kind is Kind.NUMERIC:
            spread = float(column.max() - column.min()) or 1.0
            parts.append(((column - column.min()) / spread).fillna(0).to_numpy(np.float32)[:, None])
        else:
            parts.append(pd.get_dummies(column.astype(str)).to_numpy(np.float32) / 2)
    flat = np.ascontiguousarray(np.concatenate(parts, axis=1), dtype=np.float32)
    index = faiss.IndexFlat(flat.shape[1], faiss.METRIC_L1)  # type: ignore[attr-defined]
    index.add(flat)
    some = flat[:500]
    return measured("faiss flat L1", lambda: index.search(some, 11), len(some) / len(flat), "cannot skip missing")


def edges_and_mutations(table: ConfigTable) -> list[Line]:
    """Drift of 5,000 edges and the mutation table."""
    rng = np.random.default_rng(1)
    pairs = rng.integers(0, len(table), (EDGES + 500, 2))
    ids = table.frame["modelId"].to_numpy(dtype=object)
    raw = pd.DataFrame({"parent_id": ids[pairs[:, 0]], "child_id": ids[pairs[:, 1]]})
    raw = raw[raw["parent_id"] != raw["child_id"]].drop_duplicates().head(EDGES)
    edges = edges_of(raw)
    kinds = {f.name: f.kind for f in table.features()}
    frame = table.frame
    some = list(raw.head(100).itertuples(index=False, name=None))

    def loop() -> None:
        for parent, child in some:  # looked up by a scan of all ids, as published
            published_distance(
                frame[frame["modelId"] == parent].iloc[0], frame[frame["modelId"] == child].iloc[0], kinds
            )

    def mutation_loop() -> None:
        for parent, child in some:
            a, b = frame[frame["modelId"] == parent].iloc[0], frame[frame["modelId"] == child].iloc[0]
            for name in kinds:
                _ = pd.isna(a[name]) or pd.isna(b[name]) or str(a[name]) != str(b[name])

    drift_edges(table, edges)
    return [
        measured("ours: drift of edges", lambda: drift_edges(table, edges)),
        measured("published loop: drift", loop, len(some) / EDGES),
        measured("ours: mutation table", lambda: mutation_rates(table, edges)),
        measured("published loop: mutations", mutation_loop, len(some) / EDGES),
    ]


def peer(name: str) -> object | None:
    """The peer library `name`, None where absent; this script's own folder is no place to import from."""
    import importlib

    here = Path(__file__).resolve().parent
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != here]
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed: left out")
        return None


def show(title: str, lines: list[Line], against: str) -> None:
    """Print a table; the last column says how many times the CPU time of `against` a way takes."""
    base = next(line.cpu_s for line in lines if line.name == against)
    print(f"\n{title}\n{'':<28}{'wall s':>12}{'CPU s':>12}{'ratio':>11}")
    for line in lines:
        mark = "~" if line.scaled else " "
        times = f"{mark}{line.wall_s:>11,.3f}{mark}{line.cpu_s:>11,.3f}{line.cpu_s / base:>10,.1f}x"
        print(f"{line.name:<28}{times}  {line.remark}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=14_500)
    parser.add_argument("--table", type=Path, default=SAMPLE)
    options = parser.parse_args()
    table = fleet(options.table, options.models)
    holes = 1 - encode(table).valid.mean()
    print(f"{len(table):,} models, {len(table.features())} fields, {holes:.0%} missing")
    show("full matrix", full_matrix(table), "ours, numba, warm")
    show("ten nearest neighbours", ten_nearest(table), "ours, numba")
    lines = edges_and_mutations(table)
    show(f"{EDGES:,} edges", lines[:2], "ours: drift of edges")
    show("mutation table", lines[2:], "ours: mutation table")


if __name__ == "__main__":
    main()
