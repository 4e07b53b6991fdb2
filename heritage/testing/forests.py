"""Named kinds of forests by seed, generated once and kept in a folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from heritage.testing import plan
from heritage.testing.forest import generate
from heritage.testing.plan import ForestPlan

KINDS: dict[str, Callable[[int], ForestPlan]] = {
    "hard": lambda n: plan.hard(n),
    "hardbf": lambda n: plan.hard(n, "bf16"),
    "full": lambda n: plan.easy(plan.FULL, n),
    "lora": lambda n: plan.easy(plan.ADAPTERS, n),
    "five": lambda n: plan.easy(plan.FIVE, n),
}


def kept_forest(kind: str, seed: int, folder: Path, models: int = 60) -> tuple[Path, dict[str, Any]]:
    """Folder and truth of the forest of this `kind` (a key of `KINDS`) and `seed` under `folder`; made if not there."""
    place = folder / f"{kind}-{seed}"
    truth = place / "truth.json"
    if truth.exists():
        found: dict[str, Any] = json.loads(truth.read_text())
        return place, found
    return place, generate(KINDS[kind](models), place, seed)
