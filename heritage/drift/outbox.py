"""Counters on their way to storage: each piece written once, kept while storage is away, never counted twice.

A piece is named by (model, version, window, producer, number) and written only if nothing has that name. After a
failure nobody knows whether it arrived, so a piece that was tried is never changed, and no further piece is made before
it is through; what is observed meanwhile adds up in counters of fixed size. An outage of any length loses nothing but
the oldest windows once there are too many of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from heritage.drift import predictions
from heritage.drift.profile import DriftProfile
from heritage.drift.window import Window
from heritage.names import check_name, check_version
from heritage.rows import Rows, concatenate, to_npz

# stores bytes under a new key: True if it did, False if the key was there already; raises while storage is away
Sink = Callable[[str, bytes], bool]

MAX_WINDOWS = 48
MAX_LOGGED = 100_000
MAX_KEPT_BYTES = 128 * 2**20


@dataclass(frozen=True, slots=True)
class Address:
    """Whose counters these are: model, its version, and a producer whose name no other process uses."""

    model: str
    version: str
    producer: str

    def __post_init__(self) -> None:
        check_name(self.model)
        check_version(self.version)
        check_name(self.producer, "producer")

    def key(self, kind: str, window: str, number: int) -> str:
        """Storage key of piece `number` of a window."""
        return f"{kind}/{self.model}/{self.version}/{check_name(window, 'window')}/{self.producer}-{number:06d}.npz"


@dataclass(slots=True)
class Piece:
    """Bytes for one key, or what makes them (compressing rows takes seconds); `rows` it stands for, `tried` whether it
    was sent before.
    """

    key: str
    data: bytes | Callable[[], bytes]
    rows: int
    tried: bool = False


@dataclass(slots=True)
class Collected:
    """What was counted for one window since the last piece."""

    counts: Window
    ids: list[str] = field(default_factory=list)
    probabilities: list[NDArray[np.float32]] = field(default_factory=list)
    kept: list[Rows] = field(default_factory=list)


@dataclass(slots=True)
class Outbox:
    """Counters of the open windows and the pieces that are not through yet.

    Not thread-safe, but `send`, which waits for storage, touches no open window: it may run beside `collect`.
    """

    profile: DriftProfile
    address: Address
    sink: Sink
    open: dict[str, Collected] = field(default_factory=dict)
    pieces: list[Piece] = field(default_factory=list)
    number: int = 0
    flushed: int = 0
    repeated: int = 0
    dropped: int = 0
    unlogged: int = 0
    unkept: int = 0
    untold: int = 0

    def collect(self, window: str) -> Collected:
        """The counters of a window; too many windows drop the oldest, whose rows are counted as dropped."""
        if window not in self.open:
            self.open[window] = Collected(Window.empty(self.profile))
            self.open[window].counts.lost, self.untold = self.untold, 0
            while len(self.open) > MAX_WINDOWS:
                self._forget(self.open.pop(min(self.open)).counts)
        return self.open.get(window) or Collected(Window.empty(self.profile))  # itself the oldest: counted, not kept

    def drop(self, rows: int) -> None:
        """Count rows that are lost; the next window that is written tells of them."""
        self.dropped += rows
        if self.open:
            self.open[max(self.open)].counts.lost += rows
        else:
            self.untold += rows

    def _forget(self, counts: Window) -> None:
        self.drop(counts.rows)
        self.open[max(self.open)].counts.lost += counts.lost

    def log(self, window: str, ids: list[str], probabilities: list[NDArray[np.float32]]) -> None:
        """Keep predictions by id with the window; beyond 100,000 that wait, new ones are not kept."""
        if sum(len(collected.ids) for collected in self.open.values()) + len(ids) > MAX_LOGGED:
            self.unlogged += len(ids)
        elif ids and window in self.open:
            self.open[window].ids += ids
            self.open[window].probabilities += probabilities

    def keep(self, window: str, rows: Rows) -> None:
        """Keep rows themselves with the window; beyond 128 MiB that wait, new ones are not kept."""
        waiting = sum(part.x.nbytes for collected in self.open.values() for part in collected.kept)
        if waiting + rows.x.nbytes > MAX_KEPT_BYTES:
            self.unkept += len(rows)
        elif window in self.open:
            self.open[window].kept.append(rows)

    def give_up(self) -> int:
        """Drop everything that is left and return how many rows that were."""
        left = sum(piece.rows for piece in self.pieces) + sum(c.counts.rows for c in self.open.values())
        self.pieces, self.open = [], {}
        self.dropped += left
        return left

    def cut(self) -> None:
        """Make pieces of what was counted; to be called when `send` got all earlier ones through."""
        for window, collected in sorted(self.open.items()):
            if not collected.counts.rows and not collected.counts.lost:
                continue
            for shape in {part.shape[1:] for part in collected.probabilities}:
                self._cut_log(window, collected, shape)
            for alike in _alike(collected.kept):
                self.pieces.append(Piece(self.address.key("rows", window, self._next()), partial(_packed, alike), 0))
            key = self.address.key("windows", window, self._next())
            self.pieces.append(Piece(key, collected.counts.to_bytes(), collected.counts.rows))
        self.open = {}

    def _cut_log(self, window: str, collected: Collected, shape: tuple[int, ...]) -> None:
        """Predictions with the same number of classes as one log."""
        ends = np.cumsum([len(part) for part in collected.probabilities])
        ids, parts = [], []
        for end, part in zip(ends, collected.probabilities, strict=True):
            if part.shape[1:] == shape:
                ids += collected.ids[end - len(part) : end]
                parts.append(part)
        data = predictions.to_bytes(np.array(ids, dtype=np.str_), np.concatenate(parts))
        self.pieces.append(Piece(self.address.key("predictions", window, self._next()), data, 0))

    def _next(self) -> int:
        self.number += 1
        return self.number

    def send(self) -> None:
        """Write the pieces; raises what the sink raises, and then the rest is still there."""
        while self.pieces:
            piece = self.pieces[0]
            tried, piece.tried = piece.tried, True
            if not isinstance(piece.data, bytes):
                piece.data = piece.data()
            created = self.sink(piece.key, piece.data)
            if self.pieces[:1] != [piece]:
                return  # given up meanwhile
            del self.pieces[0]
            # there already, and not by an earlier try of ours: an earlier life of this producer wrote it
            if created or tried:
                self.flushed += piece.rows
            else:
                self.repeated += piece.rows


def _alike(kept: list[Rows]) -> list[list[Rows]]:
    """Rows that fit into one file: of one shape, all with ids or all without."""
    groups: dict[object, list[Rows]] = {}
    for rows in kept:
        groups.setdefault((rows.x.shape[1:], rows.ids is None), []).append(rows)
    return list(groups.values())


def _packed(alike: list[Rows]) -> bytes:
    return to_npz(concatenate(alike))
