"""Is a relative healthy on what the champion sees now? Its own drift profile and, with labels, its accuracy."""

from typing import TYPE_CHECKING

from heritage.drift.rules import Rules
from heritage.drift.verdict import check
from heritage.errors import NotFound
from heritage.flows.context import Context
from heritage.flows.networks import manifest_of, network_of
from heritage.flows.profiles import profile_of, window_of
from heritage.records import ModelVersion
from heritage.repair.donors import Health
from heritage.rows import Rows

if TYPE_CHECKING:
    from torch import Tensor


def drift_rules(ctx: Context) -> Rules:
    """The rules that the settings ask for."""
    own = ctx.settings.drift
    return Rules(
        min_rows=own.min_rows, alpha=own.alpha, warning_effect=own.warning_effect, drift_effect=own.drift_effect,
        trigger_effect=own.trigger_effect,
    )  # fmt: skip


def health_of(
    ctx: Context, version: ModelVersion, state: "dict[str, Tensor]", inputs: Rows, labelled: Rows | None
) -> Health:
    """How `version` stands on current `inputs`: effect against its own profile, accuracy on `labelled` rows.

    A version without a profile has an infinite drift: without labels nothing shows that it is healthy.
    """
    from heritage.weights.network import logits

    network = network_of(ctx, manifest_of(ctx, version), state)
    try:
        profile = profile_of(ctx, version)
        drift = check(profile, window_of(profile, inputs, network), drift_rules(ctx)).effect
    except NotFound:
        drift = float("inf")
    accuracy = None
    if labelled is not None and labelled.y is not None:
        accuracy = float((logits(network, labelled.x).argmax(axis=1) == labelled.y).mean())
    return Health(drift, accuracy)
