"""The pass over a checkpoint that makes its fingerprint."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.weights.checkpoint import Checkpoint, TensorInfo, digest_start, model_digest
from heritage.weights.dtypes import BITS, decode
from heritage.weights.fingerprint import SKETCH_BUDGET, WHOLE, Fingerprint, is_buffer
from heritage.weights.fingerprint_sample import places, segments
from heritage.weights.grid import GridEvidence, grid_evidence
from heritage.weights.moments import RowMoments, combine, join, row_moments
from heritage.weights.sketch import BLOCK, BLOCK_ROWS, WIDTH, add_block, fold, widths

_LARGEST = float(np.finfo(np.float32).max)
_EXACT_ABOVE = 1e30  # sums of such values are taken in float64

Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Block:
    """Block `number` of the tensor at `place`: `count` elements in rows `begin` to `end` of a batch."""

    info: TensorInfo
    place: int
    number: int
    count: int
    begin: int
    end: int

    @property
    def in_last_row(self) -> int:
        return self.count - (self.end - 1 - self.begin) * WIDTH


def take_fingerprint(checkpoint: Checkpoint, digests: bool = True, chunk_rows: int = BLOCK_ROWS) -> Fingerprint:
    """The fingerprint of `checkpoint`; every byte is read once, and at most `chunk_rows` * 4,096 elements are held.

    Without `digests` the SHA-256 of tensors and model, which take most of the time, are left out. The result does
    not depend on `chunk_rows`.
    """
    return _Pass(checkpoint, digests, max(chunk_rows, BLOCK_ROWS)).run()


class _Pass:
    """The state of one pass; used once. Tensors are visited in the order of their bytes."""

    def __init__(self, checkpoint: Checkpoint, digests: bool, chunk_rows: int) -> None:
        self.checkpoint = checkpoint
        self.tensors = sorted(checkpoint.tensors.values(), key=lambda t: (t.file, t.offset, t.name))
        total = len(self.tensors)
        self.rows: Rows = np.zeros((chunk_rows, WIDTH), np.float32)
        self.scratch = np.empty_like(self.rows)
        self.raw = np.empty(BLOCK * 8, np.uint8)
        self.zeros = np.zeros(total, np.int64)
        self.non_finite = np.zeros(total, np.int64)
        self.masks = [hashlib.blake2b(digest_size=8) for _ in self.tensors]
        self.hashes = [digest_start(t) for t in self.tensors] if digests else []
        self.grids = [GridEvidence()] * total
        self.counters: dict[str, int] = {}
        sizes = np.array([t.count if t.is_float else 0 for t in self.tensors], np.int64)
        self.widths = widths(sizes, SKETCH_BUDGET)
        self.whole = np.zeros(WIDTH)
        self.current = np.zeros(WIDTH)
        self.own: list[NDArray[np.float64]] = []
        self.segments, self.spans = _segments(self.tensors)
        self.places = [
            places(t.name, t.dtype, t.shape, int(k), int(s)).reshape(-1)
            for t, k, s in zip(self.tensors, self.segments, self.spans, strict=True)
        ]
        self.sampled = [np.zeros(p.size, np.float32) for p in self.places]
        self.first_rows: list[int] = []
        self.rows_done = 0
        self.parts: list[tuple[RowMoments, Rows, Rows]] = []

    def run(self) -> Fingerprint:
        for blocks in self._batches():
            self._take(blocks)
        return self._result()

    def _batches(self) -> Iterator[list[_Block]]:
        """Blocks in order, as many at a time as fit, their elements in `self.rows`."""
        blocks: list[_Block] = []
        used = 0
        for place, info in enumerate(self.tensors):
            elements = _elements(info)
            for number in range(max(1, -(-elements // BLOCK))):
                count = min(BLOCK, elements - number * BLOCK)
                need = max(1, -(-count // WIDTH))
                if used + need > len(self.rows):
                    yield blocks
                    blocks, used = [], 0
                blocks.append(_Block(info, place, number, count, used, used + need))
                self._fill(blocks[-1])
                used += need
        if blocks:
            yield blocks

    def _fill(self, block: _Block) -> None:
        """Read the block's elements as float32; the rest of its last row gets a value of that row."""
        info, flat = block.info, self.rows[block.begin : block.end].reshape(-1)
        bits = _bits(info)
        direct = info.dtype in ("F32", "C64")
        stored = flat[: block.count].view(np.uint8) if direct else self.raw[: block.count * bits // 8]
        if block.count:
            self.checkpoint.read_into(info.name, block.number * BLOCK * bits // 8, stored)
        if self.hashes:
            self.hashes[block.place].update(stored.data)
        if not direct:
            values = decode(stored, info.dtype)
            if info.count == 1 and info.name.endswith("num_batches_tracked") and not info.is_float:
                self.counters[info.name] = int(values[0])
            with np.errstate(over="ignore"):
                flat[: block.count] = values
        # not zero yet: minimum and maximum come first
        flat[block.count :] = flat[block.count - 1] if block.count else 0

    def _take(self, blocks: list[_Block]) -> None:
        rows = self.rows[: blocks[-1].end]
        low, high = rows.min(axis=1), rows.max(axis=1)
        count = np.full(len(rows), WIDTH, np.int64)
        # a small tensor has few numbers to lose precision over, and costs little
        exact = np.zeros(len(rows), bool)
        for block in blocks:
            count[block.end - 1] = block.in_last_row
            rows[block.end - 1, block.in_last_row :] = 0
            exact[block.begin] = block.number == 0 and block.count <= WIDTH
        self._count_zeros(blocks, rows)
        finite = np.isfinite(low) & np.isfinite(high)
        if not finite.all():
            place = np.repeat([b.place for b in blocks], [b.end - b.begin for b in blocks])
            for r in np.flatnonzero(~finite):
                self.non_finite[place[r]] += _clean(rows[r, : count[r]], low[r : r + 1], high[r : r + 1])
        for block in blocks:
            self._sketch(block, rows[block.begin : block.end], low, high)
        self.parts.append((row_moments(rows, count, exact, self.scratch), low, high))
        self.rows_done += len(rows)

    def _count_zeros(self, blocks: list[_Block], rows: Rows) -> None:
        empty = (rows == 0).reshape(-1)
        for block in blocks:
            mask = empty[block.begin * WIDTH : block.begin * WIDTH + block.count]
            if found := int(np.count_nonzero(mask)):
                self.zeros[block.place] += found
                self.masks[block.place].update(block.number.to_bytes(8, "little") + np.packbits(mask).tobytes())

    def _sketch(self, block: _Block, rows: Rows, low: Rows, high: Rows) -> None:
        info, place = block.info, block.place
        if block.number == 0:
            self.first_rows.append(self.rows_done + block.begin)
            self.grids[place] = grid_evidence(rows.reshape(-1)[: block.count], info.shape, info.dtype)
            self.current[:] = 0
        if info.is_float and block.count:
            part = slice(block.begin, block.end)
            wide = max(-low[part].min(), high[part].max()) > _EXACT_ABOVE
            add_block(self.current, rows.astype(np.float64) if wide else rows, block.count, info.name, block.number)
            start = block.number * BLOCK
            mine = slice(*np.searchsorted(self.places[place], [start, start + block.count]))
            self.sampled[place][mine] = rows.reshape(-1)[self.places[place][mine] - start]
        if (block.number + 1) * BLOCK >= _elements(info):
            self.own.append(fold(self.current, int(self.widths[place])) if self.widths[place] else np.zeros(0))
            if not is_buffer(info.name):
                self.whole += self.current

    def _result(self) -> Fingerprint:
        order = np.array(sorted(range(len(self.tensors)), key=lambda i: self.tensors[i].name), np.int64)
        tensors = [self.tensors[i] for i in order]
        first = np.array(self.first_rows, np.int64)
        low, high = (np.concatenate([p[k] for p in self.parts] or [np.zeros(0, np.float32)]) for k in (1, 2))
        minimum, maximum = (f.reduceat(v, first) for f, v in ((np.minimum, low), (np.maximum, high)))
        nothing = minimum > maximum  # no finite value at all
        digests = {t.name: h.hexdigest() for t, h in zip(self.tensors, self.hashes, strict=False)}
        masks = [int.from_bytes(m.digest(), "little") if z else 0 for m, z in zip(self.masks, self.zeros, strict=True)]
        own = [self.own[i] for i in order]
        return Fingerprint(
            digest=model_digest(digests) if digests else "",
            names=tuple(t.name for t in tensors),
            dtypes=tuple(t.dtype for t in tensors),
            shapes=tuple(t.shape for t in tensors),
            moments=combine(join([p[0] for p in self.parts]), first).take(order),
            minimum=np.where(nothing, 0, minimum)[order].astype(np.float64),
            maximum=np.where(nothing, 0, maximum)[order].astype(np.float64),
            zeros=self.zeros[order],
            non_finite=self.non_finite[order],
            masks=np.array(masks, np.uint64)[order],
            grids=tuple(self.grids[i] for i in order),
            digests=tuple(digests.get(t.name, "")[:32] for t in tensors),
            sketch=_stored(fold(self.whole, WHOLE)),
            widths=self.widths[order],
            own_sketches=_stored(np.concatenate(own)) if own else np.zeros(0, np.float32),
            counters=dict(sorted(self.counters.items())),
            segments=self.segments[order],
            spans=self.spans[order],
            sampled=np.concatenate([self.sampled[i] for i in order]) if len(order) else np.zeros(0, np.float32),
        )


def _segments(tensors: Sequence[TensorInfo]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of each tensor to keep a stretch of, and its length; they depend on names, not on the order of `tensors`."""
    order = sorted(range(len(tensors)), key=lambda i: tensors[i].name)
    named = [tensors[i] for i in order]
    wanted = np.array([t.is_float and not is_buffer(t.name) for t in named], bool)
    out = np.zeros((2, len(tensors)), np.int64)
    out[:, order] = segments([t.name for t in named], [t.shape for t in named], wanted)
    return out[0], out[1]


def _clean(values: Rows, low: Rows, high: Rows) -> int:
    """Set what is not finite to 0, correct the extremes, and return how many it were."""
    finite = np.isfinite(values)
    values[~finite] = 0
    low[0] = values.min(where=finite, initial=np.inf)
    high[0] = values.max(where=finite, initial=-np.inf)
    return int(values.size - np.count_nonzero(finite))


def _elements(info: TensorInfo) -> int:
    """Number of real values: a complex number counts as two."""
    return info.count * 2 if info.dtype == "C64" else info.count


def _bits(info: TensorInfo) -> int:
    return 32 if info.dtype == "C64" else BITS[info.dtype]


def _stored(sketch: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.clip(sketch, -_LARGEST, _LARGEST).astype(np.float32)
