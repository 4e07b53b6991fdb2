"""What recovery says of families whose root was taken away, and whether siblings' steps tell that it is missing.

    python tests/bench/missing_root.py --seeds 1-6 [--kinds full,hard,five] [--folder DIR]

Every family is recovered twice, as it is and without its root. Steps of siblings from their parent are orthogonal; seen
from one of them that passes for the root, those of the others share its own step. Prints wrong edges, and how often the
mean cosine at the named root, over squared distances freed of shared directions, is above a threshold in either case.
"""

import argparse
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from heritage.recovery.architecture import group
from heritage.recovery.metrics import METRICS
from heritage.recovery.models import Model, open_folder
from heritage.recovery.recover import groups_of
from heritage.recovery.rooted import heritage_tree
from heritage.testing.forests import kept_forest


def main() -> None:
    """Recover, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1-6")
    parser.add_argument("--kinds", default="full,hard,five")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "heritage-forests")
    a = parser.parse_args()
    first, _, last = a.seeds.partition("-")
    seen: dict[bool, list[tuple[int, int, float]]] = {False: [], True: []}
    for kind in a.kinds.split(","):
        for seed in range(int(first), int(last or first) + 1):
            place, truth = kept_forest(kind, seed, a.folder)
            roots = {m["values"] for m in truth["models"] if m["relation"] == "root"}
            gone = {m["id"] for m in truth["models"] if m["values"] in roots}
            with open_folder(place) as (models, _):
                seen[False] += families(models, truth)
                seen[True] += families([m for m in models if m.name not in gone], truth)
    report(seen)


def families(models: list[Model], truth: dict[str, Any]) -> list[tuple[int, int, float]]:
    """Wrong edges, edges, and mean cosine at the root (NaN below two children) of every family of three or more."""
    true = {(p, m["id"]) for m in truth["models"] for p in (*m["parents"], *m["ancestors"])}
    out = []
    for members in group([m.signature for m in models]):
        for family in (f.family for f in groups_of([models[i] for i in members]) if f.family.count > 2):
            tree = heritage_tree(family, METRICS["auto"](family))
            names = [family.stack.models[i].name for i in family.members]
            wrong = sum((names[e.parent], names[e.child]) not in true for e in tree.edges)
            d = np.nansum(family.distances.squared[~family.heads], axis=0) * family.white
            root = next(iter(tree.roots), -1)
            children = [e.child for e in tree.edges if e.parent == root and e.reason in ("cues", "low rank")]
            cosines = [
                (d[root, i] + d[root, j] - d[i, j]) / 2 / np.sqrt(max(d[root, i] * d[root, j], 1e-300))
                for i, j in combinations(children, 2)
            ]
            out.append((wrong, len(tree.edges), float(np.mean(cosines)) if cosines else np.nan))
    return out


def report(seen: dict[bool, list[tuple[int, int, float]]]) -> None:
    """Print one line a case, and one a threshold."""
    for absent, rows in seen.items():
        wrong, edges = sum(r[0] for r in rows), sum(r[1] for r in rows)
        told = np.isfinite([r[2] for r in rows]).mean()
        print(f"root {'absent' if absent else 'present'}: {len(rows)} families, {wrong} wrong of {edges} edges, "
              f"{told:.2f} have two children to compare")  # fmt: skip
    for least in (0.08, 0.1, 0.12, 0.15, 0.2):
        present, absent = (np.mean([r[2] > least for r in seen[k]]) for k in (False, True))
        print(f"cosine > {least}: {present:.3f} of families with their root, {absent:.3f} of those without")


if __name__ == "__main__":
    main()
