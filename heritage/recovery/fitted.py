"""What was fitted on generated forests; printed by `python tests/bench/fit_direction.py`."""

# log-likelihood ratio for each unit of a feature of `direction.FEATURES`
WEIGHTS: dict[str, float] = {
    "growth": 1.08,
    "growth_each": 2.48,
    "dispersion": 1.25,
    "embedding": 0.0,
    "gain": 2.36,
    "bias": 2.9,
    "batches": 8.41,
    "filled": 2.3,
    "grid": 2.57,
    "scaled": 4.29,
    "growth_still": 1.12,
    "slope": 0.69,
}
# weight of .5 log(degree) of the root, and temperature of root scores
HUB = 2.5
TEMPERATURE = 1.0
# logistic of an edge's confidence, over `confidence.Claim.covariates`
CONFIDENCE: dict[str, float] = {
    "constant": -0.73,
    "direction": 0.49,
    "close": -1.85,
    "adapter": 1.51,
    "close_adapter": -1.25,
    "from_root": 2.1,
    "ratio": 1.01,
}
PROOF = 0.98
# edges less sure than this are not claimed
LEAST_CONFIDENCE = 0.35
