"""Models whose values are all equal, and models that are another one rounded to a narrower type."""

import numpy as np

from heritage.recovery.family import Family, Proof
from heritage.recovery.models import Model
from heritage.recovery.precision import NARROW
from heritage.recovery.stack import Stack

_NATS = 30.0


def classes_of_twins(stack: Stack, values: np.ndarray) -> list[list[int]]:
    """Groups of two or more models whose every value is equal, buffers included; `values` is their sample.

    Equal samples are looked for first; only such candidates are then read in full.
    """
    alike: dict[bytes, list[int]] = {}
    for i, row in enumerate(values):
        alike.setdefault((row + np.float32(0.0)).tobytes(), []).append(i)
    groups: list[list[int]] = []
    for members in alike.values():
        while len(members) > 1:
            first, rest = members[0], members[1:]
            same = [i for i in rest if _equal(stack.models[first], stack.models[i])]
            groups += [[first, *same]] if same else []
            members = [i for i in rest if i not in same]
    return groups


def _equal(a: Model, b: Model) -> bool:
    if a.signature != b.signature:
        return False
    x, y = a.weights, b.weights
    return all(np.array_equal(x.read_f32(t), y.read_f32(t)) for t in x.tensors)


def recasts(family: Family) -> list[Proof]:
    """Members that equal another one rounded to a narrower type, value by value."""
    found = []
    for c, dtype in enumerate(family.dtypes):
        wider = [p for p in range(family.count) if dtype in NARROW and family.dtypes[p] not in (dtype, "BF16")]
        for p in wider:
            narrow = NARROW[dtype]
            if np.array_equal(narrow(family.sample.values[p]), family.sample.values[c], equal_nan=True) and all(
                np.array_equal(narrow(family.values(p, k)), family.values(c, k)) for k in family.shared(p, c)
            ):
                found.append(Proof("copy", (p,), c, _NATS, f"rounded to {dtype}"))
                break
    return found
