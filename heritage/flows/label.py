"""Ask people for the labels that help most, and take in what they answer.

labels/<request>/manifest.json  tasks.jsonl  rows.npz     written once, by `request`
labels/<request>/answers/  labels.jsonl                   see `heritage.flows.answers`
labels/<request>/DONE                                     nothing more will come, or is taken
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from heritage.errors import BadInput, Conflict
from heritage.flows import answers as kept_answers
from heritage.flows import windows
from heritage.flows.answers import key_of
from heritage.flows.ask import plan as plan
from heritage.flows.ask import request as request
from heritage.flows.context import Context
from heritage.labelling.answers import Answer, CheckedAnswers, check_answers, json_lines, read_answers
from heritage.labelling.strategies import RANDOM
from heritage.names import printable
from heritage.rows import Rows, from_npz


def open_requests(ctx: Context) -> list[dict[str, Any]]:
    """The requests that take answers now, the one with the nearest deadline first: `progress` of each, without votes.

    Keys: request, model, window, strategy, tasks, min_labels, classes, deadline.
    """
    keys = list(ctx.store.list("labels/"))
    closed = {key.split("/")[1] for key in keys if key.endswith("/DONE")}
    found = [json.loads(ctx.store.get(key)) for key in keys if key.endswith("/manifest.json")]
    wanted = ("model", "window", "strategy", "tasks", "min_labels", "classes", "deadline")
    return sorted(
        (
            {"request": manifest["request_id"], **{name: manifest[name] for name in wanted}}
            for manifest in found
            if manifest["request_id"] not in closed and _in_time(ctx, manifest)
        ),
        key=lambda r: (r["deadline"], r["request"]),
    )


def tasks(ctx: Context, request_id: str, annotator: str = "") -> list[dict[str, Any]]:
    """The tasks of a request in the order in which they should be labelled.

    Each has sample_id, row_sha256, pick, strategy and data (kind text, row or image; shape; values or text). With
    `annotator`, a task that this person has answered carries `label`, the index of the class.
    """
    asked = json_lines(ctx.store.get(key_of(request_id, "tasks.jsonl")), "tasks.jsonl")
    if not annotator:
        return asked
    mine = {a.sample_id: a.label for a in sorted(_answers(ctx, request_id), key=_time) if a.annotator == annotator}
    return [task | ({"label": mine[task["sample_id"]]} if task["sample_id"] in mine else {}) for task in asked]


def submit(ctx: Context, request_id: str, answers: Sequence[Mapping[str, Any]], annotator: str) -> dict[str, Any]:
    """Take answers of one person, all or none, and return `progress` with `added`, the number that were new.

    Each answer has sample_id, row_sha256 and label (class name or index). The same answers again change nothing, a
    different label for a row replaces the person's last one. Raises `BadInput` for an answer that does not fit its
    task, `Conflict` for a request that is closed.
    """
    kept_answers.check_annotator(annotator)
    _check_open(ctx, request_id)
    bare = [{name: a.get(name) for name in ("sample_id", "row_sha256", "label")} for a in answers]
    lines = "".join(json.dumps(line) + "\n" for line in bare).encode()
    read_answers(
        lines, ctx.store.get(key_of(request_id, "tasks.jsonl")), _manifest(ctx, request_id)["classes"], "answers"
    )
    added = kept_answers.append(ctx, request_id, annotator, bare)
    _check_open(ctx, request_id)  # closed meanwhile: the writer must know that this came too late
    return {**progress(ctx, request_id), "added": added}


def answer(ctx: Context, request_id: str, labels: bytes) -> dict[str, Any]:
    """Take a whole file of answers (lines of labels.jsonl with `annotator`), all or none; see `submit`."""
    _check(ctx, request_id, labels)
    by_person: dict[str, list[dict[str, Any]]] = {}
    for line in json_lines(labels, "labels.jsonl"):
        name = kept_answers.check_annotator(str(line.get("annotator") or "unknown"))
        by_person.setdefault(name, []).append(line)
    _check_open(ctx, request_id)
    for annotator, lines in by_person.items():
        kept_answers.append(ctx, request_id, annotator, lines)
    return status(ctx, request_id)


def progress(ctx: Context, request_id: str) -> dict[str, Any]:
    """How far a request is.

    Keys: request, model, window, deadline, min_labels, classes, tasks, answered (distinct rows), conflicts (rows
    without a majority), unanswered, agreement (Krippendorff's alpha or None), annotators (name to number of rows),
    labels (class name to number of rows), done (the wait is over).
    """
    manifest, closed = _manifest(ctx, request_id), ctx.store.exists(key_of(request_id, "DONE"))
    checked = _check(ctx, request_id, kept_answers.stored(ctx, request_id))
    answered = manifest["tasks"] - len(checked.unanswered)
    assert checked.rows.y is not None
    counted = Counter(manifest["classes"][label] for label in checked.rows.y.tolist())
    return {
        "request": request_id,
        **{name: manifest[name] for name in ("model", "window", "deadline", "min_labels", "classes", "tasks")},
        "answered": answered,
        "conflicts": len(checked.conflicts),
        "unanswered": len(checked.unanswered),
        "agreement": checked.agreement,
        "annotators": dict(checked.annotators),
        "labels": dict(counted),
        "done": closed or answered == manifest["tasks"],
    }


def status(ctx: Context, request_id: str) -> dict[str, Any]:
    """Tasks, distinct rows answered, whether the wait is over; also where a file of answers is broken.

    Whether answers are right is for `collect` to say.
    """
    asked = {task["sample_id"] for task in tasks(ctx, request_id)}
    answered = _mentioned(kept_answers.stored(ctx, request_id)) & asked
    done = answered == asked or ctx.store.exists(key_of(request_id, "DONE"))
    return {"request": request_id, "tasks": len(asked), "answered": len(answered), "done": done}


def close(ctx: Context, request_id: str) -> dict[str, Any]:
    """Take no more answers; a waiting repair goes on with what came."""
    _manifest(ctx, request_id)
    ctx.store.create(key_of(request_id, "DONE"), b"")
    return status(ctx, request_id)


def review(ctx: Context, request_id: str) -> dict[str, Any]:
    """What a person needs to sign the answers off: subject, body in Markdown, and `doubts`, reasons to ask for that.

    `enough` is False where fewer usable answers came than the request's minimum.
    """
    seen, own = progress(ctx, request_id), ctx.settings.labels
    usable = seen["answered"] - seen["conflicts"]
    doubts = []
    if own.sign_off == "always":
        doubts.append("every request is signed off (labels.sign_off)")
    if own.sign_off == "disagreement" and seen["agreement"] is not None and seen["agreement"] < own.min_agreement:
        doubts.append(f"agreement is {seen['agreement']:.2f}, the limit {own.min_agreement:g}")
    if own.sign_off == "disagreement" and seen["conflicts"] > seen["answered"] / 10:
        doubts.append(f"{seen['conflicts']} of {seen['answered']} answered rows have no majority")
    agreement = "–" if seen["agreement"] is None else f"{seen['agreement']:.2f}"
    lines = [
        f"{usable} usable answers of {seen['tasks']} rows, asked for **{seen['model']}**, window {seen['window']}.",
        "",
        f"Agreement (Krippendorff's alpha): {agreement}; rows without a majority: {seen['conflicts']}.",
        "",
        *(f"- {doubt}" for doubt in doubts),
        "",
        "| class | rows |",
        "|---|---|",
        *(f"| {_cell(name)} | {count} |" for name, count in sorted(seen["labels"].items())),
        "",
        "| annotator | rows |",
        "|---|---|",
        *(f"| {_cell(name)} | {count} |" for name, count in seen["annotators"].items()),
    ]
    return {
        "request": request_id,
        "model": seen["model"],
        "enough": usable >= seen["min_labels"],
        "doubts": doubts,
        "subject": f"Use {usable} answers to {request_id}?",
        "body": "\n".join(lines),
    }


def collect(ctx: Context, request_id: str) -> dict[str, Any]:
    """Close the request and keep its answers as labelled rows of the window they were asked for.

    Rows picked at random may judge a repair; those picked for being hard only tune it. Raises `BadInput` where fewer
    came than the request's minimum; the request stays open then.
    """
    asked = _manifest(ctx, request_id)
    if not ctx.store.exists(key_of(request_id, "DONE")):
        _check_enough(asked, _check(ctx, request_id, kept_answers.stored(ctx, request_id)))
        close(ctx, request_id)
    # read once more: what came in before the request was closed counts, however often this is run
    checked = _check(ctx, request_id, kept_answers.stored(ctx, request_id))
    _check_enough(asked, checked)
    champion = ctx.registry.version(asked["model"])
    fair = np.array([pick == RANDOM for pick in checked.pick], dtype=bool)
    for kind, mask in (("rows", fair), ("chosen", ~fair)):
        if mask.any():
            windows.keep_rows(ctx, champion, asked["window"], checked.rows.take(mask), kind)
    return {
        "model": champion.name,
        "window": asked["window"],
        "request": request_id,
        "labels": len(checked.rows),
        "conflicts": len(checked.conflicts),
        "unanswered": len(checked.unanswered),
        "agreement": checked.agreement,
        "annotators": dict(checked.annotators),
    }


def rows_of(ctx: Context, request_id: str) -> Rows:
    """The rows that were asked for."""
    key = key_of(request_id, "rows.npz")
    return from_npz(ctx.store.get(key), key)


def _check(ctx: Context, request_id: str, labels: bytes) -> CheckedAnswers:
    classes = _manifest(ctx, request_id)["classes"]
    where = key_of(request_id, "labels.jsonl")
    return check_answers(
        labels, ctx.store.get(key_of(request_id, "tasks.jsonl")), rows_of(ctx, request_id), classes, where
    )


def _check_enough(asked: Mapping[str, Any], checked: CheckedAnswers) -> None:
    if len(checked.rows) < asked["min_labels"]:
        raise BadInput(
            f"label request {asked['request_id']}: {len(checked.rows)} usable answers, at least {asked['min_labels']} "
            "are needed; add answers (`heritage label answer`) and run collect again"
        )


def _check_open(ctx: Context, request_id: str) -> None:
    if ctx.store.exists(key_of(request_id, "DONE")):
        raise Conflict(f"label request {request_id} is closed; what came since is not used")


def _in_time(ctx: Context, manifest: Mapping[str, Any]) -> bool:
    return not manifest["deadline"] or datetime.fromisoformat(manifest["deadline"]) > ctx.now()


def _manifest(ctx: Context, request_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ctx.store.get(key_of(request_id, "manifest.json")))
    return found


def _answers(ctx: Context, request_id: str) -> list[Answer]:
    labels, asked = kept_answers.stored(ctx, request_id), ctx.store.get(key_of(request_id, "tasks.jsonl"))
    return read_answers(labels, asked, _manifest(ctx, request_id)["classes"], key_of(request_id, "labels.jsonl"))


def _cell(text: str) -> str:
    """`text` inside a Markdown table: what people call themselves becomes neither markup nor a new column."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>()#+-.!|&" else c for c in printable(text, 60))


def _time(given: Answer) -> str:
    return given.time


def _mentioned(labels: bytes) -> set[str]:
    """Ids in lines of answers, however broken the rest of them is."""
    found = set()
    for line in labels.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and isinstance(value.get("sample_id"), str):
            found.add(value["sample_id"])
    return found
