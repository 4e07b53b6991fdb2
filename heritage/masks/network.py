"""A small transformer of our own, trained on handwritten digits: real weights to prune, in seconds, without downloads.

Eight tokens (the rows of an 8 x 8 picture) of eight numbers; layers are named as in the large models, so that
`--layer 1 --component mlp.down_proj` means the same here. Importing this module imports torch.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention, silu

from heritage.errors import BadInput, NotFound

COMPONENTS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
              "mlp.up_proj", "mlp.down_proj")  # fmt: skip
WIDTH, FEED, LAYERS, HEADS = 160, 320, 2, 4


def _linear(inside: int, outside: int) -> nn.Linear:
    return nn.Linear(inside, outside, bias=False)


class Attention(nn.Module):
    """Self-attention over the eight rows of a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj = _linear(WIDTH, WIDTH), _linear(WIDTH, WIDTH)
        self.v_proj, self.o_proj = _linear(WIDTH, WIDTH), _linear(WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens: (n, 8, WIDTH) to the same shape."""
        parts = [p(x).unflatten(-1, (HEADS, -1)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj)]
        mixed: torch.Tensor = self.o_proj(scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2))
        return mixed


class Feed(nn.Module):
    """Gated feed-forward part."""

    def __init__(self) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = _linear(WIDTH, FEED), _linear(WIDTH, FEED), _linear(FEED, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each token by itself: (n, 8, WIDTH) to the same shape."""
        made: torch.Tensor = self.down_proj(silu(self.gate_proj(x)) * self.up_proj(x))
        return made


class Layer(nn.Module):
    """Attention and feed-forward, each on a normed copy and added back."""

    def __init__(self) -> None:
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = nn.RMSNorm(WIDTH), nn.RMSNorm(WIDTH)
        self.self_attn, self.mlp = Attention(), Feed()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 8, WIDTH) to the same shape."""
        x = x + self.self_attn(self.input_layernorm(x))
        made: torch.Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return made


class Digits(nn.Module):
    """The whole network: pictures (n, 8, 8) to logits (n, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, WIDTH)
        self.position = nn.Parameter(0.02 * torch.randn(8, WIDTH))
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm, self.head = nn.RMSNorm(WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of pictures."""
        hidden = self.embed(x) + self.position
        for layer in self.layers:
            hidden = layer(hidden)
        logits: torch.Tensor = self.head(self.norm(hidden).mean(dim=1))
        return logits


def trained(seed: int = 0, epochs: int = 6) -> tuple[Digits, NDArray[np.float32], NDArray[np.int64]]:
    """The network after `epochs` over the digits, its training pictures (n, 8, 8) and their labels.

    The seed decides weights and order; torch's global stream is left as it was.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = torch.tensor(digits.images / 16.0, dtype=torch.float32)
    y = torch.tensor(digits.target)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Digits()
        optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(len(x)), 128):
                optimiser.zero_grad()
                cross_entropy(network(x[rows]), y[rows]).backward()  # type: ignore[no-untyped-call]
                optimiser.step()
    network.eval()
    return network, np.asarray(x.numpy()), np.asarray(y.numpy(), dtype=np.int64)


def layer_and_inputs(
    network: Digits, x: NDArray[np.float32], layer: int, component: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights (out, in) of a component and what flows into it (tokens, in) for pictures `x`.

    Raises `NotFound` for a component or layer the network does not have.
    """
    if component not in COMPONENTS:
        raise NotFound(f"no component '{component}'; the network has {', '.join(COMPONENTS)}")
    if not 0 <= layer < LAYERS:
        raise NotFound(f"no layer {layer}; the network has layers 0 to {LAYERS - 1}")
    if not len(x):
        raise BadInput("no calibration rows; give at least one")
    module = network.get_submodule(f"layers.{layer}.{component}")
    seen: list[torch.Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    with torch.no_grad():
        network(torch.from_numpy(x))
    hook.remove()
    weights = module.get_parameter("weight").detach().numpy()
    return np.array(weights, dtype=np.float32), seen[0].flatten(0, -2).numpy()
