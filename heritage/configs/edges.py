"""Lineage edges for the config studies: read safely, ids canonicalised, doubles and self-edges reported."""

import ast
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd
import yaml

from heritage.configs.sources import manifest_id
from heritage.configs.table import ConfigTable
from heritage.configs.validate import Quarantine, canonical_ids
from heritage.errors import BadInput, NotFound
from heritage.names import printable
from heritage.records import Manifest

# relation that each parent column of a flattened table states
PARENT_COLUMNS: Mapping[str, str] = {
    "parent_model": "unknown", "finetune_parent": "finetune", "quantized_parent": "quantize",
    "adapter_parent": "lora", "merge_parent": "merge", "base_model": "unknown",
}  # fmt: skip
# the hub's words for the relations that heritage names otherwise
_RELATIONS = {"adapter": "lora", "quantized": "quantize", "fine-tune": "finetune", "finetuned": "finetune"}
_NAMES = {"parent": "parent_id", "child": "child_id", "source": "parent_id", "target": "child_id"}


@dataclass(frozen=True, eq=False)
class Edges:
    """`frame`: parent_id, child_id, relation, each pair once; `quarantine`: what was set aside and why."""

    frame: pd.DataFrame
    quarantine: pd.DataFrame

    def __len__(self) -> int:
        return len(self.frame)

    def graph(self) -> "nx.DiGraph[str]":
        """The edges as a directed graph, parent to child."""
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_edges_from(zip(self.frame["parent_id"], self.frame["child_id"], strict=True))
        return graph

    def known(self, table: ConfigTable) -> tuple[pd.DataFrame, int]:
        """Edges with both ends in `table`, and how many were left out."""
        # a look-up in the table's own index: pandas would hash all its ids anew for every question
        place = table.positions
        ends = zip(self.frame["parent_id"].tolist(), self.frame["child_id"].tolist(), strict=True)
        inside = np.fromiter((p in place and c in place for p, c in ends), dtype=np.bool_, count=len(self.frame))
        return self.frame[inside].reset_index(drop=True), int((~inside).sum())


def load_edges(path: Path) -> Edges:
    """Edges of a csv (also .gz) or parquet file, a GraphML file, JSON (node-link, or a list of edge objects), or of
    the model cards in a folder.

    Columns: parent_id, child_id and optionally relation. Raises `NotFound`, or `BadInput` for anything else; pickled
    graphs are refused, as reading one runs code.
    """
    if path.is_dir():
        return from_cards(path)
    if not path.is_file():
        raise NotFound(f"{path}: no such file; give edges as csv, parquet, GraphML or JSON, or a folder of model cards")
    suffix = path.suffix
    if suffix in (".pkl", ".pickle", ".gpickle"):
        raise BadInput(f"{path}: pickled graphs are not read, as reading one runs code; export it as GraphML or JSON")
    try:
        if suffix == ".graphml":
            raw = _graphml(path)
        elif suffix == ".json":
            raw = _json(json.loads(path.read_bytes()), path)
        else:
            raw = pd.read_parquet(path) if suffix == ".parquet" else pd.read_csv(path, dtype=str)
    except (ValueError, OSError, nx.NetworkXError, SyntaxError) as error:
        raise BadInput(f"{path}: not readable as edges ({printable(str(error))})") from error
    return edges_of(raw, str(path))


def edges_of(raw: pd.DataFrame, where: str = "edges") -> Edges:
    """Canonical edges of a frame with parent_id, child_id and optionally relation; doubles keep the first relation."""
    named = raw.rename(columns={o: n for o, n in _NAMES.items() if o in raw and n not in raw})
    if not {"parent_id", "child_id"} <= set(named.columns):
        raise BadInput(f"{where}: columns are {[printable(str(c)) for c in raw.columns]}; expected parent_id, child_id "
                       "and optionally relation")  # fmt: skip
    relation = named["relation"] if "relation" in named else pd.Series(["unknown"] * len(named), dtype=object)
    frame = pd.DataFrame({"parent_id": named["parent_id"], "child_id": named["child_id"]}).reset_index(drop=True)
    frame["relation"] = relation.fillna("unknown").astype(str).str.lower().replace(_RELATIONS).to_numpy()
    return _clean(frame)


def _clean(frame: pd.DataFrame) -> Edges:
    quarantine = Quarantine()
    parents, bad_parent = canonical_ids(frame["parent_id"])
    children, bad_child = canonical_ids(frame["child_id"])
    bad = bad_parent | bad_child
    _note(frame[bad], "an end is no model id", quarantine)
    frame = frame.assign(parent_id=parents, child_id=children)[~bad].reset_index(drop=True)
    for rule in ("self-edge", "listed twice"):
        hit = (
            (frame["parent_id"] == frame["child_id"])
            if rule == "self-edge"
            else frame.duplicated(["parent_id", "child_id"])
        )
        _note(frame[hit], rule, quarantine)
        frame = frame[~hit].reset_index(drop=True)
    return Edges(frame, quarantine.frame())


def _note(frame: pd.DataFrame, rule: str, quarantine: Quarantine) -> None:
    if len(frame):
        parents = [printable(str(p)) for p in frame["parent_id"]]
        quarantine.add(frame["child_id"].tolist(), "parent_id", parents, rule, "edge set aside")


def cycles(edges: Edges) -> list[list[str]]:
    """Groups of models that are one another's ancestors; empty for a true genealogy."""
    return sorted(sorted(c) for c in nx.strongly_connected_components(edges.graph()) if len(c) > 1)


def from_columns(table: ConfigTable) -> Edges:
    """Edges of the parent columns of `table` (one id, a JSON list or a Python list literal; parsed, never run)."""
    rows = [
        (parent, model, relation)
        for column, relation in PARENT_COLUMNS.items()
        if column in table.frame
        for model, cell in zip(table.frame["modelId"], table.frame[column], strict=True)
        for parent in parents_in(cell)
    ]
    return edges_of(pd.DataFrame(rows, columns=["parent_id", "child_id", "relation"]))


def parents_in(cell: object) -> list[str]:
    """Parent ids that one cell names: 'a/b', '["a/b"]' or "['a/b', 'c/d']"; what is neither is taken as one id."""
    if not isinstance(cell, str) or not cell.strip():
        return []
    if cell.lstrip()[0] not in "[(":
        return [cell]
    try:
        parsed = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    return [p for p in parsed if isinstance(p, str)]


def from_manifests(manifests: Iterable[Manifest]) -> Edges:
    """Edges that the manifests of registered versions record; parents outside the collection are left out."""
    known = {m.digest: m for m in manifests}
    rows = [
        (manifest_id(known[p.digest]), manifest_id(m), str(p.relation))
        for m in known.values() for p in m.parents if p.digest in known
    ]  # fmt: skip
    return edges_of(pd.DataFrame(rows, columns=["parent_id", "child_id", "relation"]))


def from_cards(folder: Path) -> Edges:
    """Edges of model cards: the base_model of the YAML head of <organisation>/<model>/README.md.

    Raises `NotFound` where the folder has none.
    """
    rows = []
    cards = sorted(folder.rglob("README.md"))
    if not cards:
        raise NotFound(f"{folder}: holds no model card; expected <organisation>/<model>/README.md")
    for card in cards:
        head = _front_matter(card.read_text(encoding="utf-8", errors="replace"))
        base = head.get("base_model") or []
        relation = str(head.get("base_model_relation") or "unknown")
        child = "/".join(card.relative_to(folder).parts[:-1][-2:]) or folder.name
        rows += [(str(p), child, relation) for p in ([base] if isinstance(base, str) else list(base))]
    return edges_of(pd.DataFrame(rows, columns=["parent_id", "child_id", "relation"]))


def _front_matter(card: str) -> Mapping[str, Any]:
    parts = card.split("---", 2)
    if len(parts) < 3 or parts[0].strip():
        return {}
    try:
        head = yaml.safe_load(parts[1])
    except yaml.YAMLError:
        return {}
    return head if isinstance(head, dict) else {}


def _graphml(path: Path) -> pd.DataFrame:
    head = path.read_bytes()
    if b"<!DOCTYPE" in head or b"<!ENTITY" in head:
        raise BadInput(f"{path}: GraphML with a document type or entities is not read; export it without")
    graph = nx.parse_graphml(head.decode())
    rows = [(str(u), str(v), d.get("relation", "unknown")) for u, v, d in graph.edges(data=True)]
    return pd.DataFrame(rows, columns=["parent_id", "child_id", "relation"])


def _json(content: object, path: Path) -> pd.DataFrame:
    links = content.get("links", content.get("edges")) if isinstance(content, dict) else content
    if not isinstance(links, list) or not all(isinstance(e, dict) for e in links):
        raise BadInput(f"{path}: expected a node-link graph or a list of objects with parent_id and child_id")
    wanted = {*_NAMES, *_NAMES.values(), "relation"}
    return pd.DataFrame([{k: v for k, v in link.items() if k in wanted} for link in links])
