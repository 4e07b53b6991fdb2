"""How often the root of a family is right, by architecture and by how sure recovery is, from weights.

    python tests/bench/roots.py --seeds 601-612 [--kinds hard,full] [--folder DIR]

Prints, pooled over seeds: roots right of families of two or more, by architecture; the same by the chance that recovery
gives them; and the share of directed edges found, with its mean and standard deviation over seeds.
"""

import argparse
import tempfile
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from fit_direction import _families, _true_pairs

from heritage.recovery.metrics import METRICS
from heritage.recovery.models import open_folder
from heritage.recovery.recover import recover
from heritage.recovery.rooted import heritage_tree
from heritage.testing.forests import kept_forest
from heritage.testing.score import score

_BINS = (0.0, 0.5, 0.7, 0.9, 0.97, 1.01)
Root = tuple[str, float, bool]


def main() -> None:
    """Recover, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="601-612")
    parser.add_argument("--kinds", default="hard,full")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "heritage-forests")
    a = parser.parse_args()
    first, _, last = a.seeds.partition("-")
    for kind in a.kinds.split(","):
        forests = [kept_forest(kind, seed, a.folder) for seed in range(int(first), int(last or first) + 1)]
        report(kind, [r for place, truth in forests for r in roots(place, truth)])
        shares = np.array([directed(place, truth) for place, truth in forests])
        spread = f"{shares.mean():.3f} +- {shares.std():.3f}"
        print(f"  directed: {spread} over {len(shares)} seeds, least {shares.min():.3f}")


def roots(place: Path, truth: dict[str, Any]) -> list[Root]:
    """Architecture, chance, and whether it is right, of the root of every family of two or more."""
    models = {m["id"]: m for m in truth["models"]}
    out = []
    for found in _families(place):
        at, _ = _true_pairs(found, truth)
        true = {i for n, i in at.items() if models[n]["relation"] == "root"}
        said = heritage_tree(found.family, METRICS["auto"](found.family)).roots
        kind = models[next(iter(at))]["family"].split("-")[1]
        out.append((kind, min(said.values(), default=0.0), set(said) == true))
    return out


def directed(place: Path, truth: dict[str, Any]) -> float:
    """Share of the true edges of one forest that were found."""
    with open_folder(place) as (models, _):
        s = score(truth, recover(models).document())
    return s.directed / s.pairs


def report(kind: str, found: list[Root]) -> None:
    """Print the lines of one kind of forest."""
    by: dict[str, list[bool]] = defaultdict(list)
    for architecture, _, right in found:
        by[architecture].append(right)
    parts = ", ".join(f"{k} {sum(v)}/{len(v)}" for k, v in sorted(by.items()))
    print(f"{kind}: roots {sum(r for *_, r in found)}/{len(found)} ({parts})")
    chance, right = np.array([c for _, c, _ in found]), np.array([r for *_, r in found])
    for low, high in pairwise(_BINS):
        here = (chance >= low) & (chance < high)
        if here.any():
            said, hit = chance[here].mean(), right[here].mean()
            print(f"  chance {low:.2f}-{min(high, 1):.2f}: {here.sum()}, mean {said:.2f}, right {hit:.2f}")


if __name__ == "__main__":
    main()
