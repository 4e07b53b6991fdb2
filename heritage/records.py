"""Frozen values that the parts of heritage hand to one another. No behaviour beyond validation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from heritage.errors import BadInput


class Relation(StrEnum):
    """How a child was made from its parent."""

    FINETUNE = "finetune"
    LORA = "lora"
    PRUNE = "prune"
    QUANTIZE = "quantize"
    DISTILL = "distill"
    MERGE = "merge"
    REPAIR = "repair"
    COPY = "copy"
    UNKNOWN = "unknown"


class Origin(StrEnum):
    """How an edge is known."""

    DECLARED = "declared"  # someone said so
    ATTESTED = "attested"  # the process that made the child said so, and signed or wrote it
    RECOVERED = "recovered"  # inferred from the weights, with a confidence


@dataclass(frozen=True, slots=True)
class Architecture:
    """Where the network's code is: 'package.module:callable' and its keyword arguments (JSON values only)."""

    builder: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """One safetensors file of a model: plain file name, SHA-256 of its bytes, size."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Moments:
    """First moments of one numeric column of data; `mean` to `kurtosis` over present values (excess kurtosis)."""

    count: int
    missing: int
    mean: float
    variance: float
    skewness: float
    kurtosis: float
    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What a version was trained on: digest of its drift profile, number of rows, moments per column."""

    signature: str
    rows: int
    moments: Mapping[str, Moments] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Transformation:
    """What was done to the parent: free-form type and parameters (JSON values only)."""

    type: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParentEdge:
    """One lineage edge, as the child's manifest holds it. `confidence` lies in [0, 1]; declared edges have 1.

    `metrics` are those of the child at the time of the transformation; `data_drift` is the drift of the child's data
    against the parent's, per column (measure names to values).
    """

    digest: str
    relation: Relation
    origin: Origin
    confidence: float = 1.0
    name: str = ""
    version: str = ""
    transformation: Transformation = Transformation("unknown")
    metrics: Mapping[str, float] = field(default_factory=dict)
    data_drift: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0.0 <= self.confidence <= 1.0:  # also refuses NaN
            raise BadInput(f"confidence of parent {self.digest[:12]} is {self.confidence}; it must lie in [0, 1]")


@dataclass(frozen=True, slots=True)
class MadeBy:
    """The process that made a version: DAG id and run id ('' when made by hand), and the heritage version."""

    tool_version: str
    dag: str = ""
    run: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The record of one model version, stored as `heritage/manifest.json` of the run that made it.

    `digest` is the SHA-256 over canonical tensor content. `created_at` is ISO 8601 in UTC. `metrics` are results at
    registration.
    """

    digest: str
    name: str
    files: tuple[WeightsFile, ...]
    dtype: str
    parameters: int
    made_by: MadeBy
    created_at: str
    architecture: Architecture | None = None
    training_data: TrainingData | None = None
    parents: tuple[ParentEdge, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A version in the registry; `digest` is '' for versions that were registered without heritage."""

    name: str
    version: str
    digest: str
    run_id: str
    source: str
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    created_at_ms: int = 0

    @property
    def address(self) -> str:
        """'name/version', as people and tags write it."""
        return f"{self.name}/{self.version}"
