"""The repair plan: everything that a repaired state follows from, as a frozen value with a hash.

An approval and a registration are bound to `RepairPlan.hash`; the same plan over the same inputs gives the same bits.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from heritage.errors import BadInput
from heritage.names import check_digest

PLAN_VERSION = 1


class Rung(StrEnum):
    """The steps of the ladder, from the simplest; names are part of the plan format."""

    NONE = "none"  # the drifted model as it is
    ROLLBACK = "rollback"  # one donor as it is
    ONE = "one"  # one donor, one factor
    HULL = "hull"  # convex mix of all donors
    LAYERS = "layers"  # one donor, one factor a layer; only on request
    FINETUNE_20 = "finetune-20"  # the best mix, and some way along 20 steps on labelled rows
    FINETUNE_60 = "finetune-60"  # the best mix, and some way along 60 steps on labelled rows
    FINETUNE_200 = "finetune-200"  # the same along 200 steps; tried only where 60 were the best so far


class Statistics(StrEnum):
    """What happens to BatchNorm statistics."""

    KEPT = "kept"  # interpolated like weights
    AFTER = "after"  # measured afresh on unlabelled rows once the weights are mixed
    ADAPTED = "adapted"  # measured afresh for the drifted model and each donor before they are mixed


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a state is made from the drifted model and its donors.

    `coefficients`: donor name -> share; `layers`: module -> share of the one donor (rung `layers`); `trim`: share of
    the repair vector's entries that is kept (1: all); `steps` of fine-tuning with learning rate `rate`, of which the
    result goes the share `share` of the way.
    """

    rung: Rung
    coefficients: Mapping[str, float] = field(default_factory=dict)
    statistics: Statistics = Statistics.KEPT
    steps: int = 0
    rate: float = 0.0
    share: float = 1.0
    layers: Mapping[str, float] = field(default_factory=dict)
    trim: float = 1.0

    def __post_init__(self) -> None:
        numbers = [*self.coefficients.values(), *self.layers.values(), self.rate, self.share, self.trim]
        if not all(math.isfinite(v) for v in numbers):
            raise BadInput(f"repair plan: coefficients {dict(self.coefficients)} hold a number that is not finite")

    @property
    def streams(self) -> bool:
        """True where the state is a mix of files and nothing else, so that it can be written tensor by tensor."""
        return not (self.steps or self.layers) and self.statistics is Statistics.KEPT and self.trim == 1.0


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """A recipe with the digests of all it is applied to.

    `drifted` and `donors` (name -> digest) are content digests of weights; `labelled`, `unlabelled`, `guard` are
    digests of rows ('' where there are none); `masked` names tensors whose zeros are kept, `left` tensors that stay
    as the drifted model has them (name -> reason); `threads` and `device` decide the last bits; `result` is the
    content digest of the repaired model where known; `gate` are the levels and margins that it was judged by, empty
    where it was not: the same weights under other levels are another decision, so another plan.
    """

    drifted: str
    donors: Mapping[str, str]
    recipe: Recipe
    labelled: str
    seed: int
    unlabelled: str = ""
    guard: str = ""
    masked: tuple[str, ...] = ()
    left: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    device: str = "cpu"
    result: str = ""
    version: int = PLAN_VERSION
    gate: Mapping[str, float | int | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for digest in (self.drifted, *self.donors.values(), *filter(None, (self.labelled, self.result))):
            check_digest(digest)
        lacking = sorted(self.recipe.coefficients.keys() - self.donors.keys())
        if lacking:
            raise BadInput(f"repair plan: coefficient for donor '{lacking[0]}', whose digest the plan lacks")

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no spaces, shortest exact floats. Equal plans give equal text."""
        raw = asdict(self)
        if not self.gate:  # plans of before have no such field, and keep their hash
            del raw["gate"]
        return json.dumps(raw, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @staticmethod
    def from_json(text: str, where: str = "repair plan") -> "RepairPlan":
        """The plan that `to_json` wrote; raises `BadInput` for anything else, naming it `where`."""
        try:
            raw = json.loads(text)
            if not isinstance(raw, dict) or raw.get("version") != PLAN_VERSION:
                raise ValueError(f"it has not the format version {PLAN_VERSION}")
            return _from_dict(raw)
        except (ValueError, TypeError, KeyError, RecursionError, BadInput) as error:
            raise BadInput(f"{where}: not a readable repair plan ({error}); make the plan again") from error


def _from_dict(raw: dict[str, Any]) -> RepairPlan:
    recipe = dict(raw.pop("recipe"))
    recipe["rung"], recipe["statistics"] = Rung(recipe["rung"]), Statistics(recipe["statistics"])
    if not all(type(n) is int for n in (recipe["steps"], raw["seed"], raw["threads"])):
        raise ValueError("steps, seed and threads are whole numbers")
    return RepairPlan(recipe=Recipe(**recipe), masked=tuple(raw.pop("masked")), **raw)
