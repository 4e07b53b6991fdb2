"""What a search may do: rungs, budget, seed, device."""

from dataclasses import dataclass

from heritage.errors import BadInput
from heritage.repair.plan import Rung

LADDER = (
    Rung.NONE,
    Rung.ROLLBACK,
    Rung.ONE,
    Rung.HULL,
    Rung.FINETUNE_20,
    Rung.FINETUNE_60,
    Rung.FINETUNE_200,
)


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """`tune_share` of the labelled rows tunes, the rest chooses the rung, over `splits` ways to cut them.

    A simpler rung is preferred within `tolerance` standard errors of the best. `budget` counts forward passes over the
    rows; `rates` are learning rates, the first for the 20 steps, each tried for the others. `trim` < 1 keeps that
    share of a repair vector's entries (TIES). `device` is 'auto', 'cpu' or a torch device; `threads` is fixed because
    it decides the last bits of sums.
    """

    rungs: tuple[Rung, ...] = LADDER
    seed: int = 0
    tune_share: float = 0.7
    splits: int = 4
    tolerance: float = 0.5
    budget: int = 4000
    rates: tuple[float, ...] = (1e-3, 3e-3)
    trim: float = 1.0
    device: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        if not 0.0 < self.tune_share < 1.0:
            raise BadInput(f"tune_share is {self.tune_share}; it must lie between 0 and 1")
        if min(self.budget, self.threads, self.splits) < 1 or not self.rates:
            raise BadInput(
                f"budget is {self.budget}, threads {self.threads}, splits {self.splits}, rates {self.rates}; "
                "each must be at least 1, with at least one rate"
            )
        if not 0.0 < self.trim <= 1.0:
            raise BadInput(f"trim is {self.trim}; the share of entries to keep must lie in (0, 1]")


# the plain rule that the ladder replaces: the nearest healthy ancestor, one factor
NEAREST_RULE = (Rung.NONE, Rung.ONE)


def parse_rungs(text: str) -> tuple[Rung, ...]:
    """Rungs from 'none,one,hull' (in order of the ladder); 'all' is the ladder. Raises `BadInput` for other words."""
    if text == "all":
        return LADDER
    words = {w.strip() for w in text.split(",") if w.strip()}
    unknown = sorted(words - {r.value for r in Rung})
    if unknown or not words:
        raise BadInput(f"rung '{'' if not unknown else unknown[0]}' is unknown; known: {', '.join(Rung)}, all")
    return tuple(r for r in Rung if r.value in words)
