"""What is told: one piece of work, and the model versions that it read and made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from heritage.records import ParentEdge


@dataclass(frozen=True, slots=True)
class Version:
    """A model version that work read or made; what is not known of it stays empty."""

    address: str
    digest: str = ""
    family: str = ""
    parents: tuple[ParentEdge, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """Work of the kind `job` ('register', 'drift_check', ...) that ended well.

    `key` tells this piece of work from others of its kind, `result` are JSON values of it.
    """

    job: str
    key: str
    inputs: tuple[Version, ...] = ()
    outputs: tuple[Version, ...] = ()
    result: Mapping[str, Any] = field(default_factory=dict)
