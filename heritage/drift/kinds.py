"""Which kind a column is of, told from its type and, where that says nothing, from its values."""

from typing import Any

import pandas as pd
from pandas.api import types

from heritage.drift import categorical, numeric, temporal
from heritage.drift.parts import Column, Family, Kind
from heritage.errors import BadInput
from heritage.names import printable

_OF_OBJECTS = {
    "string": Kind.CATEGORICAL,
    "empty": Kind.CATEGORICAL,
    "boolean": Kind.BOOLEAN,
    "integer": Kind.NUMERIC,
    "floating": Kind.NUMERIC,
    "mixed-integer-float": Kind.NUMERIC,
    "decimal": Kind.NUMERIC,
    "datetime": Kind.DATETIME,
    "datetime64": Kind.DATETIME,
    "date": Kind.DATETIME,
}


def fit_column(name: str, family: Family, values: "pd.Series[Any]", declared_categorical: bool) -> Column:
    """The column fitted to the reference's values; `BadInput` for values that no kind covers."""
    kind = Kind.CATEGORICAL if declared_categorical else kind_of(name, values)
    if kind is Kind.NUMERIC:
        return numeric.fit(name, family, values)
    if kind is Kind.BOOLEAN:
        return categorical.fit_boolean(name, family, values)
    if kind is Kind.DATETIME:
        return temporal.fit(name, family, values)
    _refuse_nested(name, values)
    return categorical.fit(name, family, values, any_type=declared_categorical)


def kind_of(name: str, values: "pd.Series[Any]") -> Kind:
    """The kind of a column; `BadInput` for mixed or nested values and for complex numbers."""
    dtype = values.dtype
    if types.is_object_dtype(dtype):
        found = types.infer_dtype(values, skipna=True)
        if found not in _OF_OBJECTS:
            raise BadInput(
                f"column '{printable(name)}' holds values of type '{found}'; "
                "make them one type, declare the column categorical, or exclude it"
            )
        return _OF_OBJECTS[found]
    if types.is_bool_dtype(dtype):
        return Kind.BOOLEAN
    if isinstance(dtype, pd.CategoricalDtype) or types.is_string_dtype(dtype):
        return Kind.CATEGORICAL
    if types.is_datetime64_any_dtype(dtype):
        return Kind.DATETIME
    if types.is_complex_dtype(dtype) or not (types.is_numeric_dtype(dtype) or types.is_timedelta64_dtype(dtype)):
        raise BadInput(f"column '{printable(name)}' has type {dtype}, which no profile covers; convert or exclude it")
    return Kind.NUMERIC


def _refuse_nested(name: str, values: "pd.Series[Any]") -> None:
    if types.is_object_dtype(values.dtype):
        for value in values:
            if not types.is_scalar(value):
                raise BadInput(
                    f"column '{printable(name)}' holds a {type(value).__name__}; levels must be single values. "
                    "Exclude the column or give a vector per row to the projections"
                )
