"""A request for labels as two files, `manifest.json` and `tasks.jsonl`; equal content gives an equal request id.

A task line holds what a person needs to see and what an answer must repeat: `sample_id` and `row_sha256`. Answers are
lines of `labels.jsonl`; the simplest way to answer is to add `label` and `annotator` to a task line.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from heritage.errors import BadInput
from heritage.labelling.pool import Floats, Selection
from heritage.labelling.strategies import RANDOM
from heritage.names import check_digest, check_name, printable
from heritage.rows import Rows

SCHEMA = 1
# rows with more numbers than this are handed over by reference (rows.npz), not inside the task line
_INLINE_VALUES = 4096


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """Who asks (`model` name/version and its content `digest`, `window`), what may be answered (`classes` in order of
    their index), how rows were chosen, and when to go on (`min_labels`; `deadline` ISO 8601 in UTC)."""

    model: str
    digest: str
    window: str
    classes: tuple[str, ...]
    strategy: str
    seed: int = 0
    min_labels: int = 1
    deadline: str = ""

    def __post_init__(self) -> None:
        check_digest(self.digest)
        check_name(self.window, "window")
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise BadInput(f"{len(self.classes)} class names; give at least 2, all different, in order of their index")


@dataclass(frozen=True, slots=True)
class LabelRequest:
    """A request ready to be stored under `labels/<request_id>/`: the bytes of its files, and the rows asked for."""

    request_id: str
    manifest: bytes
    tasks: bytes
    rows: Rows
    pick: tuple[str, ...]


def make_request(
    rows: Rows,
    selection: Selection,
    options: RequestOptions,
    probabilities: Floats | None = None,
    texts: Sequence[str] | None = None,
) -> LabelRequest:
    """The request for the selected `rows` of a window.

    `probabilities` (n, classes) give a score to the rows that were picked by uncertainty; rows picked at random carry
    none, because a suggestion biases people. `texts` (n,) are shown instead of numbers. Ids come from `rows.ids`, else
    from the row's digest; equal rows are asked for once. Raises `BadInput` for ids that are not unique.
    """
    asked = rows.take(selection.index)
    digests = asked.row_digests()
    ids = [digest[:16] for digest in digests] if asked.ids is None else [str(i) for i in asked.ids]
    once = _first_of_each(ids, digests)
    lines = [
        _task(ids[i], digests[i], selection.pick[i], options.strategy)
        | _shown(asked.x[i], None if texts is None else texts[int(selection.index[i])])
        | _score(selection.pick[i], None if probabilities is None else probabilities[int(selection.index[i])])
        for i in once
    ]
    tasks = "".join(_line(line) for line in lines).encode()
    request_id = _request_id(tasks, options)
    kept = asked.take(np.array(once, dtype=np.int64))
    kept = Rows(kept.x, None, np.array([ids[i] for i in once]))
    manifest = _manifest(request_id, tasks, kept, options)
    return LabelRequest(request_id, manifest, tasks, kept, tuple(selection.pick[i] for i in once))


def _first_of_each(ids: Sequence[str], digests: Sequence[str]) -> list[int]:
    seen: dict[str, str] = {}
    once: list[int] = []
    for i, (name, digest) in enumerate(zip(ids, digests, strict=True)):
        if not name or len(name) > 256 or printable(name, 256) != name:
            raise BadInput(f"row id '{printable(name, 60)}' is empty, longer than 256, or holds control characters")
        if name not in seen:
            once.append(i)
        if seen.setdefault(name, digest) != digest:
            raise BadInput(f"row id '{printable(name, 60)}' stands for two different rows; ids must be unique")
    return once


def _task(sample_id: str, digest: str, pick: str, strategy: str) -> dict[str, object]:
    return {"sample_id": sample_id, "row_sha256": digest, "pick": pick, "strategy": strategy}


def _shown(row: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]", text: str | None) -> dict[str, object]:
    if text is not None:
        return {"data": {"kind": "text", "text": text}}
    kind = "image" if row.ndim in (2, 3) else "row"
    if row.size > _INLINE_VALUES:
        return {"data": {"kind": kind, "shape": list(row.shape)}}
    # nine digits give every float32 back exactly
    values = [float(f"{v:.9g}") for v in row.ravel().tolist()]
    return {"data": {"kind": kind, "shape": list(row.shape), "values": values}}


def _score(pick: str, probabilities: "Floats | None") -> dict[str, object]:
    if pick == RANDOM or probabilities is None:
        return {}
    return {"prediction": {"class": int(probabilities.argmax()), "score": round(float(probabilities.max()), 6)}}


def _line(value: dict[str, object]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"


def _request_id(tasks: bytes, options: RequestOptions) -> str:
    content = {k: v for k, v in asdict(options).items() if k not in ("deadline", "min_labels")}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode() + b"\0" + tasks).hexdigest()
    return f"request-{digest[:24]}"


def _manifest(request_id: str, tasks: bytes, rows: Rows, options: RequestOptions) -> bytes:
    content = {
        "schema_version": SCHEMA,
        "request_id": request_id,
        "tasks": len(rows),
        "tasks_sha256": hashlib.sha256(tasks).hexdigest(),
        "rows_sha256": rows.digest,
        **asdict(options),
    }
    return (json.dumps(content, sort_keys=True, indent=2) + "\n").encode()
