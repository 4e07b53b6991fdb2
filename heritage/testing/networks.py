"""Four kinds of small networks whose state dicts look like those of the field."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TOKENS, LENGTH, PIXELS = 64, 12, 64


@dataclass(frozen=True, slots=True)
class Shape:
    """A network: `kind` (a key of `KINDS`), width, depth, attention heads (0 where it has none)."""

    kind: str
    width: int
    depth: int
    heads: int = 4

    @property
    def reads_tokens(self) -> bool:
        """Whether inputs are token ids of shape (n, LENGTH); otherwise they are pixels of shape (n, PIXELS)."""
        return self.kind in ("layernorm", "rmsnorm")


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.ModuleDict({"dense": nn.Linear(width, width)})

    def forward(self, x: Tensor) -> Tensor:
        n, t, w = x.shape
        q, k, v = (f(x).view(n, t, self.heads, -1).transpose(1, 2) for f in (self.query, self.key, self.value))
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, w)
        return cast(Tensor, self.output["dense"](mixed))


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = _Attention(width, heads)
        self.layernorm_before, self.layernorm_after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, 3 * width)})
        self.output = nn.ModuleDict({"dense": nn.Linear(3 * width, width)})

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.layernorm_before(x))
        inner = F.gelu(self.intermediate["dense"](self.layernorm_after(x)))
        return x + cast(Tensor, self.output["dense"](inner))


class LayerNormTransformer(nn.Module):
    """Encoder with biases everywhere, learned positions, mean pooling."""

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict(
            {"word": nn.Embedding(TOKENS, shape.width), "position": nn.Embedding(LENGTH, shape.width)}
        )
        self.encoder = nn.ModuleDict(
            {"layer": nn.ModuleList(_Layer(shape.width, shape.heads) for _ in range(shape.depth))}
        )
        self.layernorm = nn.LayerNorm(shape.width)
        self.classifier = nn.Linear(shape.width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of token ids (n, LENGTH)."""
        h = self.embeddings["word"](x) + cast(nn.Embedding, self.embeddings["position"]).weight
        for layer in cast(nn.ModuleList, self.encoder["layer"]):
            h = layer(h)
        return cast(Tensor, self.classifier(self.layernorm(h).mean(1)))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.groups = heads, max(1, heads // 2)
        small = width // heads * self.groups
        linear = partial(nn.Linear, bias=False)
        self.self_attn = nn.ModuleDict(
            {
                "q_proj": linear(width, width),
                "k_proj": linear(width, small),
                "v_proj": linear(width, small),
                "o_proj": linear(width, width),
            }
        )
        inner = 2 * width
        self.mlp = nn.ModuleDict(
            {"gate_proj": linear(width, inner), "up_proj": linear(width, inner), "down_proj": linear(inner, width)}
        )
        self.input_layernorm, self.post_attention_layernorm = nn.RMSNorm(width), nn.RMSNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, w = x.shape
        a, h = self.self_attn, self.input_layernorm(x)
        q = a["q_proj"](h).view(n, t, self.heads, -1).transpose(1, 2)
        k, v = (a[p](h).view(n, t, self.groups, -1).transpose(1, 2) for p in ("k_proj", "v_proj"))
        k, v = (z.repeat_interleave(self.heads // self.groups, 1) for z in (k, v))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + a["o_proj"](mixed.transpose(1, 2).reshape(n, t, w))
        h = self.post_attention_layernorm(x)
        return x + cast(Tensor, self.mlp["down_proj"](F.silu(self.mlp["gate_proj"](h)) * self.mlp["up_proj"](h)))


class RMSNormTransformer(nn.Module):
    """Causal decoder without biases: RMSNorm, gated MLP, grouped-query attention."""

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__()
        self.model = nn.ModuleDict(
            {
                "embed_tokens": nn.Embedding(TOKENS, shape.width),
                "layers": nn.ModuleList(_Block(shape.width, shape.heads) for _ in range(shape.depth)),
                "norm": nn.RMSNorm(shape.width),
            }
        )
        self.score = nn.Linear(shape.width, classes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of token ids (n, LENGTH)."""
        h = self.model["embed_tokens"](x)
        for layer in cast(nn.ModuleList, self.model["layers"]):
            h = layer(h)
        return cast(Tensor, self.score(self.model["norm"](h).mean(1)))


class BatchNormNet(nn.Module):
    """Residual convolutional net with BatchNorm on 8 x 8 images."""

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__()
        w = shape.width
        self.conv1, self.bn1 = nn.Conv2d(1, w, 3, padding=1, bias=False), nn.BatchNorm2d(w)
        self.layers = nn.ModuleList(
            nn.ModuleDict({"conv": nn.Conv2d(w, w, 3, padding=1, bias=False), "bn": nn.BatchNorm2d(w)})
            for _ in range(shape.depth)
        )
        self.fc = nn.Linear(w, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of pixels (n, PIXELS)."""
        h = F.relu(self.bn1(self.conv1(x.view(-1, 1, 8, 8))))
        for i, layer in enumerate(self.layers):
            part = cast(nn.ModuleDict, layer)
            h = F.relu(h + part["bn"](part["conv"](h)))
            h = F.max_pool2d(h, 2) if i == 0 else h
        return cast(Tensor, self.fc(h.mean((2, 3))))


class PlainMLP(nn.Module):
    """Fully connected net with ReLU."""

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__()
        sizes = [PIXELS] + [shape.width] * shape.depth
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(sizes))
        self.head = nn.Linear(shape.width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of pixels (n, PIXELS)."""
        for layer in self.layers:
            x = F.relu(layer(x))
        return cast(Tensor, self.head(x))


KINDS: dict[str, Callable[[Shape, int], nn.Module]] = {
    "layernorm": LayerNormTransformer,
    "rmsnorm": RMSNormTransformer,
    "batchnorm": BatchNormNet,
    "mlp": PlainMLP,
}
HEADS = ("classifier", "score", "fc", "head")


def build(shape: Shape, classes: int, scheme: str, generator: torch.Generator) -> nn.Module:
    """A freshly initialised network. `scheme`: uniform (by fan-in), normal, orthogonal or biased (non-zero biases)."""
    network = KINDS[shape.kind](shape, classes)
    with torch.no_grad():
        for name, p in network.named_parameters():
            _initialise(name, p, scheme, generator)
    return network


def _initialise(name: str, p: Tensor, scheme: str, generator: torch.Generator) -> None:
    draws: dict[str, Any] = {"generator": generator}
    if p.ndim < 2:
        if name.endswith("bias"):
            p.normal_(0, 0.05, **draws) if scheme == "biased" else p.zero_()
        elif scheme == "biased":
            p.copy_(1 + 0.1 * torch.randn(p.shape, **draws))
        return
    fan_in = p[0].numel()
    bound = float(fan_in) ** -0.5
    if "embed" in name:
        p.normal_(0, 0.02 if scheme == "normal" else 0.5 * bound**0.5, **draws)
    elif scheme == "uniform":
        p.uniform_(-bound * 1.7, bound * 1.7, **draws)
    elif scheme == "orthogonal":
        nn.init.orthogonal_(p.view(len(p), -1), **draws)
    else:
        p.normal_(0, bound, **draws)
