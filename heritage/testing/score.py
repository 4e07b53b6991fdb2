"""How right a recovered forest is, against the truth that a generated one comes with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of one forest, or of several together.

    `directed` and `undirected` of `pairs` true (parent, child) pairs were found; `labelled` of the directed ones carry
    the right relation. `right` of the `edges` given are true or come from an ancestor that stands in for a removed
    parent. `roots` of `families` of two or more have exactly their root named. `merges` of `all_merges` with two or
    more parents present have all of them and no other. `claims` are confidences with whether they were right.
    """

    pairs: int
    directed: int
    undirected: int
    labelled: int
    right: int
    edges: int
    roots: int
    families: int
    merges: int
    all_merges: int
    ari: float
    claims: tuple[tuple[float, bool], ...]

    def calibration_error(self) -> float:
        """Expected calibration error over ten equal bins."""
        if not self.claims:
            return 0.0
        sure, true = (np.array(v, float) for v in zip(*self.claims, strict=True))
        bins = np.minimum(9, (sure * 10).astype(int))
        return float(sum(abs(sure[bins == b].sum() - true[bins == b].sum()) for b in range(10)) / len(sure))


def pooled(scores: Sequence[Score]) -> Score:
    """All counts added up; the adjusted Rand index is the worst one."""
    counts = [n for n in Score.__dataclass_fields__ if n not in ("ari", "claims")]
    return Score(
        **{n: sum(getattr(s, n) for s in scores) for n in counts},
        ari=min(s.ari for s in scores),
        claims=tuple(c for s in scores for c in s.claims),
    )


def score(truth: Mapping[str, Any], found: Mapping[str, Any]) -> Score:
    """The score of a recovery's document against a forest's truth.

    Models of equal values count as one; the edge between them is right either way round. An edge from the base of a
    TIES merge is neither right nor wrong.
    """
    models = {m["id"]: m for m in truth["models"]}
    value = {i: m["values"] for i, m in models.items()}
    given = [(e["parent"], e["child"], e["relation"], e["confidence"]) for e in found["edges"]]
    labels: dict[tuple[str, str], set[str]] = {}
    for p, c, relation, _ in given:
        labels.setdefault((value[p], value[c]), set()).add(relation)
    pairs = [(value[p], value[c], m["kind"]) for c, m in models.items() for p in m["parents"]]
    hits = [(p, c) in labels for p, c, _ in pairs]
    allowed = {(value[a], value[c]) for c, m in models.items() for a in (*m["parents"], *m["ancestors"])}
    free = {(value[m["base"]], value[c]) for c, m in models.items() if m["base"]} - allowed
    claims = [(q, (value[p], value[c]) in allowed) for p, c, _, q in given if (value[p], value[c]) not in free]
    roots, families = _roots(models, value, set(found["roots"]))
    merges, all_merges = _merges(models, value, set(labels))
    return Score(
        pairs=len(pairs),
        directed=sum(hits),
        undirected=sum(h or (c, p) in labels for h, (p, c, _) in zip(hits, pairs, strict=True)),
        labelled=sum(h and kind in labels[p, c] for h, (p, c, kind) in zip(hits, pairs, strict=True)),
        right=sum(r for _, r in claims),
        edges=len(claims),
        roots=roots,
        families=families,
        merges=merges,
        all_merges=all_merges,
        ari=_rand(models, found),
        claims=tuple(claims),
    )


def _roots(models: Mapping[str, Any], value: Mapping[str, str], said: set[str]) -> tuple[int, int]:
    families: dict[str, list[str]] = {}
    for i, m in models.items():
        families.setdefault(m["family"], []).append(i)
    large = [f for f in families.values() if len({value[i] for i in f}) > 1]
    right = [
        {value[i] for i in f if models[i]["relation"] == "root"} == {value[i] for i in f if i in said} for f in large
    ]
    return sum(right), len(large)


def _merges(models: Mapping[str, Any], value: Mapping[str, str], given: set[tuple[str, str]]) -> tuple[int, int]:
    merges = [i for i, m in models.items() if m["kind"] == "merge" and len(m["parents"]) > 1]
    right = 0
    for i in merges:
        m = models[i]
        wanted = {value[p] for p in m["parents"]}
        also = {value[a] for a in (*m["ancestors"], *([m["base"]] if m["base"] else []))}
        said = {p for p, c in given if c == value[i] and p != c}
        right += wanted <= said <= wanted | also
    return right, len(merges)


def _rand(models: Mapping[str, Any], found: Mapping[str, Any]) -> float:
    from sklearn.metrics import adjusted_rand_score

    label = {name: f"{i}" for i, f in enumerate(found["families"]) for name in f["members"]}
    names = sorted(models)
    return float(adjusted_rand_score([models[n]["family"] for n in names], [label.get(n, n) for n in names]))
