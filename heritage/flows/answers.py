"""Answers to a label request in storage: one object a person, appended to under its ETag, so that none is lost.

labels/<request>/answers/<hash of the person's name>.jsonl   written by `append`, oldest line first
labels/<request>/labels.jsonl                                one file, where tools leave it in one piece
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from heritage.errors import BadInput, Conflict, NotFound
from heritage.flows.context import Context
from heritage.labelling.answers import json_lines
from heritage.names import check_name, printable
from heritage.storage import Stored

MAX_ANNOTATOR = 128
# each failed try means that another write of the same person got through
_TRIES = 20


def key_of(request_id: str, name: str) -> str:
    """Key of one of the request's objects."""
    return f"labels/{check_name(request_id, 'label request')}/{name}"


def check_annotator(name: str) -> str:
    """`name` itself if it may stand beside answers: 1 to 128 printable characters; else `BadInput`."""
    if not name.strip() or len(name) > MAX_ANNOTATOR or printable(name, MAX_ANNOTATOR) != name:
        raise BadInput(f"annotator '{printable(name, 60)}': give 1 to {MAX_ANNOTATOR} printable characters")
    return name


def append(ctx: Context, request_id: str, annotator: str, lines: Sequence[Mapping[str, Any]]) -> int:
    """Add checked answers of one person and return how many were new; the same answers again add nothing.

    Each of `lines` has sample_id, row_sha256 and label; `time` (ISO 8601) is added where it lacks. Of several writers
    none overwrites another: `Conflict` where that cannot be had in 20 tries.
    """
    digest = hashlib.sha256(check_annotator(annotator).encode()).hexdigest()
    key = key_of(request_id, f"answers/{digest[:32]}.jsonl")
    for _ in range(_TRIES):
        there = _read(ctx, key)
        known = [] if there is None else json_lines(there.data, key)
        added = _news(known, lines, annotator, ctx.now().astimezone(UTC))
        if not added:
            return 0
        text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in added).encode()
        done = (
            ctx.store.replace(key, there.data + text, there.etag) if there is not None else ctx.store.create(key, text)
        )
        if done:
            return len(added)
    raise Conflict(f"{key}: changed {_TRIES} times while it was written; send the answers again")


def stored(ctx: Context, request_id: str) -> bytes:
    """All answers as lines; those of labels.jsonl come first, so that its line numbers are right in messages."""
    first = _read(ctx, key_of(request_id, "labels.jsonl"))
    others = [ctx.store.get(key) for key in ctx.store.list(key_of(request_id, "answers/"))]
    return b"\n".join([b"" if first is None else first.data.rstrip(b"\n"), *others]).lstrip(b"\n")


def _news(
    known: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]], annotator: str, now: datetime
) -> list[dict[str, Any]]:
    """What `lines` add to `known`: answers that are not the person's last ones, with a time that never runs back."""
    seen = {_text(line) for line in known}
    last = {line["sample_id"]: line["label"] for line in sorted(known, key=lambda line: str(line["time"]))}
    time = max([now.isoformat(), *(str(line["time"]) for line in known)])
    added: list[dict[str, Any]] = []
    for line in lines:
        wanted = {name: line[name] for name in ("sample_id", "row_sha256", "label")} | {"annotator": annotator}
        if given := str(line.get("time") or ""):
            wanted["time"] = given
            is_new = _text(wanted) not in seen
        else:
            wanted["time"] = time
            is_new = last.get(wanted["sample_id"]) != wanted["label"]
        if is_new:
            added.append(wanted)
            seen.add(_text(wanted))
            last[wanted["sample_id"]] = wanted["label"]
    return added


def _text(line: Mapping[str, Any]) -> str:
    return json.dumps(line, sort_keys=True)


def _read(ctx: Context, key: str) -> Stored | None:
    try:
        return ctx.store.read(key)
    except NotFound:
        return None
