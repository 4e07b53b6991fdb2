"""What was fitted on generated forests; printed by `python tests/bench/fit_direction.py`."""

# log-likelihood ratio for each unit of a feature of `direction.FEATURES`
WEIGHTS: dict[str, float] = {
    "growth": 0.78,
    "growth_each": 2.07,
    "dispersion": 1.55,
    "embedding": 0.0,
    "gain": 2.33,
    "bias": 3.18,
    "batches": 8.41,
    "sparse": 0.59,
    "grid": 2.56,
    "scaled": 4.68,
    "growth_still": 1.62,
    "slope": 0.7,
}
# weight of .5 log(degree) of the root, and temperature of root scores
HUB = 2.5
TEMPERATURE = 1.0
# logistic of an edge's confidence: constant, log odds of the direction, closeness of the next best edge
CONFIDENCE = (0.5, 0.45, -1.29)
PROOF = 0.98
