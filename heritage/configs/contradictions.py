"""Declared lineage against configuration: edges whose two ends cannot stand in the relation that was declared.

A fine-tuned, adapted, quantised or pruned child keeps the class, width, depth and heads of its parent; a merge keeps
the width; a distilled child may be anything. What differs all the same is found, explained, and ranked by how hard it
is to explain away. A finding is a candidate for an auditor's question, not a proof: model cards and leaderboards err.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import pandas as pd

from heritage.configs.drift import positions
from heritage.configs.edges import Edges
from heritage.configs.intervals import wilson
from heritage.configs.table import ConfigTable

COLUMNS = ["parent_id", "child_id", "relation", "score", "severity", "check", "parent_value", "child_value",
           "explanation"]  # fmt: skip
_SIZE_TOLERANCE = 0.05  # relative difference of parameter counts that tied embeddings and rounding explain
_VOCAB_TOLERANCE = 0.02  # added tokens and padding to a multiple
# how a model says that its weights are packed, so that a count of stored numbers is no count of parameters
_PACKED = re.compile(r"(?:^|[^a-z])(?:gptq|awq|gguf|bnb|[2-8]-?bit|int[248]|w[48]a16|nf4|fp4|exl2|hqq)(?:$|[^a-z])")


class Severity(IntEnum):
    """How hard a difference is to explain away."""

    NOTE = 1
    SUSPICIOUS = 2
    CONTRADICTION = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference of one edge: which check, how severe, both values as text, why it matters."""

    check: str
    severity: Severity
    parent: str
    child: str
    explanation: str


_Check = Callable[[Mapping[str, object], Mapping[str, object], str], Finding | None]
# relations after which a network has the shape it had before
_KEEPS_SHAPE = frozenset(["finetune", "lora", "quantize", "prune", "repair", "copy", "unknown"])
_CHILD = {"finetune": "fine-tuned", "quantize": "quantised", "prune": "pruned", "merge": "merged", "repair": "repaired",
          "copy": "copied", "lora": "LoRA", "unknown": "derived"}  # fmt: skip
_SHAPE = {"config_hidden_size": "width", "config_num_hidden_layers": "depth", "config_num_attention_heads": "heads",
          "config_num_key_value_heads": "key-value heads",
          "config_intermediate_size": "feed-forward width"}  # fmt: skip


def _class(parent: Mapping[str, object], child: Mapping[str, object], relation: str) -> Finding | None:
    for column, name in (("config_architecture", "architecture"), ("config_model_type", "model type")):
        a, b = parent[column], child[column]
        if not (isinstance(a, str) and isinstance(b, str)):
            continue
        if a == b or relation == "distill":
            return None
        if _stem(a) == _stem(b):  # such as LlamaForCausalLM and LlamaForSequenceClassification
            return Finding("head", Severity.NOTE, a, b, "same body with another head")
        return Finding(name, Severity.CONTRADICTION, a, b, f"{_child(relation)} keeps its parent's {name}")
    return None


def _child(relation: str) -> str:
    return f"a {_CHILD.get(relation, relation)} child"


def _stem(name: str) -> str:
    return name.split("For")[0].removesuffix("LMHeadModel").removesuffix("Model").lower()


def _shape(column: str) -> _Check:
    def check(parent: Mapping[str, object], child: Mapping[str, object], relation: str) -> Finding | None:
        a, b = parent[column], child[column]
        if not _differ(a, b, 0.0) or relation == "distill":
            return None
        if relation == "merge" and column == "config_num_hidden_layers":
            return Finding("depth", Severity.NOTE, _text(a), _text(b), "a merge may stack layers of its parents")
        keeps = relation in _KEEPS_SHAPE or column == "config_hidden_size"
        severity = Severity.CONTRADICTION if keeps else Severity.SUSPICIOUS
        why = f"{_child(relation)} keeps its parent's {_SHAPE[column]}"
        return Finding(_SHAPE[column], severity, _text(a), _text(b), why)

    return check


def _parameters(parent: Mapping[str, object], child: Mapping[str, object], relation: str) -> Finding | None:
    a, b = parent["config_approx_params_billions"], child["config_approx_params_billions"]
    if not _differ(a, b, _SIZE_TOLERANCE) or relation in ("distill", "prune"):
        return None
    assert isinstance(a, float)
    assert isinstance(b, float)
    times = max(a, b) / min(a, b)
    told = f"{times:.2f} times {'fewer' if b < a else 'more'} parameters"
    if relation == "merge":
        return Finding("parameters", Severity.NOTE, f"{a:g} G", f"{b:g} G", f"{told}; a merge may stack layers")
    if b < a and (relation == "quantize" or _packed(child)):
        why = f"{told}: packed low-bit weights are counted as fewer parameters"
        return Finding("parameters", Severity.NOTE, f"{a:g} G", f"{b:g} G", why)
    if b > a and abs(times - 2.0) < 0.02:
        why = f"{told}: as when base and adapter were counted together"
        return Finding("parameters", Severity.SUSPICIOUS, f"{a:g} G", f"{b:g} G", why)
    severity = Severity.CONTRADICTION if times > 1.5 else Severity.SUSPICIOUS
    return Finding("parameters", severity, f"{a:g} G", f"{b:g} G", f"{told}; {_child(relation)} keeps its size")


def _packed(model: Mapping[str, object]) -> bool:
    told = " ".join(str(model[c]).lower() for c in ("modelId", "config_quantization_method", "config_torch_dtype"))
    return model["uses_quantization"] == 1.0 or _PACKED.search(told) is not None


def _vocabulary(parent: Mapping[str, object], child: Mapping[str, object], relation: str) -> Finding | None:
    a, b = parent["config_vocab_size"], child["config_vocab_size"]
    if not _differ(a, b, 0.0):
        return None
    if not _differ(a, b, _VOCAB_TOLERANCE):
        return Finding("vocabulary", Severity.NOTE, _text(a), _text(b), "a few tokens were added, removed or padded")
    severity = Severity.NOTE if relation == "distill" else Severity.SUSPICIOUS
    return Finding(
        "vocabulary", severity, _text(a), _text(b), "another vocabulary: embeddings cannot be inherited whole"
    )


def _tokeniser(parent: Mapping[str, object], child: Mapping[str, object], _: str) -> Finding | None:
    a, b = parent["config_tokenizer_class"], child["config_tokenizer_class"]
    if not (isinstance(a, str) and isinstance(b, str)) or a.removesuffix("Fast") == b.removesuffix("Fast"):
        return None
    return Finding("tokeniser", Severity.SUSPICIOUS, a, b, "another tokeniser class: the same text gives other tokens")


def _time(parent: Mapping[str, object], child: Mapping[str, object], _: str) -> Finding | None:
    a, b = parent["created"], child["created"]
    if not (isinstance(a, pd.Timestamp) and isinstance(b, pd.Timestamp)) or pd.isna(a) or pd.isna(b) or a <= b:
        return None
    days = (a - b).days
    severity = Severity.SUSPICIOUS if days > 30 else Severity.NOTE
    return Finding("time", severity, str(a.date()), str(b.date()), f"the child is {days} days older than its parent")


_CHECKS: tuple[_Check, ...] = (_class, *(_shape(c) for c in _SHAPE), _parameters, _vocabulary, _tokeniser, _time)
_READ = ("config_architecture", "config_model_type", *_SHAPE, "config_approx_params_billions", "config_vocab_size",
         "config_tokenizer_class", "modelId",
         "config_quantization_method", "config_torch_dtype", "uses_quantization")  # fmt: skip


def _differ(a: object, b: object, tolerance: float) -> bool:
    """Whether both are numbers that lie further apart than `tolerance` of the larger."""
    if not (isinstance(a, float) and isinstance(b, float)) or np.isnan(a) or np.isnan(b):
        return False
    return abs(a - b) > tolerance * max(abs(a), abs(b)) + 1e-9


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def contradictions(table: ConfigTable, edges: Edges) -> pd.DataFrame:
    """Every finding on every edge with both ends in `table` (COLUMNS), worst edge first.

    `score` is the sum of the severities of an edge's findings: 1 a note, 2 suspicious, 4 a contradiction.
    """
    inside, _ = edges.known(table)
    facts = _facts(table)
    rows = []
    for parent, child, relation in inside.itertuples(index=False, name=None):
        found = [f for check in _CHECKS if (f := check(facts[parent], facts[child], relation)) is not None]
        score = sum(int(f.severity) for f in found)
        rows += [(parent, child, relation, score, f.severity.name.lower(), f.check, f.parent, f.child, f.explanation)
                 for f in sorted(found, key=lambda f: -f.severity)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=COLUMNS)
    order = ["score", "parent_id", "child_id"]
    return frame.sort_values(order, ascending=[False, True, True], kind="stable", ignore_index=True)


def _facts(table: ConfigTable) -> dict[str, dict[str, object]]:
    frame = pd.DataFrame({c: table.column(c).astype(object) for c in _READ})
    created = pd.to_datetime(table.column("createdAt").astype(object), errors="coerce", utc=True, format="ISO8601")
    records = frame.assign(created=created).to_dict("records")
    return dict(zip(table.frame["modelId"], records, strict=True))


def overview(table: ConfigTable, edges: Edges, found: pd.DataFrame) -> pd.DataFrame:
    """check, n_judged (edges where both ends tell), n_found, share with Wilson limits; notes are not counted."""
    inside, _ = edges.known(table)
    i, j = positions(table, inside)
    columns = {"architecture": "config_architecture", "model type": "config_model_type",
               **{name: column for column, name in _SHAPE.items()},
               "parameters": "config_approx_params_billions", "vocabulary": "config_vocab_size",
               "tokeniser": "config_tokenizer_class", "time": "createdAt"}  # fmt: skip
    serious = found[found["severity"] != "note"]
    rows = []
    for check, column in columns.items():
        told = table.column(column).notna().to_numpy()
        rows.append((check, int((told[i] & told[j]).sum()), int((serious["check"] == check).sum())))
    frame = pd.DataFrame(rows, columns=["check", "n_judged", "n_found"])
    frame["share"] = frame["n_found"] / frame["n_judged"].where(frame["n_judged"] > 0)
    frame["low"], frame["high"] = wilson(frame["n_found"], frame["n_judged"])
    return frame


def explain(found: pd.DataFrame, limit: int = 20) -> list[str]:
    """The worst edges in sentences, one an edge, at most `limit`."""
    lines = []
    for (parent, child), part in found.groupby(["parent_id", "child_id"], sort=False):
        relation = str(part["relation"].iloc[0])
        kept = part["explanation"].str.startswith(f"{_child(relation)} keeps")
        them = "them" if kept.sum() > 1 else "it"
        told = [f"{_changes(part[kept])} ({_child(relation)} keeps {them})"] if kept.any() else []
        told += [f"{_changes(part.loc[[row]])} ({why})" for row, why in part["explanation"][~kept].items()]
        lines.append(f"{child} declared as {relation} of {parent}: {'; '.join(told)}")
        if len(lines) == limit:
            break
    return lines


def _changes(part: pd.DataFrame) -> str:
    rows = part[["check", "parent_value", "child_value"]].itertuples(index=False, name=None)
    return ", ".join(f"{check} {before} -> {after}" for check, before, after in rows)
