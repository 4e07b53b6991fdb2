"""Arrays of any shape as columns that a profile can hold.

Up to 256 numbers a row are columns of their own. Images, embeddings of text and other long vectors are projected on 32
fixed random directions: a shift of the vectors shows in some of them, and the profile stays small.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heritage.errors import BadInput

MAX_PLAIN = 256
PROJECTIONS = 32
SEED = 20_251_122


def as_frame(
    x: NDArray[np.generic], outputs: NDArray[np.generic] | None = None
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Columns for a profile: of inputs `x` (n, ...) and of the model's probabilities `outputs` (n, classes).

    Inputs are called x0, x1, ... or, above 256 numbers a row, projection_0 to projection_31.
    """
    return input_frame(x), None if outputs is None else output_frame(outputs)


def input_frame(x: NDArray[np.generic]) -> pd.DataFrame:
    """One column a number of a row, or 32 projections of longer rows; `BadInput` for anything but numbers."""
    if x.ndim < 1 or x.dtype.kind not in "fiub":
        raise BadInput(f"inputs have type {x.dtype} and shape {x.shape}; expected numbers, one row a first index")
    flat = x.reshape(len(x), int(np.prod(x.shape[1:], dtype=np.int64)))
    if flat.shape[1] <= MAX_PLAIN:
        plain = flat.astype(np.float64) if flat.dtype.kind == "b" else flat
        return pd.DataFrame(plain, columns=[f"x{i}" for i in range(flat.shape[1])], copy=False)
    return pd.DataFrame(project(flat), columns=[f"projection_{i}" for i in range(PROJECTIONS)], copy=False)


def project(vectors: NDArray[np.generic], size: int = PROJECTIONS, seed: int = SEED) -> NDArray[np.float32]:
    """Vectors (n, d) on `size` fixed Gaussian directions of unit variance: (n, size).

    Sums are taken in double precision and then rounded, so that a row's result does not depend on the rows beside it.
    A row with NaN or infinity gives NaN or infinity in all projections.
    """
    directions = np.random.default_rng(seed).normal(size=(vectors.shape[1], size)) / np.sqrt(vectors.shape[1])
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray((vectors.astype(np.float64) @ directions).astype(np.float32))


def output_frame(probabilities: NDArray[np.generic]) -> pd.DataFrame:
    """probability_0, ..., entropy (nats) and prediction (a class index as text) of probabilities (n, classes)."""
    p = np.asarray(probabilities)
    if p.ndim != 2 or p.dtype.kind != "f" or p.shape[1] < 2:
        raise BadInput(f"outputs have type {p.dtype} and shape {p.shape}; expected probabilities (n, classes >= 2)")
    columns: dict[str, object] = {f"probability_{i}": p[:, i] for i in range(p.shape[1])}
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(p), np.where(np.isnan(p), np.nan, 0.0))
    columns["entropy"] = -terms.sum(axis=1, dtype=np.float64).astype(np.float32)
    classes = pd.Index([str(i) for i in range(p.shape[1])])
    best = np.where(np.isnan(p).any(axis=1), -1, np.nan_to_num(p).argmax(axis=1)).astype(np.int64)
    columns["prediction"] = pd.Categorical.from_codes(best, categories=classes)
    return pd.DataFrame(columns)
