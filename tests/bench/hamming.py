"""What Hamming search between zero masks costs: ours, the published loop, scipy, sklearn, faiss, a matrix product.

    python tests/bench/hamming.py                      # 4,096 x 11,008, under two minutes
    python tests/bench/hamming.py --rows 512 --columns 2048

Slow ways run on fewer columns and are scaled, marked '~'. CPU seconds count all threads of the process.
"""

import argparse
import importlib
import time
from collections.abc import Callable

import numpy as np

from heritage.masks.hamming import PackedMask, all_pairs, nearest, pack

TOP = 128


def mask_like_wanda(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Half of each row kept, columns of uneven weight, as pruning by weight times input norm leaves them."""
    rng = np.random.default_rng(seed)
    norms = rng.lognormal(0, 0.4, columns).astype(np.float32)
    scores = np.abs(rng.standard_normal((rows, columns), dtype=np.float32)) * norms
    return scores > np.median(scores, axis=1, keepdims=True)


def measured(work: Callable[[], object], repeats: int = 1) -> tuple[float, float]:
    """Wall and CPU seconds of one of `repeats` runs of `work`."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - wall) / repeats, (time.process_time() - cpu) / repeats


def one_query(mask: np.ndarray, packed: PackedMask) -> list[tuple[str, float, float, str]]:
    """The 128 features most like one."""
    from scipy.spatial.distance import cdist
    from sklearn.metrics import pairwise_distances

    columns = np.ascontiguousarray(mask.T)
    nearest(packed, 0, TOP)
    lines = [("ours, packed", *measured(lambda: nearest(packed, 7, TOP), 30), "")]
    few = columns[:2_000]
    share = len(few) / len(columns)

    def loop() -> None:
        sorted(((i, int((columns[7] != c).sum())) for i, c in enumerate(few)), key=lambda x: x[1])

    lines.append(scaled("published loop", measured(loop), share))
    lines.append(scaled("scipy cdist", measured(lambda: cdist(columns[7:8], few, "hamming")), share))
    lines.append(scaled("sklearn pairwise", measured(lambda: pairwise_distances(columns[7:8], few, "hamming")), share))
    try:
        faiss = importlib.import_module("faiss")
    except ImportError:
        print("faiss is not installed: left out")
        return lines
    index = faiss.IndexBinaryFlat(packed.words.shape[1] * 64)
    index.add(packed.words.view(np.uint8))
    lines.append(
        ("faiss IndexBinaryFlat", *measured(lambda: index.search(packed.words[7:8].view(np.uint8), TOP + 1), 5), "")
    )
    return lines


def scaled(name: str, seconds: tuple[float, float], share: float) -> tuple[str, float, float, str]:
    """A line scaled up from `share` of the work."""
    return name, seconds[0] / share, seconds[1] / share, "~"


def every_pair(mask: np.ndarray, packed: PackedMask) -> list[tuple[str, float, float, str]]:
    """All distances."""
    all_pairs(pack(mask[:, :200]))
    lines = [("ours, numba popcount", *measured(lambda: all_pairs(packed)), "")]
    some = PackedMask(packed.words[:1_500], packed.length)
    share = (len(some) / len(packed)) ** 2
    lines.append(scaled("ours, numpy", measured(lambda: all_pairs(some, "numpy")), share))
    columns = mask.T[: len(some)].astype(np.float32)

    def product() -> None:
        kept = columns.sum(axis=1)
        _ = kept[:, None] + kept[None, :] - 2 * (columns @ columns.T)

    lines.append(scaled("float32 matrix product", measured(product), share))
    return lines


def show(title: str, lines: list[tuple[str, float, float, str]]) -> None:
    """Print a table; ratios are of CPU time, against the first line."""
    print(f"\n{title}\n{'':<26}{'wall ms':>14}{'CPU ms':>14}{'ratio':>11}")
    for name, wall, cpu, mark in lines:
        print(
            f"{name:<26}{mark or ' '}{wall * 1e3:>13,.2f}{mark or ' '}{cpu * 1e3:>13,.2f}{cpu / lines[0][2]:>10,.1f}x"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4_096)
    parser.add_argument("--columns", type=int, default=11_008)
    options = parser.parse_args()
    mask = mask_like_wanda(options.rows, options.columns)
    wall, cpu = measured(lambda: pack(mask))
    packed = pack(mask)
    print(f"mask {mask.shape}, packed to {packed.words.nbytes / 1e6:.1f} MB in {wall:.2f} s ({cpu:.2f} s CPU), once")
    show(f"{TOP} features most like one", one_query(mask, packed))
    show("all pairs", every_pair(mask, packed))


if __name__ == "__main__":
    main()
