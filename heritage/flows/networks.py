"""Networks of registered versions, and what they say about rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from heritage.errors import BadInput
from heritage.flows.context import Context
from heritage.records import Manifest, ModelVersion
from heritage.rows import Rows

if TYPE_CHECKING:
    from torch import Tensor, nn


def manifest_of(ctx: Context, version: ModelVersion) -> Manifest:
    """The version's manifest; `BadInput` for a version that heritage has not ingested."""
    manifest = ctx.registry.manifest(version)
    if manifest is None:
        raise BadInput(f"{version.address} has no manifest; run heritage_ingest (or `heritage ingest`) first")
    return manifest


def weights_path(ctx: Context, version: ModelVersion) -> Path:
    """Local folder with the version's verified weights; fetched once per digest."""
    return ctx.registry.fetch_weights(version, ctx.settings.work_dir / "weights")


def state_of(ctx: Context, version: ModelVersion) -> "dict[str, Tensor]":
    """The version's tensors by name."""
    from heritage.weights.checkpoint import Checkpoint

    with Checkpoint.open(weights_path(ctx, version)) as checkpoint:
        return checkpoint.torch_state()


def network_of(ctx: Context, manifest: Manifest, state: "Mapping[str, Tensor]") -> "nn.Module":
    """The manifest's network with `state` in it; its builder must be allow-listed."""
    from heritage.weights.network import load

    if manifest.architecture is None:
        raise BadInput(
            f"{manifest.name}: its manifest names no architecture, so it cannot be run; register it with "
            "--architecture package.module:callable"
        )
    return load(manifest.architecture, state, ctx.settings.allowed_builders)


def answerable(network: "nn.Module", rows: Rows | None) -> Rows | None:
    """Those of `rows` to which `network` gives finite probabilities; None where there are none.

    One row that lacks a value would make every mean over the rows NaN: nothing can be learnt from it, or judged by it.
    """
    from heritage.weights.network import probabilities

    if rows is None:
        return None
    sound = rows.take(np.flatnonzero(np.isfinite(probabilities(network, rows.x)).all(axis=1)))
    return sound if len(sound) else None
