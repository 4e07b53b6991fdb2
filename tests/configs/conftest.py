import numpy as np
import pandas as pd
import pytest

from heritage.configs.edges import edges_of
from heritage.configs.table import table_of

KINDS = {"llama": (4096, 32, 32000), "bert": (768, 12, 30522), "gpt2": (1024, 24, 50257), "mixtral": (4096, 32, 32000)}


def make_fleet(n=240, seed=0):
    """A raw table and raw edges of generated models: dated, with downloads, holes, mixtures and a forest."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(list(KINDS), n, p=[0.5, 0.2, 0.2, 0.1])
    month = np.sort(rng.integers(0, 24, n))
    width = np.array([KINDS[k][0] for k in kind]) * rng.choice([1, 2], n)
    heads = width // 64
    mixture = kind == "mixtral"
    raw = pd.DataFrame({
        "modelId": [f"org{i % 9}/model-{i}" for i in range(n)],
        "config_model_type": kind, "config_hidden_size": width,
        "config_num_hidden_layers": [KINDS[k][1] for k in kind], "config_vocab_size": [KINDS[k][2] for k in kind],
        "config_intermediate_size": width * rng.choice([3, 4], n), "config_num_attention_heads": heads,
        "config_num_key_value_heads": np.where(rng.random(n) < month / 30, heads // 4, heads),
        "config_max_position_embeddings": rng.choice([512, 2048, 8192, 32768, 131072], n),
        "config_rope_theta": rng.choice(["10000.0", "1000000"], n),
        "config_rope_scaling_type": rng.choice(["yarn", "linear"], n),
        "config_torch_dtype": np.where(rng.random(n) < 1 / (1 + np.exp(-(month - 12) / 3)), "bfloat16", "float16"),
        "config_n_routed_experts": np.where(mixture, rng.choice([8, 64], n), 0),
        "config_num_experts_per_tok": np.where(mixture, 2, 0), "uses_moe": mixture.astype(str), "uses_rope": "True",
        "uses_quantization": (rng.random(n) < 0.2).astype(str),
        "config_transformers_version": [f"4.{20 + m // 3}.1" for m in month],
        "createdAt": [f"{2023 + m // 12}-{m % 12 + 1:02d}-07T10:00:00.000Z" for m in month],
        "downloads": rng.lognormal(4, 2, n).round(), "likes": rng.lognormal(1, 1, n).round(),
        "pipeline_tag": rng.choice(["text-generation", "fill-mask"], n),
    })  # fmt: skip
    holes = rng.random(raw.shape) < 0.15
    holes[:, [0, 1]] = False
    edges = []
    for i in range(20, n):
        earlier = np.flatnonzero(kind[:i] == kind[i])
        if len(earlier) and rng.random() < 0.7:
            edges.append((raw["modelId"][rng.choice(earlier)], raw["modelId"][i], rng.choice(["finetune", "lora"])))
    return raw.astype(object).mask(holes), pd.DataFrame(edges, columns=["parent_id", "child_id", "relation"])


@pytest.fixture(scope="session")
def raw_fleet():
    return make_fleet()


@pytest.fixture(scope="session")
def fleet_table(raw_fleet):
    return table_of(raw_fleet[0])


@pytest.fixture(scope="session")
def fleet_edges(raw_fleet):
    return edges_of(raw_fleet[1])
