"""A version made ready to answer: its network, and the drift agent that takes note of what it sees and says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heritage.drift.agent import DriftAgent, Limits
from heritage.drift.outbox import Sink
from heritage.errors import BadInput, NotFound
from heritage.flows.context import Context
from heritage.flows.networks import manifest_of, network_of, state_of
from heritage.flows.profiles import profile_of, reference_of
from heritage.records import ModelVersion
from heritage.storage import ObjectStore

if TYPE_CHECKING:
    from torch import nn

TRIED_ROWS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """One version, whole: a request that began with it ends with it, whatever is deployed meanwhile.

    `shape` is that of one row, None where the version has no reference rows that tell it. `agent` is None for a version
    without a drift profile: it answers, and is not watched.
    """

    version: ModelVersion
    network: "nn.Module"
    shape: tuple[int, ...] | None = None
    agent: DriftAgent | None = None

    def answer(self, x: NDArray[np.float32], ids: Sequence[str]) -> NDArray[np.float32]:
        """Probabilities (n, classes) of rows `x` (n, ...), which the agent counts; `BadInput` for rows of another
        shape and for answers that are not finite.
        """
        from heritage.weights.network import probabilities

        if self.shape is not None and x.shape[1:] != self.shape:
            raise BadInput(f"rows have shape {list(x.shape[1:])}; {self.version.address} takes {list(self.shape)}")
        with np.errstate(invalid="ignore"):  # infinite scores, which are refused below
            said = probabilities(self.network, x)
        if self.agent is not None:
            self.agent.observe(x, said, ids)
        if not np.isfinite(said).all():
            raise BadInput(f"{self.version.address} gives values that are not finite for these rows; check their range")
        return said


def load(ctx: Context, version: ModelVersion) -> Served:
    """`version` with its verified weights, tried on rows of its own reference before anybody is answered.

    Raises what is wrong with it: no manifest, no architecture, a builder that is not allowed, altered weights, answers
    that are not finite.
    """
    network = network_of(ctx, manifest_of(ctx, version), state_of(ctx, version))
    reference = reference_of(ctx, version)
    shape = None if reference is None else reference.x.shape[1:]
    if reference is not None:
        Served(version, network, shape).answer(reference.x[:TRIED_ROWS], ())
    return Served(version, network, shape, _agent(ctx, version))


def _agent(ctx: Context, version: ModelVersion) -> DriftAgent | None:
    try:
        profile = profile_of(ctx, version)
    except NotFound:
        return None
    own = ctx.settings.serve
    limits = Limits(flush_s=own.flush_s, close_s=own.close_s)
    return DriftAgent(profile, sink_of(ctx), version.name, version.version, limits=limits, keep_rows=own.keep_rows)


def sink_of(ctx: Context) -> Sink:
    """Writes to storage, giving up on one object sooner than a flow would: the agent keeps it and tries again."""
    s3 = ctx.settings.s3
    deadline_s = min(s3.deadline_s, ctx.settings.serve.flush_deadline_s)
    return ObjectStore.connect(s3.model_copy(update={"deadline_s": deadline_s})).create
