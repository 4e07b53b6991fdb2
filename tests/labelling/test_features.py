"""Penultimate features are what the last linear layer is given."""

import numpy as np
import pytest
import torch
from torch import nn

from heritage.errors import BadInput
from heritage.labelling.features import penultimate


def test_features_and_probabilities_rebuild_the_output():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    x = np.random.default_rng(0).normal(size=(2000, 2, 3)).astype(np.float32)
    probabilities, features = penultimate(network, network.state_dict(), x)
    head = network[3]
    logits = features @ head.weight.detach().double().numpy().T + head.bias.detach().double().numpy()
    assert features.shape == (2000, 5)
    assert np.log(probabilities) - np.log(probabilities[:, :1]) == pytest.approx(logits - logits[:, :1], abs=1e-5)


def test_a_network_without_linear_layers_has_none():
    network = nn.Sequential(nn.Flatten(), nn.ReLU())
    with pytest.raises(BadInput, match="no linear layer"):
        penultimate(network, {}, np.zeros((2, 3), np.float32))
