"""Ask people for the labels that help most, and take in what they answer.

labels/<request>/manifest.json  tasks.jsonl  rows.npz     written once, by `request`
labels/<request>/labels.jsonl                             written by people or tools; one JSON object a line
labels/<request>/DONE                                     optional: nothing more will come
"""

import json
from datetime import timedelta
from typing import Any

import numpy as np

from heritage.errors import BadInput, NotFound
from heritage.flows import repair, windows
from heritage.flows.context import Context
from heritage.flows.networks import manifest_of, network_of, state_of
from heritage.labelling.answers import check_answers
from heritage.labelling.features import penultimate
from heritage.labelling.pool import Pool
from heritage.labelling.request import LabelRequest, RequestOptions, make_request
from heritage.labelling.strategies import MIXED, RANDOM, select
from heritage.names import check_name
from heritage.records import ModelVersion
from heritage.rows import Rows, from_npz, to_npz


def plan(ctx: Context, model: str, window: str = "", strategy: str = MIXED) -> tuple[ModelVersion, LabelRequest]:
    """The champion and the request that would be made: rows of its current windows that have no label yet."""
    champion = ctx.registry.version(f"{model}@champion")
    window = window or windows.newest_with_rows(ctx, champion)
    kept = windows.read_rows(ctx, champion, repair.current_windows(ctx, champion, window))
    if kept.unlabelled is None:
        raise BadInput(
            f"{champion.address}: window {window} has no unlabelled rows to ask for; keep rows of later ones"
        )
    own, rows = ctx.settings.labels, kept.unlabelled
    state = state_of(ctx, champion)
    probabilities, features = penultimate(network_of(ctx, manifest_of(ctx, champion), state), state, rows.x, "cpu")
    seed = ctx.settings.repair.seed
    chosen = select(strategy, Pool(probabilities, features), own.budget, np.random.default_rng(seed))
    options = RequestOptions(
        model=champion.address,
        digest=champion.digest,
        window=window,
        classes=tuple(str(i) for i in range(probabilities.shape[1])),
        strategy=strategy,
        seed=seed,
        min_labels=min(own.min_labels, len(chosen.index)),
        deadline=(ctx.now() + timedelta(hours=own.timeout_hours)).isoformat(),
    )
    return champion, make_request(rows, chosen, options, probabilities)


def request(ctx: Context, model: str, window: str = "", strategy: str = MIXED, dry_run: bool = False) -> dict[str, str]:
    """Write the request; the same rows asked for again are the same request, with its first deadline."""
    _, wanted = plan(ctx, model, window, strategy)
    if not dry_run:
        ctx.store.create(_key(wanted.request_id, "rows.npz"), to_npz(wanted.rows))
        ctx.store.create(_key(wanted.request_id, "tasks.jsonl"), wanted.tasks)
        ctx.store.create(_key(wanted.request_id, "manifest.json"), wanted.manifest)
        return {"request": wanted.request_id, "deadline": _manifest(ctx, wanted.request_id)["deadline"]}
    return {"request": wanted.request_id, "deadline": json.loads(wanted.manifest)["deadline"]}


def status(ctx: Context, request_id: str) -> dict[str, Any]:
    """How far a request is: tasks, distinct rows answered, whether the wait is over (all answered, or DONE)."""
    asked = {json.loads(line)["sample_id"] for line in ctx.store.get(_key(request_id, "tasks.jsonl")).splitlines()}
    answered = _answered(ctx, request_id) & asked
    done = answered == asked or ctx.store.exists(_key(request_id, "DONE"))
    return {"request": request_id, "tasks": len(asked), "answered": len(answered), "done": done}


def answer(ctx: Context, request_id: str, answers: bytes) -> dict[str, Any]:
    """Store the answers (lines of labels.jsonl) after checking them; asked for again, they replace what was there."""
    _check(ctx, request_id, answers)
    ctx.store.put(_key(request_id, "labels.jsonl"), answers)
    return status(ctx, request_id)


def collect(ctx: Context, request_id: str) -> dict[str, Any]:
    """Check the answers and keep them as labelled rows of the window they were asked for.

    Rows picked at random may judge a repair; those picked for being hard only tune it. Raises `BadInput` where fewer
    came than the request's minimum.
    """
    asked = _manifest(ctx, request_id)
    checked = _check(ctx, request_id, _labels(ctx, request_id))
    if len(checked.rows) < asked["min_labels"]:
        raise BadInput(
            f"label request {request_id}: {len(checked.rows)} usable answers, at least {asked['min_labels']} are "
            f"needed; add answers to {_key(request_id, 'labels.jsonl')} and run collect again"
        )
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
    }


def rows_of(ctx: Context, request_id: str) -> Rows:
    """The rows that were asked for."""
    key = _key(request_id, "rows.npz")
    return from_npz(ctx.store.get(key), key)


def _check(ctx: Context, request_id: str, labels: bytes) -> Any:
    classes = _manifest(ctx, request_id)["classes"]
    where = _key(request_id, "labels.jsonl")
    return check_answers(
        labels, ctx.store.get(_key(request_id, "tasks.jsonl")), rows_of(ctx, request_id), classes, where
    )


def _manifest(ctx: Context, request_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ctx.store.get(_key(request_id, "manifest.json")))
    return found


def _labels(ctx: Context, request_id: str) -> bytes:
    try:
        return ctx.store.get(_key(request_id, "labels.jsonl"))
    except NotFound:
        return b""


def _answered(ctx: Context, request_id: str) -> set[str]:
    """Ids in labels.jsonl, however broken the rest of it is: whether answers are right is for `collect` to say."""
    found = set()
    for line in _labels(ctx, request_id).splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and isinstance(value.get("sample_id"), str):
            found.add(value["sample_id"])
    return found


def _key(request_id: str, name: str) -> str:
    return f"labels/{check_name(request_id, 'label request')}/{name}"
