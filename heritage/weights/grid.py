"""Evidence that a tensor's values lie on a grid: what rounding to few levels (quantisation) leaves behind."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAMPLE_ROWS = 4
SAMPLE_COLUMNS = 512
MOST_LEVELS = 256  # 8 bits
# relative spacing of neighbouring values: the grid shows only as far as the type that stores it
_SPACING = {"F64": 2.0**-24, "F32": 2.0**-24, "F16": 2.0**-11, "BF16": 2.0**-8}


@dataclass(frozen=True, slots=True)
class GridEvidence:
    """What the first values of a tensor's first output rows show; `distinct` is 0 where nothing was looked at.

    `sample`: number of values of the first row looked at; `distinct`: different ones among them; `levels`: largest
    |value| in steps, when every looked-at row lies on a grid of its own or all on one (0 when not).
    """

    sample: int = 0
    distinct: int = 0
    levels: int = 0


def grid_evidence(start: NDArray[np.float32], shape: tuple[int, ...], dtype: str) -> GridEvidence:
    """Evidence from `start`, the first elements of a tensor of `shape` (output rows first), finite float32."""
    columns = math.prod(shape[1:])
    if len(shape) < 2 or start.size < 2 or columns < 2 or dtype not in _SPACING:
        return GridEvidence()
    width = min(columns, SAMPLE_COLUMNS, start.size)
    distinct = int(np.count_nonzero(np.diff(np.sort(start[:width])))) + 1
    if distinct > MOST_LEVELS:
        return GridEvidence(width, distinct)
    rows = max(1, min(SAMPLE_ROWS, start.size // columns))
    sample = np.stack([start[r * columns : r * columns + width] for r in range(rows)]).astype(np.float64)
    spacing = _SPACING[dtype]
    return GridEvidence(width, distinct, _levels(sample, spacing) or _levels(sample.reshape(1, -1), spacing))


def _levels(sample: NDArray[np.float64], spacing: float) -> int:
    """Largest |value| over the smallest gap of each row, if all values are whole multiples of that gap."""
    gaps = np.diff(np.sort(sample, axis=1), axis=1)
    top = np.abs(sample).max(axis=1, keepdims=True)
    # gaps below the rounding of the largest value are rounding of one grid point
    step = np.where(gaps > 2 * spacing * top, gaps, np.inf).min(axis=1, keepdims=True)
    if not np.isfinite(step).all():
        return 0  # a constant row says nothing
    steps = sample / step
    levels = float(np.abs(steps).max())
    # the step itself is known to `spacing * top`, so an error of levels^2 * spacing adds up at the largest value
    tolerance = 0.05 + 4 * levels**2 * spacing
    if levels > MOST_LEVELS or tolerance > 0.2 or np.abs(steps - np.round(steps)).max() > tolerance:
        return 0
    return round(levels)
