"""What a decision rests on, as a value that can be stored: curves, rungs, and what was taken for what."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput
from heritage.repair.lines import Curve
from heritage.repair.metrics import Labels

Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Confusion counts of two models on the same rows: `before[i, j]` rows of class i were taken for class j.

    `nll_before`, `nll_after`: mean negative log-likelihood in nats.
    """

    before: Counts
    after: Counts
    nll_before: float
    nll_after: float


@dataclass(frozen=True, slots=True)
class RungFigures:
    """One rung: NLL on held-out labelled rows; accuracy on guard rows and the gate's verdict with its p-value.

    The latter are None and '' where the rung was no candidate (more involved than the chosen one).
    """

    rung: str
    held_out_nll: float | None
    accuracy: float | None
    verdict: str
    p: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """All that is told about a decision beside the plan and the verdict.

    `current` on guard rows, `original` on rows of the original domain (None: there are none); `curves`: NLL along each
    line that was walked; `left`: tensors that stayed as they were, `skipped`: donors and rungs that were not tried,
    each with the reason; `passes`: forward passes that the search used.
    """

    current: Comparison
    original: Comparison | None
    rungs: tuple[RungFigures, ...]
    curves: tuple[Curve, ...] = ()
    left: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    passes: int = 0

    def to_json(self) -> str:
        """JSON text; equal evidence gives equal text. Losses that are infinite are left out of curves."""
        raw = asdict(self)
        for name in ("current", "original"):
            if raw[name] is not None:
                raw[name] = {k: v.tolist() if isinstance(v, np.ndarray) else _finite(v) for k, v in raw[name].items()}
        for curve in raw["curves"]:
            curve["points"] = [point for point in curve["points"] if np.isfinite(point[1])]
        for rung in raw["rungs"]:
            rung["held_out_nll"] = _finite(rung["held_out_nll"])
        return json.dumps(raw, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @staticmethod
    def from_json(text: str, where: str = "evidence") -> "Evidence":
        """The evidence that `to_json` wrote; `BadInput` naming `where` for anything else."""
        try:
            raw = json.loads(text)
            raw["current"] = _trial(raw["current"])
            raw["original"] = None if raw["original"] is None else _trial(raw["original"])
            raw["rungs"] = tuple(RungFigures(**r) for r in raw["rungs"])
            raw["curves"] = tuple(
                Curve(c["donor"], c["start"], tuple((float(x), float(y)) for x, y in c["points"]))
                for c in raw["curves"]
            )
            return Evidence(**raw)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise BadInput(f"{where}: is no evidence of a repair ({error}); make the plan again") from error


def compared(before: NDArray[np.float64], after: NDArray[np.float64], labels: Labels) -> Comparison:
    """Two models' class probabilities (n, classes) on the same labelled rows."""
    counts = [confusion(labels, p.argmax(axis=1), p.shape[1]) for p in (before, after)]
    of_label = [p[np.arange(len(labels)), labels] for p in (before, after)]
    lost = [float(-np.log(np.maximum(p, 1e-300)).mean()) for p in of_label]
    return Comparison(counts[0], counts[1], lost[0], lost[1])


def confusion(labels: Labels, predicted: Labels, classes: int) -> Counts:
    """Counts (classes, classes): rows by label, columns by prediction."""
    flat = np.bincount(labels * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes).astype(np.int64)


def _trial(raw: dict[str, Any]) -> Comparison:
    before, after = (np.asarray(raw[name], dtype=np.int64) for name in ("before", "after"))
    if before.ndim != 2 or before.shape[0] != before.shape[1] or before.shape != after.shape:
        raise ValueError(f"confusion counts of shape {before.shape} and {after.shape}")
    lost = [float("nan") if raw[name] is None else float(raw[name]) for name in ("nll_before", "nll_after")]
    return Comparison(before, after, *lost)


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None
