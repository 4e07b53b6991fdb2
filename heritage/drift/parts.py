"""What the kinds of columns have in common: the parts that are compared, and what one chunk of values adds to them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heritage.records import Moments

Counts = NDArray[np.int64]
Values = NDArray[np.float64]


class Kind(StrEnum):
    """Kinds of columns."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    BOOLEAN = "boolean"
    DATETIME = "datetime"


class Family(StrEnum):
    """Whether a column is fed to the model or comes from it; each family has its own share of false alarms."""

    INPUT = "input"
    OUTPUT = "output"


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One distribution that is compared: most columns have one part, a datetime has several.

    `reference` holds the counts per cell. With `edges` (E values, increasing) the 2E+1 cells are below the first edge,
    at it, between it and the next, ..., above the last. Without edges, cells are levels and `labels` names them.
    `known_cells` is where the cells end that the reference knows; the rest (0 or 1 cell) is for unseen levels.
    `period_s` is the season that both reference and window must span before the part can be judged (0: none).
    """

    name: str
    reference: Counts
    edges: Values | None = None
    labels: tuple[str, ...] = ()
    known_cells: int = 0
    period_s: int = 0
    judged: bool = True


@dataclass(frozen=True, slots=True)
class Faults:
    """Rows of a column that hold no usable value, or an infinite one (infinities are counted as values as well)."""

    missing: int = 0
    mistyped: int = 0
    infinite_low: int = 0
    infinite_high: int = 0

    @property
    def unusable(self) -> int:
        """Rows that are in no cell."""
        return self.missing + self.mistyped


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """What a chunk of n rows adds to a column.

    `cells`: counts of all parts, one after the other. `codes` (n,): one number a row, equal for rows that are equal in
    this column. `span`: smallest and largest instant in whole seconds, of datetime columns with values.
    """

    cells: Counts
    faults: Faults
    codes: NDArray[np.uint64]
    span: tuple[int, int] | None = None


class Column(Protocol):
    """A column of the reference, fitted: knows its cells and counts new values into them."""

    @property
    def name(self) -> str:
        """The frame's name for it."""
        ...

    @property
    def kind(self) -> Kind:
        """Its kind."""
        ...

    @property
    def family(self) -> Family:
        """Input or output."""
        ...

    @property
    def faults(self) -> Faults:
        """Missing and infinite values in the reference."""
        ...

    @property
    def parts(self) -> tuple[Part, ...]:
        """What is compared."""
        ...

    @property
    def moments(self) -> Moments | None:
        """Moments of the reference's finite values; None where they are not defined."""
        ...

    def count(self, values: "pd.Series[Any]") -> Tally:
        """Count a chunk."""
        ...

    def record(self) -> dict[str, Any]:
        """What a profile's header says about it: JSON values, without counts and edges."""
        ...


def codes_of(values: NDArray[Any]) -> NDArray[np.uint64]:
    """The bits of each value as a number; the two zeros are made one.

    Bytes are reversed: simple values have their zeros in the low bits, from where a product never mixes upwards.
    """
    return (values.astype(np.float64) + 0.0).view(np.uint64).byteswap(inplace=True)
