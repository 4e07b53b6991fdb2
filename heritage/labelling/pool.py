"""What a query strategy may know of the unlabelled rows, and what it answers."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput

Floats = NDArray[np.floating]
Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Unlabelled rows as a model sees them.

    `probabilities` (n, classes) of the model that is to be repaired; `features` (n, d) of its penultimate layer;
    `committee` (members, n, classes) of its relatives; `labelled_features` (m, d) of rows that have labels already.
    """

    probabilities: Floats
    features: Floats | None = None
    committee: Floats | None = None
    labelled_features: Floats | None = None

    def __post_init__(self) -> None:
        if self.probabilities.ndim != 2 or not np.all(np.isfinite(self.probabilities)):
            raise BadInput(
                f"probabilities of shape {self.probabilities.shape} are not a finite (rows, classes) array; "
                "a model with NaN outputs cannot choose rows: use the strategy 'random'"
            )
        if self.features is not None and self.features.shape[:1] != (len(self),):
            raise BadInput(f"features of shape {self.features.shape} do not fit {len(self)} rows")
        if self.committee is not None and self.committee.shape[1:] != self.probabilities.shape:
            raise BadInput(f"committee of shape {self.committee.shape} does not fit {self.probabilities.shape}")

    def __len__(self) -> int:
        return len(self.probabilities)

    def need_features(self, strategy: str) -> Floats:
        """The features, or `BadInput` saying that `strategy` needs them."""
        if self.features is None:
            raise BadInput(f"strategy '{strategy}' needs penultimate features; give them or use 'margin'")
        return self.features

    def need_committee(self, strategy: str) -> Floats:
        """The committee's probabilities, or `BadInput` saying that `strategy` needs at least two members."""
        if self.committee is None or len(self.committee) < 2:
            raise BadInput(f"strategy '{strategy}' needs at least 2 relatives as committee; use 'margin' or 'mixed'")
        return self.committee


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Rows to ask for, each once: `index` (k,) and `pick` (k,), 'random' or the strategy that picked the row.

    Only rows picked at random are an unbiased sample of the window: they alone may serve gate and validation.
    """

    index: Index
    pick: tuple[str, ...]
