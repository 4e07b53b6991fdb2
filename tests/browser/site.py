"""The application over the demo's family, with drift, a repair, a label request and an audit, for a real browser."""

import dataclasses
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import uvicorn

from heritage.api import Guard, create_app
from heritage.drift.verdict import check
from heritage.drift.window import Window, merge_all
from heritage.flows import audit, label, repair, windows
from heritage.flows.context import Context
from heritage.flows.judgements import verdict_key
from heritage.flows.profiles import profile_of
from heritage.labelling.pool import Selection
from heritage.labelling.request import RequestOptions, make_request
from heritage.records import ModelVersion, Origin, ParentEdge, Relation
from heritage.registry import FAMILY, Description
from heritage.rows import Rows, to_npz
from heritage.weights.write import write_safetensors
from tests.api.small_fleet import login, may_start, register_by_hand

HOSTILE = '<img src=x onerror="alert(1)">'
SCRIPT = "<script>alert(2)</script>"
LOST = "ab" * 32


@dataclasses.dataclass(frozen=True)
class Site:
    """Where the pages are, and what there is to be found on them."""

    url: str
    ctx: Context
    champion: str
    plan: str
    images: str
    texts: str


def furnish(ctx: Context, family: dict[str, ModelVersion], folder: Path) -> dict[str, str]:
    """Judge the champion's windows, search a repair, ask for labels, audit; and add versions with hostile texts."""
    champion = family["digits-site"]
    _edges_of_every_kind(ctx, family, folder)
    register_by_hand(ctx, folder, HOSTILE, {FAMILY: HOSTILE, "note": SCRIPT, "heritage.digest": "cd" * 32})
    _judge(ctx, champion)
    images = label.request(ctx, champion.name)["request"]
    found = repair.search(ctx, champion.name, wish=repair.Wish(rungs="none,rollback,one"))
    audit.run(ctx)
    return {"champion": champion.address, "plan": found["plan"], "images": images, "texts": _texts(ctx, champion)}


def _judge(ctx: Context, version: ModelVersion) -> None:
    """The verdicts of the drift check, without its reports: those take seconds and are no part of the pages."""
    profile = profile_of(ctx, version)
    for name in windows.listed(ctx, version):
        keys = ctx.store.list(windows.prefix("windows", version, name))
        counts = merge_all(profile, [Window.from_bytes(profile, ctx.store.get(key), key) for key in keys])
        verdict = check(profile, counts, window_id=name)
        record = {"sources": "", "verdict": verdict.record()}
        ctx.store.put(verdict_key(version, name), json.dumps(record, allow_nan=False).encode())
        ctx.registry.set_tag(version, "heritage.drift", f"{verdict.status}:{name}")


def _edges_of_every_kind(ctx: Context, family: dict[str, ModelVersion], folder: Path) -> None:
    """A merge that was attested, and a version whose parents were recovered, one of them never registered."""
    turned, noisy = family["digits-turned"], family["digits-noisy"]
    merged = tuple(
        ParentEdge(v.digest, Relation.MERGE, Origin.ATTESTED, 1.0, v.name, v.version) for v in (turned, noisy)
    )
    _tiny(ctx, folder, "digits-merged", merged)
    found = (
        ParentEdge(turned.digest, Relation.FINETUNE, Origin.RECOVERED, 0.93, turned.name, turned.version),
        ParentEdge(LOST, Relation.DISTILL, Origin.DECLARED),
    )
    _tiny(ctx, folder, "digits-found", found)


def _tiny(ctx: Context, folder: Path, name: str, parents: tuple[ParentEdge, ...]) -> None:
    path = folder / name / "model.safetensors"
    path.parent.mkdir()
    write_safetensors(path, {"w": np.random.default_rng(len(name)).normal(size=(3, 3)).astype(np.float32)})
    ctx.registry.set_tag(ctx.registry.register(name, path, Description(parents=parents)).version, FAMILY, "digits")


def _texts(ctx: Context, champion: ModelVersion) -> str:
    """A request for the classes of three texts, one of them hostile, with a class that is hostile too."""
    rows = Rows(np.arange(6, dtype=np.float32).reshape(3, 2))
    deadline = (ctx.now() + timedelta(days=3)).isoformat()
    options = RequestOptions(
        champion.address, champion.digest, "hour-03", ("bill", "praise", HOSTILE), "random", deadline=deadline
    )
    texts = ("Charged twice in March.", f"Works well. {SCRIPT}", "Thank you!")
    wanted = make_request(rows, Selection(np.arange(3), ("random",) * 3), options, texts=texts)
    base = f"labels/{wanted.request_id}/"
    ctx.store.create(f"{base}rows.npz", to_npz(wanted.rows))
    ctx.store.create(f"{base}tasks.jsonl", wanted.tasks)
    ctx.store.create(f"{base}manifest.json", wanted.manifest)
    return wanted.request_id


@contextmanager
def serving(connect: Callable[[], Context]) -> Iterator[str]:
    """Address of the application on a port of its own; whoever asks is named by the header x-user."""
    app = create_app(Guard(login, may_start), connect=connect)
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [own]})
        thread.start()
        try:
            until = time.monotonic() + 20
            while not server.started and time.monotonic() < until:
                time.sleep(0.02)
            yield f"http://127.0.0.1:{own.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
