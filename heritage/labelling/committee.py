"""Disagreement between models of one lineage; `committee` is (members, n, classes), larger is more disagreement."""

import numpy as np
from numpy.typing import NDArray

from heritage.labelling.pool import Floats
from heritage.labelling.uncertainty import entropy


def vote_entropy(committee: Floats) -> NDArray[np.float64]:
    """Entropy in nats (n,) of the members' hard votes (Dagan and Engelson 1995)."""
    members, rows, classes = committee.shape
    votes = np.zeros((rows, classes))
    for member in committee.argmax(axis=2):
        votes[np.arange(rows), member] += 1.0 / members
    return entropy(votes)


def jensen_shannon(committee: Floats) -> NDArray[np.float64]:
    """Jensen-Shannon divergence in nats (n,): entropy of the mean minus mean of the entropies."""
    singles = np.mean([entropy(member) for member in committee], axis=0)
    result: NDArray[np.float64] = entropy(committee.mean(axis=0)) - singles
    return result
