"""What was fitted on generated forests; printed by `python tests/bench/fit_direction.py`."""

# log-likelihood ratio for each unit of a feature of `direction.FEATURES`
WEIGHTS: dict[str, float] = {
    "growth": 0.6, "growth_each": 1.2, "dispersion": 1.9, "embedding": 1.2, "gain": 1.8, "bias": 3.6,
    "batches": 5.0, "sparse": 3.1, "grid": 3.2, "scaled": 5.4, "growth_still": 1.5, "slope": 0.3,
}  # fmt: skip
# weight of .5 log(degree) of the root, and temperature of root scores
HUB = 0.75
TEMPERATURE = 1.0
# logistic of an edge's confidence: constant, log odds of the direction, closeness of the next best edge
CONFIDENCE = (0.5, 0.5, -1.0)
PROOF = 0.98
