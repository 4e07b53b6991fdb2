"""Is a relative healthy on what the champion sees now? Its own drift profile and, with labels, its accuracy."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from heritage.drift.verdict import Verdict, check
from heritage.errors import BadInput, Conflict, HeritageError, NotFound, Unavailable
from heritage.flows.context import Context
from heritage.flows.drift_rules import rules_of
from heritage.flows.networks import manifest_of, network_of, state_of
from heritage.flows.profiles import profile_of, window_of
from heritage.names import printable
from heritage.records import Manifest, ModelVersion
from heritage.repair.donors import Health
from heritage.rows import Rows

if TYPE_CHECKING:
    from torch import Tensor, nn

MAX_ANCESTORS = 8


def health_of(
    ctx: Context, version: ModelVersion, state: "dict[str, Tensor]", inputs: Rows, labelled: Rows | None
) -> Health:
    """How `version` stands on current `inputs`: effect against its own profile, accuracy on `labelled` rows.

    A version without a profile has an infinite drift: without labels nothing shows that it is healthy.
    """
    from heritage.weights.network import logits

    network = network_of(ctx, manifest_of(ctx, version), state)
    try:
        drift = _own_verdict(ctx, version, network, inputs).effect
    except NotFound:
        drift = float("inf")
    accuracy = None
    if labelled is not None and labelled.y is not None:
        accuracy = float((logits(network, labelled.x).argmax(axis=1) == labelled.y).mean())
    return Health(drift, accuracy)


def drift_of_ancestors(ctx: Context, version: ModelVersion, inputs: Rows) -> dict[str, dict[str, Any]]:
    """The verdict of each registered ancestor's own profile on `inputs`, by address: drift since *its* training.

    The eight nearest; each with `generation`, and `status` and `effect`, or the `problem` why there is none. No label
    is looked at, so this may guide a choice of donors that guard rows judge afterwards.
    """
    found: dict[str, dict[str, Any]] = {}
    for ancestor, generation in _ancestors(ctx, version):
        try:
            network = network_of(ctx, manifest_of(ctx, ancestor), state_of(ctx, ancestor))
            verdict = _own_verdict(ctx, ancestor, network, inputs)
            known: dict[str, Any] = {"status": verdict.status, "effect": verdict.effect}
        except Unavailable:  # nothing about the ancestor: to be tried again
            raise
        except HeritageError as error:
            known = {"problem": printable(str(error), 300)}
        found[ancestor.address] = {"generation": generation, **known}
    return found


def _own_verdict(ctx: Context, version: ModelVersion, network: "nn.Module", inputs: Rows) -> Verdict:
    profile = profile_of(ctx, version)
    rules = rules_of(ctx.settings.drift.for_model(version.name))
    return check(profile, window_of(profile, inputs, network), rules)


def _ancestors(ctx: Context, version: ModelVersion) -> Iterator[tuple[ModelVersion, int]]:
    """Registered ancestors, nearest first, with the number of generations to them."""
    generation, seen, now = 1, {version.digest}, _manifests(ctx, version)
    left = MAX_ANCESTORS
    while now and left:
        parents: list[Manifest] = []
        for digest in dict.fromkeys(edge.digest for manifest in now for edge in manifest.parents):
            parent = next(ctx.registry.versions(digest=digest), None) if digest not in seen else None
            seen.add(digest)
            if parent is not None and left:
                left -= 1
                yield parent, generation
                parents += _manifests(ctx, parent)
        now, generation = parents, generation + 1


def _manifests(ctx: Context, version: ModelVersion) -> list[Manifest]:
    """The version's manifest, or nothing where it has none that is sound: its ancestors are not known then."""
    try:
        return [manifest_of(ctx, version)]
    except (BadInput, Conflict, NotFound):
        return []
