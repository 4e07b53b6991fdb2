"""Register a version: its weights and their fingerprint, its parents, its reference rows and their drift profile."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from heritage import __version__
from heritage.drift.profile import DriftProfile
from heritage.errors import Conflict, NotFound
from heritage.flows import attest, copies, news, story
from heritage.flows.context import Context
from heritage.flows.prints import FINGERPRINT_PATH, FINGERPRINT_TAG, architecture_tag
from heritage.flows.profiles import PROFILE_PATH, REFERENCE_PATH, fit_profile
from heritage.names import check_name, printable
from heritage.records import Architecture, MadeBy, ModelVersion, ParentEdge, TrainingData
from heritage.registry import Description
from heritage.rows import Rows, to_npz
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.fingerprint_codec import to_bytes
from heritage.weights.fingerprinting import take_fingerprint
from heritage.weights.limits import Limits
from heritage.weights.network import load

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class Registration:
    """What is to be registered: safetensors file or folder, and what is known about it.

    `reference` are held-out rows of the data that the version is meant for; without them it can be neither watched
    for drift nor repaired. `profile` is fitted on them when it is not given.
    """

    name: str
    weights: Path
    architecture: Architecture | None = None
    reference: Rows | None = None
    profile: DriftProfile | None = None
    parents: tuple[ParentEdge, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)
    dag: str = ""
    run: str = ""


def check(ctx: Context, wanted: Registration) -> str:
    """The content digest of what would be registered; raises what `run` would raise before it writes anything."""
    check_name(wanted.name)
    with Checkpoint.open(wanted.weights, _limits(ctx)) as checkpoint:
        if wanted.architecture is not None:
            load(wanted.architecture, checkpoint, ctx.settings.allowed_builders)
        return checkpoint.digest


def run(ctx: Context, wanted: Registration) -> ModelVersion:
    """The canonical version of this content under this name; registering it again changes nothing."""
    check_name(wanted.name)
    extras: dict[str, bytes] = {}
    profile = wanted.profile
    with Checkpoint.open(wanted.weights, _limits(ctx)) as checkpoint:
        network = (
            None
            if wanted.architecture is None
            else load(wanted.architecture, checkpoint, ctx.settings.allowed_builders)
        )
        taken = take_fingerprint(checkpoint)
    extras[FINGERPRINT_PATH] = to_bytes(taken)
    if wanted.reference is not None:
        extras[REFERENCE_PATH] = to_npz(wanted.reference)
        if profile is None and network is not None:
            profile = fit_profile(wanted.reference, network)
    training_data = None
    if profile is not None:
        extras[PROFILE_PATH] = profile.to_bytes()
        training_data = TrainingData(profile.signature, profile.rows, profile.moments)
    description = Description(
        parents=wanted.parents,
        architecture=wanted.architecture,
        training_data=training_data,
        metrics=wanted.metrics,
        made_by=MadeBy(__version__, wanted.dag, wanted.run) if wanted.dag else None,
        tags={FINGERPRINT_TAG: architecture_tag(taken)},
    )
    version = ctx.registry.register(wanted.name, wanted.weights, description, extras).version
    _vouch(ctx, version)
    news.registered(ctx, version, wanted.parents)
    return version


def _vouch(ctx: Context, version: ModelVersion) -> None:
    """Lock a copy of the manifest, sign it where there is a key, and tell the story.

    A version that was there already, and whose records were edited since, is left to the audit.
    """
    try:
        copies.keep(ctx, version)
        if ctx.settings.audit.signing_key is not None:
            attest.sign(ctx, version.address)
        story.write(ctx, version.address)
    except (Conflict, NotFound) as error:
        _log.warning("not locked, signed or told", version=version.address, reason=printable(str(error), 500))


def _limits(ctx: Context) -> Limits:
    weights = ctx.settings.weights
    return Limits(weights.max_header_bytes, weights.max_tensors)
