"""The demo's network: a small convolutional net with BatchNorm for 8 x 8 grey images."""

from torch import nn


def digits_net(width: int = 16, classes: int = 10) -> nn.Module:
    """Network from float32 images (n, 1, 8, 8) in [0, 1] to logits (n, classes); about 30,000 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, padding=1),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(2 * width, 4 * width, 3, padding=1),
        nn.BatchNorm2d(4 * width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * width, classes),
    )
