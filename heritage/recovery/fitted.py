"""What was fitted on generated forests; printed by `python tests/bench/fit_direction.py`."""

# log-likelihood ratio for each unit of a feature of `direction.FEATURES`
WEIGHTS: dict[str, float] = {
    "growth": 0.91,
    "growth_each": 1.48,
    "dispersion": 1.12,
    "embedding": 0.19,
    "gain": 1.98,
    "bias": 3.17,
    "batches": 5.03,
    "sparse": 1.37,
    "grid": 2.33,
    "scaled": 4.78,
    "growth_still": 1.7,
    "slope": 0.81,
}
# weight of .5 log(degree) of the root, and temperature of root scores
HUB = 2.5
TEMPERATURE = 1.0
# logistic of an edge's confidence: constant, log odds of the direction, closeness of the next best edge
CONFIDENCE = (0.94, 0.34, -1.27)
PROOF = 0.98
