"""The steps of a flow as they went: name, outcome, seconds. And work in portions, for mapped tasks."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from heritage.errors import HeritageError
from heritage.names import printable

MOST_CHUNKS = 500  # Airflow maps a task to 1,024 at most


@dataclass
class Steps:
    """What was done so far, in order; each entry has JSON values only."""

    done: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """Time the block under `name`; what it adds to the entry is kept, an error of heritage is noted and goes on."""
        entry: dict[str, Any] = {"step": name, "status": "success"}
        started = time.perf_counter()
        try:
            yield entry
        except HeritageError as error:
            entry |= {"status": "failed", "detail": printable(str(error), 500)}
            raise
        finally:
            entry["seconds"] = round(time.perf_counter() - started, 3)
            self.done.append(entry)


def chunks(items: Sequence[str], size: int) -> list[list[str]]:
    """`items` in portions of `size`, or of more where those would be over `MOST_CHUNKS`."""
    size = max(size, -(-len(items) // MOST_CHUNKS))
    return [list(items[i : i + size]) for i in range(0, len(items), size)]
