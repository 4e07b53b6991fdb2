"""The quick summary: the fleet on one screen of text."""

from collections.abc import Iterable

import pandas as pd

from heritage.configs.contributors import USES
from heritage.configs.fields import CONTEXT_LEVELS, SIZE_LEVELS, short
from heritage.configs.table import ConfigTable

_KEY = {"Hidden size": "config_hidden_size", "Layers": "config_num_hidden_layers",
        "Attention heads": "config_num_attention_heads", "Vocabulary": "config_vocab_size",
        "Context length": "config_max_position_embeddings"}  # fmt: skip


def quick_summary(table: ConfigTable) -> str:
    """Overview, contributors, features, families, sizes, contexts, key numbers, experts, grouped attention, types."""
    sections = {
        "Overview": _overview(table),
        "Top 10 contributors": _counted(table.column("organization"), 10),
        "Features (of the models that tell)": [_share(table, u) for u in USES],
        "Families": _counted(table.column("family"), 10),
        "Size": _levels(table, "size_category", SIZE_LEVELS),
        "Context length": _levels(table, "context_category", CONTEXT_LEVELS),
        "Key numbers": [_number(name, table.column(column)) for name, column in _KEY.items()],
        "Mixtures of experts": _experts(table),
        "Grouped-query attention": _grouped(table),
        "Top 10 model types": _counted(table.column("config_model_type"), 10),
    }
    blocks = [f"{title}\n" + "\n".join(f"  {line}" for line in lines) for title, lines in sections.items() if lines]
    return "\n\n".join(blocks) + "\n"


def _overview(table: ConfigTable) -> list[str]:
    set_aside = table.quarantine["action"].value_counts()
    lines = [f"{len(table):,} models of {table.column('organization').nunique():,} organisations, "
             f"{table.column('config_model_type').nunique():,} model types"]  # fmt: skip
    return lines + [f"{n:,} {action}" for action, n in set_aside.items()]


def _counted(column: pd.Series, limit: int) -> list[str]:
    counts, known = column.value_counts().head(limit), max(int(column.notna().sum()), 1)
    return [f"{name}: {n:,} ({n / known:.1%})" for name, n in counts.items()]


def _share(table: ConfigTable, column: str) -> str:
    flag = table.column(column)
    known = int(flag.notna().sum())
    name = short(column).removeprefix("uses ")
    return f"{name}: {int((flag == 1).sum()):,} of {known:,} ({flag.mean():.1%})" if known else f"{name}: nothing known"


def _levels(table: ConfigTable, column: str, levels: Iterable[str]) -> list[str]:
    counts = table.column(column).value_counts()
    total = max(int(counts.sum()), 1)
    return [
        f"{name.replace('_', ' ')}: {counts[name]:,} ({counts[name] / total:.1%})" for name in levels if name in counts
    ]


def _number(name: str, values: pd.Series) -> str:
    known = values.dropna()
    if not len(known):
        return f"{name}: nothing known"
    return f"{name}: median {known.median():,.0f}, mean {known.mean():,.0f}, {known.min():,.0f} to {known.max():,.0f}"


def _experts(table: ConfigTable) -> list[str]:
    mixtures = (table.column("uses_moe") == 1).to_numpy()
    lines = []
    for name, column in (("experts", "config_n_routed_experts"), ("experts a token", "config_num_experts_per_tok")):
        common = table.column(column)[mixtures].mode()
        lines += [f"most common number of {name}: {common.iloc[0]:.0f}"] if len(common) else []
    return lines + _counted(table.column("organization")[mixtures], 5)


def _grouped(table: ConfigTable) -> list[str]:
    ratio = table.column("config_gqa_ratio")
    counts = ratio[ratio > 1].value_counts().head(5)
    return [f"{value:g} heads share a key-value head: {n:,} models" for value, n in counts.items()]
