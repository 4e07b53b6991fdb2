"""Models whose weights cannot be compared: grouped by their number of parameters, and said to be."""

import hashlib
from collections.abc import Callable, Sequence

from heritage.recovery.results import RecoveredFamily
from heritage.recovery.stack import Named


def by_parameters(
    models: Sequence[Named], parameters: Callable[[Named], int]
) -> tuple[list[RecoveredFamily], tuple[str, ...]]:
    """Families of `models` with equal numbers of parameters, and the warning that says so.

    They have no edges, and a root only where a model is alone.
    """
    groups: dict[int, list[str]] = {}
    for m in models:
        groups.setdefault(parameters(m), []).append(m.name)
    families = [
        RecoveredFamily(
            hashlib.sha256(f"{count} parameters".encode()).hexdigest()[:12],
            tuple(sorted(names)),
            (),
            tuple(names) if len(names) == 1 else (),
        )
        for count, names in sorted(groups.items())
    ]
    if not families:
        return [], ()
    warning = (
        f"{len(models)} models hold no weights that can be compared (no float tensors); they were put into "
        f"{len(families)} families by their number of parameters alone, which is no evidence of kinship"
    )
    return families, (warning,)
