"""Models of one architecture side by side, slot by slot: read once and kept where they are small, else streamed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.architecture import Signature, Slot
from heritage.recovery.layers import chosen
from heritage.recovery.models import Model
from heritage.weights.dtypes import BITS, decode

KEEP_BYTES = 192 * 2**20
TILE_BYTES = 24 * 2**20

Floats = NDArray[np.float32]


class Named(Protocol):
    """A model as far as comparing goes: its name and what it consists of."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def signature(self) -> Signature:
        """Its slots and buffers."""


class Comparable(Protocol):
    """Models of one architecture side by side; `Stack` and `SketchStack` are such."""

    @property
    def models(self) -> Sequence[Named]:
        """The models."""

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots."""

    @property
    def present(self) -> NDArray[np.bool_]:
        """Which model has which slot (slots, models)."""

    @property
    def streams(self) -> bool:
        """Whether values are too many to be kept."""

    def tiles(self, k: int, members: Sequence[int]) -> Iterator[tuple[int, Floats]]:
        """Pieces of slot k: first element, values (members, width)."""

    def values(self, i: int, k: int) -> Floats:
        """Slot k of model i, flat."""

    def picked(self, k: int, members: Sequence[int], places: NDArray[np.int64]) -> Floats:
        """The values of slot k at ascending `places`."""

    def dtype(self, i: int, k: int) -> str:
        """The stored type of slot k in model i."""


@dataclass(eq=False)
class Stack:
    """`models` of one architecture; `slots` are those that at least two of them have, in a fixed order.

    `present[k, i]` tells whether model i has slot k. Values come as float32, exactly (float64 is rounded).
    """

    models: Sequence[Model]
    slots: tuple[Slot, ...]
    present: NDArray[np.bool_]
    _kept: dict[int, Floats] = field(default_factory=dict)

    @property
    def streams(self) -> bool:
        """Whether values are too many to be kept, so that every look at them reads files."""
        return not self._keep()

    def first(self, i: int, k: int, count: int) -> Floats:
        """The first `count` values of slot k of model i."""
        if self._keep():
            return self.values(i, k)[:count]
        out = np.empty(count, np.float32)
        self._file_reader(i, k)(0, out)
        return out

    def reader(self, i: int, k: int) -> Callable[[int, Floats], None]:
        """What fills a given array with the values of slot k of model i from a given element on."""
        if self._keep():
            values = self.values(i, k)

            def copy(start: int, out: Floats) -> None:
                out[:] = values[start : start + len(out)]

            return copy
        return self._file_reader(i, k)

    @cached_property
    def size_bytes(self) -> int:
        """Bytes of all slots of all models as float32."""
        return sum(4 * s.size * int(here.sum()) for s, here in zip(self.slots, self.present, strict=True))

    def tiles(self, k: int, members: Sequence[int]) -> Iterator[tuple[int, Floats]]:
        """Pieces of slot k: first element, and values (members, width). All `members` must have the slot.

        A piece is valid until the next one is asked for.
        """
        if self._keep():
            yield 0, self._whole(k)[self._rows[k, np.asarray(members)]]
            return
        size = self.slots[k].size
        width = max(1, min(size, TILE_BYTES // (4 * len(members))))
        buffer = np.empty((len(members), width), np.float32)
        for start in range(0, size, width):
            part = buffer[:, : min(width, size - start)]
            for row, i in enumerate(members):
                self._file_reader(i, k)(start, part[row])
            yield start, part

    def picked(self, k: int, members: Sequence[int], places: NDArray[np.int64]) -> Floats:
        """The values of slot k at ascending `places`, of shape (members, places); reads only the runs they lie in."""
        if self._keep():
            return np.asarray(self._whole(k)[np.ix_(self._rows[k, np.asarray(members)], places)])
        out = np.empty((len(members), len(places)), np.float32)
        cuts = [0, *(np.flatnonzero(np.diff(places) != 1) + 1).tolist(), len(places)]
        runs = [(int(places[b]), b, e) for b, e in pairwise(cuts) if e > b]
        for row, i in enumerate(members):
            read = self._file_reader(i, k)
            for start, begin, end in runs:
                read(start, out[row, begin:end])
        return out

    def values(self, i: int, k: int) -> Floats:
        """Slot k of model i, flat."""
        if self._keep():
            return np.asarray(self._whole(k)[self._rows[k, i]])
        out = np.empty(self.slots[k].size, np.float32)
        self._file_reader(i, k)(0, out)
        return out

    def dtype(self, i: int, k: int) -> str:
        """The stored type of slot k in model i ('F32', 'BF16', ...)."""
        return self.models[i].weights.tensors[self.slots[k].name].dtype

    @cached_property
    def _rows(self) -> NDArray[np.int64]:
        """Row of each model among those that have the slot (slots, models)."""
        return np.asarray(np.cumsum(self.present, axis=1) - 1, np.int64)

    def _keep(self) -> bool:
        return self.size_bytes <= KEEP_BYTES

    def _whole(self, k: int) -> Floats:
        if k not in self._kept:
            here = np.flatnonzero(self.present[k])
            values = np.empty((len(here), self.slots[k].size), np.float32)
            for row, i in enumerate(here):
                self._file_reader(int(i), k)(0, values[row])
            self._kept[k] = values
        return self._kept[k]

    def _file_reader(self, i: int, k: int) -> Callable[[int, Floats], None]:
        weights, name = self.models[i].weights, self.slots[k].name
        dtype, read = weights.tensors[name].dtype, weights.reader(name)
        if dtype == "F32":
            return lambda start, out: read(4 * start, out)
        if BITS[dtype] < 8:

            def whole(start: int, out: Floats) -> None:
                out[:] = weights.read_f32(name).reshape(-1)[start : start + len(out)]

            return whole

        def decoded(start: int, out: Floats) -> None:
            raw = np.empty(len(out) * BITS[dtype] // 8, np.uint8)
            read(start * BITS[dtype] // 8, raw)
            with np.errstate(over="ignore"):
                out[:] = decode(raw, dtype)

        return decoded


def stack_of(models: Sequence[Model], layers: str = "all") -> Stack:
    """The stack of `models`, which must be of one architecture, with the slots of `layers` (a key of `LAYERS`)."""
    counts: dict[Slot, int] = {}
    for m in models:
        for s in m.signature.slots:
            counts[s] = counts.get(s, 0) + 1
    shared = sorted((s for s, n in counts.items() if n > 1 or len(models) == 1), key=lambda s: (s.name, s.shape))
    shared = chosen(shared, layers)
    present = np.array([[s in m.signature.slots for m in models] for s in shared], bool).reshape(-1, len(models))
    return Stack(models, tuple(shared), present)
