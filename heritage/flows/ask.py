"""Which rows people are asked to label, and the request for them; see `heritage.flows.label` for the answers."""

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput
from heritage.flows import donors, repair, windows
from heritage.flows.answers import key_of
from heritage.flows.context import Context
from heritage.flows.networks import answerable, manifest_of, network_of, state_of
from heritage.flows.windows import Kept
from heritage.labelling.features import penultimate
from heritage.labelling.pool import Pool
from heritage.labelling.request import LabelRequest, RequestOptions, make_request
from heritage.labelling.strategies import MIXED, select
from heritage.records import ModelVersion
from heritage.rows import Rows, concatenate, to_npz

if TYPE_CHECKING:
    from torch import Tensor, nn

_COMMITTEE = frozenset(["vote-entropy", "jensen-shannon"])
_MEMBERS = 8


def plan(ctx: Context, model: str, window: str = "", strategy: str = MIXED) -> tuple[ModelVersion, LabelRequest]:
    """The champion and the request that would be made: rows of its current windows that have no label yet."""
    champion = ctx.registry.version(f"{model}@champion")
    window = window or windows.newest_with_rows(ctx, champion)
    kept = windows.read_rows(ctx, champion, repair.current_windows(ctx, champion, window))
    state = state_of(ctx, champion)
    network = network_of(ctx, manifest_of(ctx, champion), state)
    # which label is right for a row that the model cannot answer would help nobody
    kept = Kept(*(answerable(network, part) for part in (kept.labelled, kept.chosen, kept.unlabelled)))
    if kept.unlabelled is None:
        raise BadInput(
            f"{champion.address}: window {window} has no unlabelled rows to ask for; keep rows of later ones"
        )
    own, rows = ctx.settings.labels, kept.unlabelled
    members = _committee(ctx, champion, rows) if strategy in _COMMITTEE else None
    pool, seed = pool_of(network, state, kept, members), ctx.settings.repair.seed
    chosen = select(strategy, pool, own.budget, np.random.default_rng(seed))
    options = RequestOptions(
        model=champion.address,
        digest=champion.digest,
        window=window,
        classes=tuple(str(i) for i in range(pool.probabilities.shape[1])),
        strategy=strategy,
        seed=seed,
        min_labels=min(own.min_labels, len(chosen.index)),
        deadline=(ctx.now() + timedelta(hours=own.timeout_hours)).isoformat(),
    )
    return champion, make_request(rows, chosen, options, pool.probabilities)


def request(ctx: Context, model: str, window: str = "", strategy: str = MIXED, dry_run: bool = False) -> dict[str, Any]:
    """Write the request; the same rows asked for again are the same request, with its first deadline."""
    _, wanted = plan(ctx, model, window, strategy)
    if not dry_run:
        ctx.store.create(key_of(wanted.request_id, "rows.npz"), to_npz(wanted.rows))
        ctx.store.create(key_of(wanted.request_id, "tasks.jsonl"), wanted.tasks)
        ctx.store.create(key_of(wanted.request_id, "manifest.json"), wanted.manifest)
    key = key_of(wanted.request_id, "manifest.json")
    manifest = json.loads(wanted.manifest if dry_run else ctx.store.get(key))
    return {"request": wanted.request_id, "deadline": manifest["deadline"], "tasks": len(wanted.rows)}


def pool_of(
    network: "nn.Module", state: "dict[str, Tensor]", kept: Kept, committee: NDArray[np.float64] | None
) -> Pool:
    """The unlabelled rows as `network` with `state` sees them, and as a `committee` does."""
    assert kept.unlabelled is not None
    if not _has_features(network):
        from heritage.repair.evaluate import predict

        return Pool(predict(network, state, kept.unlabelled, "cpu"), None, committee)
    probabilities, features = penultimate(network, state, kept.unlabelled.x, "cpu")
    known = [Rows(r.x) for r in (kept.labelled, kept.chosen) if r is not None]
    labelled = penultimate(network, state, concatenate(known).x, "cpu")[1] if known else None
    return Pool(probabilities, features, committee, labelled)


def _has_features(network: "nn.Module") -> bool:
    from torch.nn import Linear

    return any(isinstance(module, Linear) for module in network.modules())


def _committee(ctx: Context, champion: ModelVersion, rows: Rows) -> NDArray[np.float64]:
    """Probabilities (members, n, classes) of the champion and its nearest relatives of the same architecture."""
    from heritage.weights.network import probabilities

    graph = ctx.registry.graph()
    wanted = graph.node(champion.digest).architecture
    members = [
        version
        for version in [champion, *donors.relatives(ctx, champion, graph)]
        if graph.node(version.digest).architecture == wanted
    ]
    networks = (network_of(ctx, manifest_of(ctx, v), state_of(ctx, v)) for v in members[:_MEMBERS])
    return np.stack([probabilities(network, rows.x).astype(np.float64) for network in networks])
