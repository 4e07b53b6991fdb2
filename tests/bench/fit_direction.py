"""Fits the weights of the direction cues and the calibration of confidences on generated forests.

    python tests/bench/fit_direction.py --seeds 1-16 [--kinds hard,hardbf,full,lora,five] [--folder DIR] [--write]
        [--only confidence]

Prints the table of `heritage/recovery/fitted.py` (and writes it with --write), with accuracy by cross-validation over
forests. Forests are kept in DIR, about half a minute each. Report accuracy on other seeds than these.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from heritage.recovery import confidence as confidence_module
from heritage.recovery import fitted, rooted
from heritage.recovery.architecture import group
from heritage.recovery.confidence import Claim
from heritage.recovery.cues import Cues
from heritage.recovery.direction import FEATURES
from heritage.recovery.metrics import METRICS
from heritage.recovery.models import open_folder
from heritage.recovery.recover import BY_PRINTS, BY_WEIGHTS, FoundFamily, groups_of
from heritage.recovery.sketched import PrintedModel
from heritage.testing.forests import kept_forest
from heritage.weights.fingerprinting import take_fingerprint

# physics says that every cue is positive; growth is held near one because it depends on the task more than others do,
# counted batches are held decisive, and zeros at what the densities of both kinds of filling give
PRIOR = {"growth": (1.0, 8.0), "growth_each": (1.0, 8.0), "batches": (9.0, 8.0), "filled": (2.3, 8.0)}
OTHERS = (0.0, 0.5)


def main() -> None:
    """Fit, print, write."""
    arguments = _arguments()
    first, _, last = arguments.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    kept = [(kind, seed) for kind in arguments.kinds.split(",") for seed in seeds]
    forests = [f for f in kept if not arguments.kept or (arguments.folder / f"{f[0]}-{f[1]}" / "truth.json").exists()]
    weights = dict(fitted.WEIGHTS)
    if arguments.only != "confidence":
        weights = _fit_weights([e for kind, seed in forests for e in _edges(kind, seed, arguments.folder)])
        fitted.WEIGHTS.update(weights)
    calibration = _fit_confidence([c for kind, seed in forests for c in _claims(kind, seed, arguments.folder)])
    text = _table(weights, calibration)
    print(text)
    if arguments.write:
        Path(fitted.__file__).write_text(text, encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="1-3")
    parser.add_argument("--kinds", default="hard,hardbf,full,lora,five")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "heritage-forests")
    parser.add_argument("--kept", action="store_true", help="use only forests that are in the folder already")
    parser.add_argument("--only", choices=["confidence"], help="keep the weights of the direction cues")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def _families(place: Path, by_prints: bool = False) -> Iterator[FoundFamily]:
    with open_folder(place) as (models, _):
        known = [PrintedModel(m.name, take_fingerprint(m.weights)) for m in models] if by_prints else models
        for members in group([m.signature for m in known]):
            found = groups_of([known[i] for i in members], BY_PRINTS if by_prints else BY_WEIGHTS)
            yield from (f for f in found if f.family.count > 1)


def _true_pairs(found: FoundFamily, truth: dict[str, Any]) -> tuple[dict[str, int], set[tuple[int, int]]]:
    """Position of every name (a twin has its representative's), and the true edges between positions."""
    place = {found.family.stack.models[m].name: i for i, m in enumerate(found.family.members)}
    place |= {other: place[first] for first, *others in found.twins for other in others}
    pairs = {
        (place[p], place[m["id"]])
        for m in truth["models"]
        for p in (*m["parents"], *m["ancestors"])
        if m["id"] in place and p in place and place[p] != place[m["id"]]
    }
    return place, pairs


def _edges(kind: str, seed: int, folder: Path) -> list[tuple[str, NDArray[np.float64]]]:
    """Forest and features of every true edge that no proof tells, parent first."""
    place, truth = kept_forest(kind, seed, folder)
    out = []
    for found in _families(place):
        cues = Cues(found.family, found.family.gather())
        whole = {(p, c) for m in truth["models"] for p in m["parents"] for c in [m["id"]]}
        names, pairs = _true_pairs(found, truth)
        direct = {(names[p], names[c]) for p, c in whole if p in names and c in names}
        for p, c in sorted(pairs & direct):
            if (p, c) not in cues.proved and (c, p) not in cues.proved:
                out.append((f"{kind}-{seed}", cues.features(p, c)))
    return out


def _fit_weights(edges: list[tuple[str, NDArray[np.float64]]]) -> dict[str, float]:
    x = np.stack([f for _, f in edges])
    forest = np.array([name for name, _ in edges])
    fold = np.array([sorted(set(forest)).index(f) % 5 for f in forest])
    right = np.zeros(len(x), bool)
    for k in range(5):
        if (fold == k).any() and (fold != k).any():
            right[fold == k] = x[fold == k] @ _logistic(x[fold != k]) > 0
    print(
        f"# {len(x)} true edges of {len(set(forest))} forests; direction right in cross-validation: {right.mean():.3f}"
    )
    for kind in sorted({f.split("-")[0] for f in forest}):
        here = np.array([f.startswith(kind + "-") for f in forest])
        print(f"#   {kind}: {right[here].mean():.3f} of {here.sum()}")
    return dict(zip(FEATURES, _logistic(x).round(2).tolist(), strict=True))


def _logistic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Non-negative weights of a logistic regression without constant, every row a positive example."""
    centre = np.array([PRIOR.get(f, OTHERS)[0] for f in FEATURES])
    strength = np.array([PRIOR.get(f, OTHERS)[1] for f in FEATURES])

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = x @ w
        value = np.logaddexp(0, -z).sum() + (strength * (w - centre) ** 2).sum() / 2
        return float(value), -(x / (1 + np.exp(z))[:, None]).sum(0) + strength * (w - centre)

    return np.asarray(minimize(loss, np.full(len(centre), 0.5), jac=True, bounds=[(0, None)] * len(centre)).x)


def _claims(kind: str, seed: int, folder: Path) -> list[tuple[Claim, bool]]:
    """What is known of every recovered edge without proof, and whether it is right; by weights and by fingerprints."""
    place, truth = kept_forest(kind, seed, folder)
    seen: list[Claim] = []
    original = confidence_module.edge_confidence

    def note(claim: Claim) -> float:
        seen.append(claim)
        return 1.0  # so that every edge is claimed

    out = []
    for found in (f for by_prints in (False, True) for f in _families(place, by_prints)):
        _, pairs = _true_pairs(found, truth)
        rooted.edge_confidence = note  # type: ignore[attr-defined]
        try:
            seen.clear()
            tree = rooted.heritage_tree(found.family, METRICS["auto"](found.family))
        finally:
            rooted.edge_confidence = original  # type: ignore[attr-defined]
        told = [e for e in tree.edges if e.reason in ("cues", "low rank")]
        out += [(s, (e.parent, e.child) in pairs) for s, e in zip(seen, told, strict=True)]
    return out


def _fit_confidence(claims: list[tuple[Claim, bool]]) -> dict[str, float]:
    names = list(claims[0][0].covariates())
    x = np.array([[*c.covariates().values()] for c, _ in claims])
    right = np.array([r for _, r in claims], float)
    sign = 2 * right - 1

    def loss(w: NDArray[np.float64]) -> float:
        return float(np.logaddexp(0, -sign * (x @ w)).sum() + 0.5 * (w[1:] @ w[1:]))

    w = minimize(loss, np.zeros(len(names))).x
    chance = 1 / (1 + np.exp(-(x @ w)))
    bins = np.minimum(9, (chance * 10).astype(int))
    error = sum(abs(right[bins == b].sum() - chance[bins == b].sum()) for b in range(10)) / len(right)
    print(f"# {len(right)} recovered edges without proof, {right.mean():.3f} right; calibration error {error:.3f}")
    return dict(zip(names, w.round(2).tolist(), strict=True))


def _table(weights: dict[str, float], calibration: dict[str, float]) -> str:
    rows, claims = ("".join(f'    "{k}": {v},\n' for k, v in part.items()) for part in (weights, calibration))
    return (
        '"""What was fitted on generated forests; printed by `python tests/bench/fit_direction.py`."""\n\n'
        "# log-likelihood ratio for each unit of a feature of `direction.FEATURES`\n"
        f"WEIGHTS: dict[str, float] = {{\n{rows}}}\n"
        "# weight of .5 log(degree) of the root, and temperature of root scores\n"
        f"HUB = {fitted.HUB}\nTEMPERATURE = {fitted.TEMPERATURE}\n"
        "# logistic of an edge's confidence, over `confidence.Claim.covariates`\n"
        f"CONFIDENCE: dict[str, float] = {{\n{claims}}}\n"
        f"PROOF = {fitted.PROOF}\n"
        "# edges less sure than this are not claimed\n"
        f"LEAST_CONFIDENCE = {fitted.LEAST_CONFIDENCE}\n"
    )


if __name__ == "__main__":
    main()
