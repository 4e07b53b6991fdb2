"""Query strategies by name. The default asks for half of the rows at random, half by margin and diversity.

After drift a model's own doubts mislead: entropy, vote entropy and coreset can do worse than random (`python
tests/bench/repair.py query` compares them). The random half is also the only unbiased sample.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput
from heritage.labelling.committee import jensen_shannon, vote_entropy
from heritage.labelling.diversity import badge, k_center, kmeans_plus_plus, squared_distances
from heritage.labelling.pool import Index, Pool, Selection
from heritage.labelling.uncertainty import entropy, least_confidence, margin

RANDOM = "random"
MIXED = "mixed"
DIVERSE = "margin-diverse"
# candidates that k-means++ draws from, as a multiple of the rows wanted
_SHORTLIST = 4

Strategy = Callable[[Pool, int, np.random.Generator], Index]


def _at_random(pool: Pool, count: int, random: np.random.Generator) -> Index:
    return random.permutation(len(pool))[:count].astype(np.int64)


def _highest(scores: NDArray[np.float64], count: int, random: np.random.Generator) -> Index:
    """The `count` highest scores; ties are broken at random, not by position."""
    order = np.lexsort((random.random(len(scores)), -scores))
    return order[:count].astype(np.int64)


def _margin_diverse(pool: Pool, count: int, random: np.random.Generator) -> Index:
    features = pool.need_features(DIVERSE)
    shortlist = _highest(margin(pool.probabilities), _SHORTLIST * count, random)
    drawn = kmeans_plus_plus(squared_distances(features[shortlist]), len(shortlist), count, random, first=0)
    return shortlist[drawn]


STRATEGIES: dict[str, Strategy] = {
    RANDOM: _at_random,
    "entropy": lambda pool, k, r: _highest(entropy(pool.probabilities), k, r),
    "margin": lambda pool, k, r: _highest(margin(pool.probabilities), k, r),
    "least-confidence": lambda pool, k, r: _highest(least_confidence(pool.probabilities), k, r),
    "vote-entropy": lambda pool, k, r: _highest(vote_entropy(pool.need_committee("vote-entropy")), k, r),
    "jensen-shannon": lambda pool, k, r: _highest(jensen_shannon(pool.need_committee("jensen-shannon")), k, r),
    DIVERSE: _margin_diverse,
    "badge": lambda pool, k, r: badge(pool.probabilities, pool.need_features("badge"), k, r),
    "coreset": lambda pool, k, r: k_center(pool.need_features("coreset"), k, pool.labelled_features, r),
}
NAMES = (MIXED, *STRATEGIES)


def select(strategy: str, pool: Pool, budget: int, random: np.random.Generator) -> Selection:
    """At most `budget` distinct rows of `pool`, in the order in which they should be labelled.

    'mixed' takes half of them (rounded up) at random and the rest by margin and diversity among the others, shuffled
    together, so that a labeller who stops early has seen both. Raises `BadInput` for an unknown name, a budget
    below 1, an empty pool, or a strategy that needs what the pool lacks.
    """
    if budget < 1 or not len(pool):
        raise BadInput(f"{budget} labels of {len(pool)} rows; ask for at least 1 label of at least 1 row")
    if strategy == MIXED:
        return _mixed(pool, min(budget, len(pool)), random)
    if strategy not in STRATEGIES:
        raise BadInput(f"query strategy '{strategy}' is unknown; known: {', '.join(NAMES)}")
    index = STRATEGIES[strategy](pool, min(budget, len(pool)), random)
    return Selection(index, (strategy,) * len(index))


def _mixed(pool: Pool, budget: int, random: np.random.Generator) -> Selection:
    first = _at_random(pool, -(-budget // 2), random)
    others = np.setdiff1d(np.arange(len(pool)), first)
    count = budget - len(first)
    if not count:
        return Selection(first, (RANDOM,) * len(first))
    rest = Pool(pool.probabilities[others], None if pool.features is None else pool.features[others])
    name = DIVERSE if pool.features is not None else "margin"
    index = np.concatenate([first, others[STRATEGIES[name](rest, count, random)]])
    pick = np.array([RANDOM] * len(first) + [name] * count)
    order = random.permutation(len(index))
    return Selection(index[order], tuple(pick[order].tolist()))
