"""Which relatives are healthy on what a champion sees now; each is looked at once, by whichever task comes first.

health/<model>/<version>/<digest of the rows>/<digest of the weights>.json
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from heritage.errors import HeritageError, NotFound, Unavailable
from heritage.flows.context import Context
from heritage.flows.health import health_of
from heritage.flows.networks import state_of
from heritage.lineage.graph import LineageGraph
from heritage.names import printable
from heritage.records import ModelVersion
from heritage.repair.donors import DonorChoice, DonorOptions, Health, choose_donors
from heritage.rows import Rows

if TYPE_CHECKING:
    from torch import Tensor

LICENCE = "license"
BARRED = "heritage.no_donor"


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What health is judged on: a champion's current inputs, and labelled rows that the gate never looks at."""

    champion: ModelVersion
    inputs: Rows
    tune: Rows | None

    @property
    def digest(self) -> str:
        """One digest for both; equal rows give equal health."""
        tune = "" if self.tune is None else self.tune.digest
        return hashlib.sha256(f"{self.inputs.digest} {tune}".encode()).hexdigest()


def relatives(ctx: Context, champion: ModelVersion, graph: LineageGraph) -> list[ModelVersion]:
    """One registered version for each relative of the champion."""
    found = (next(ctx.registry.versions(digest=r.digest), None) for r in graph.relatives(champion.digest))
    return [version for version in found if version is not None]


def barred(champion: ModelVersion, version: ModelVersion) -> str:
    """Why people do not want `version` to lend weights to `champion`; '' where they did not say so.

    Either its tag 'heritage.no_donor' holds the reason, or both have a tag 'license' and the two differ.
    """
    if BARRED in version.tags:
        return f"its tag {BARRED} says: {printable(version.tags[BARRED] or 'no')}"
    mine, its = champion.tags.get(LICENCE, ""), version.tags.get(LICENCE, "")
    if mine and its and mine != its:
        return f"another licence ({printable(its, 40)}, that of the champion is {printable(mine, 40)})"
    return ""


def health(ctx: Context, sight: Sight, version: ModelVersion, state: "dict[str, Tensor] | None" = None) -> Health:
    """How `version` stands on these rows; remembered in storage. `state` saves reading its weights."""
    key = f"health/{sight.champion.name}/{sight.champion.version}/{sight.digest}/{version.digest}.json"
    try:
        return _read(ctx.store.get(key))
    except NotFound:
        found = health_of(ctx, version, state or state_of(ctx, version), sight.inputs, sight.tune)
    ctx.store.create(key, json.dumps({"drift": _finite(found.drift), "accuracy": found.accuracy}).encode())
    return found


def choose(ctx: Context, sight: Sight, graph: LineageGraph) -> "tuple[DonorChoice, dict[str, dict[str, Tensor]]]":
    """The donors to use, with their tensors by digest.

    A relative whose weights are gone or cannot be used is left out with the reason; where storage or registry do not
    answer, `Unavailable` is raised, so that an outage is no reason against a donor.
    """
    versions = {v.digest: v for v in relatives(ctx, sight.champion, graph)}
    reasons = {digest: why for digest, v in versions.items() if (why := barred(sight.champion, v))}
    healths: dict[str, Health] = {sight.champion.digest: health(ctx, sight, sight.champion)}
    for digest, version in versions.items():
        if digest not in reasons:
            _noted(reasons, healths, digest, lambda version=version: health(ctx, sight, version))
    own = ctx.settings.repair
    options = DonorOptions(own.donors, min_confidence=own.min_confidence)
    states: dict[str, dict[str, Tensor]] = {}
    while True:
        choice = choose_donors(graph, sight.champion.digest, healths, options, reasons)
        wanted = [d.digest for d in choice.donors if d.digest not in states]
        for digest in wanted:
            _noted(reasons, states, digest, lambda digest=digest: state_of(ctx, versions[digest]))
        # deleted since its health was noted: choose again without it
        if all(digest in states for digest in wanted):
            return choice, {d.digest: states[d.digest] for d in choice.donors}


def _noted(reasons: dict[str, str], results: Any, digest: str, call: Any) -> None:
    """Put what `call` gives into `results`, or what stands against it into `reasons`."""
    try:
        results[digest] = call()
    except Unavailable:
        raise
    except HeritageError as error:
        reasons[digest] = printable(str(error), 300)


def assess(ctx: Context, sight: Sight, digests: Sequence[str]) -> dict[str, str]:
    """Look at the versions of `digests`; digest -> 'healthy figures' in short, or why it cannot be used."""
    graph = ctx.registry.graph()
    known = {v.digest: v for v in [sight.champion, *relatives(ctx, sight.champion, graph)]}
    told: dict[str, str] = {}
    for digest in digests:
        if digest not in known:
            told[digest] = "no registered version has this digest any more"
            continue
        found: dict[str, Health] = {}
        _noted(told, found, digest, lambda digest=digest: health(ctx, sight, known[digest]))
        if digest in found:
            told[digest] = f"effect {found[digest].drift:.3f}, accuracy {found[digest].accuracy}"
    return told


def _read(data: bytes) -> Health:
    raw: Mapping[str, Any] = json.loads(data)
    return Health(inf if raw["drift"] is None else float(raw["drift"]), raw["accuracy"])


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
