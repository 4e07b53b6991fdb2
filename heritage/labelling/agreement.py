"""Agreement between annotators beyond chance, for any number of labels a row."""

from collections import Counter
from collections.abc import Sequence


def krippendorff_alpha(units: Sequence[Sequence[int]]) -> float | None:
    """Krippendorff's alpha for nominal labels: 1 perfect, 0 as by chance, below 0 systematic disagreement.

    `units[i]` are the labels that different people gave to row i; rows with fewer than two say nothing. None where no
    row has two; 1.0 where all labels of all such rows are equal (Krippendorff 2011, nominal metric).
    """
    paired = [Counter(labels) for labels in units if len(labels) > 1]
    total = sum(count.total() for count in paired)
    if not total:
        return None
    overall: Counter[int] = sum(paired, Counter())
    observed = sum((count.total() ** 2 - sum(c * c for c in count.values())) / (count.total() - 1) for count in paired)
    expected = (total * total - sum(c * c for c in overall.values())) / (total - 1)
    return 1.0 - observed / expected if expected else 1.0
