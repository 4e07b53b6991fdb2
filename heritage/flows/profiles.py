"""Drift profiles of versions: what their reference rows look like, and what the network says about them."""

from typing import TYPE_CHECKING

from heritage.drift.columns import as_frame
from heritage.drift.performance import PerformanceReference
from heritage.drift.profile import DriftProfile
from heritage.drift.window import Window
from heritage.errors import NotFound
from heritage.flows.context import Context
from heritage.records import ModelVersion
from heritage.rows import Rows, from_npz

if TYPE_CHECKING:
    from torch import nn

PROFILE_PATH = "heritage/profile.npz"
REFERENCE_PATH = "heritage/reference.npz"


def fit_profile(inputs: Rows, network: "nn.Module", labelled: Rows | None = None) -> DriftProfile:
    """Profile of `inputs` and of what `network` says about them; `labelled` rows tell how right it is (default: inputs,
    where they have labels).
    """
    from heritage.weights.network import probabilities

    said = probabilities(network, inputs.x)
    judged = inputs if labelled is None else labelled
    performance = None
    if judged.y is not None and len(judged):
        on_judged = said if labelled is None else probabilities(network, judged.x)
        performance = PerformanceReference.fit(on_judged, judged.y)
    frame, outputs = as_frame(inputs.x, said)
    return DriftProfile.fit(frame, outputs=outputs, performance=performance)


def window_of(profile: DriftProfile, inputs: Rows, network: "nn.Module") -> Window:
    """`inputs`, and what `network` says about them, counted on the profile's cells."""
    from heritage.weights.network import probabilities

    return Window.empty(profile).update(*as_frame(inputs.x, probabilities(network, inputs.x)))


def profile_of(ctx: Context, version: ModelVersion) -> DriftProfile:
    """The version's stored profile; `NotFound` where it has none."""
    try:
        data = ctx.registry.artifact(version, PROFILE_PATH)
    except NotFound as error:
        raise NotFound(
            f"{version.address} has no drift profile ({PROFILE_PATH} among its run's artifacts); "
            "register it with reference rows (--reference rows.npz)"
        ) from error
    return DriftProfile.from_bytes(data, f"profile of {version.address}")


def reference_of(ctx: Context, version: ModelVersion) -> Rows | None:
    """The version's held-out rows of its original domain; None where none were registered."""
    try:
        data = ctx.registry.artifact(version, REFERENCE_PATH)
    except NotFound:
        return None
    return from_npz(data, f"reference rows of {version.address}")
