"""The page on a decision: it stands alone, shows what it is given, and no text from outside becomes markup."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given

from heritage.errors import BadInput
from heritage.repair.evidence import Evidence, RungFigures, compared, confusion
from heritage.repair.lines import Curve
from heritage.reports.line_chart import HEIGHT, WIDTH, Line, line_chart
from heritage.reports.repair_report import per_class, repair_report

LABELS = np.array([0, 0, 0, 1, 1, 2], dtype=np.int64)
NASTY = "<script>alert(1)</script>"


def probabilities(predicted: list[int], classes: int = 3) -> np.ndarray:
    return np.full((len(predicted), classes), 0.1) + 0.7 * np.eye(classes)[predicted]


def evidence(**changes) -> Evidence:
    current = compared(probabilities([1, 1, 0, 1, 0, 0]), probabilities([0, 0, 0, 1, 1, 0]), LABELS)
    given = {
        "current": current,
        "original": None,
        "rungs": (RungFigures("none", 1.2, 0.33, "", None), RungFigures("hull", 0.4, 0.83, "accept", 0.01)),
        "curves": (
            Curve(NASTY, {}, ((0.0, 1.2), (0.4, 0.5), (1.0, 0.7))),
            Curve("b/1", {NASTY: 0.4}, ((0.0, 0.5), (1.0, float("inf")))),
        ),
        "left": {f"head.{NASTY}": "shape"},
        "skipped": {"donor": NASTY},
    }
    return Evidence(**{**given, **changes})


def result(**changes) -> dict:
    gate = {"rows": 6, "ships": "hull", "gain": 0.5, "original_gain": None}
    found = {
        "champion": "site/1", "decision": "accept", "reasons": [NASTY, "gain"], "gate": gate, "windows": [NASTY],
        "plan": "a" * 64, "coefficients": {NASTY: 0.4}, "donors": {NASTY: {"accuracy": 0.5, "drift": 0.1}, "c": None},
        "rejected": {"d/1": NASTY}, "rollback": {"donor": [NASTY], "accuracy": 0.6},
    }  # fmt: skip
    return {**found, **changes}


def test_the_page_stands_alone_and_escapes_what_it_shows():
    page = repair_report(result(), evidence(), '{"plan": "' + NASTY + '"}', classes=["cat", NASTY, "owl"])
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 8
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src &#39;none&#39;" in page
    assert " style=" not in page, "the page's policy allows no style of single elements"


def test_classes_before_and_after():
    rows = per_class(evidence().current, ["cat", "dog", "owl"])
    assert [(r.name, r.rows, round(r.before, 2), round(r.after, 2)) for r in rows] == [
        ("cat", 3, 0.33, 1.0), ("dog", 2, 0.5, 1.0), ("owl", 1, 0.0, 0.0),
    ]  # fmt: skip


@pytest.mark.parametrize("decision", ["accept", "shadow", "ask_labels", "refuse"])
def test_every_decision_has_its_words(decision):
    page = repair_report(result(decision=decision), evidence(), "")
    assert decision.replace("_", " ") in page
    assert "<h2>Plan</h2>" not in page


def test_a_comparison_without_search_has_its_page_too():
    bare = {k: v for k, v in result().items() if k in ("champion", "decision", "reasons", "gate", "plan")}
    page = repair_report({**bare, "address": "site/4", "window": "w7"}, evidence(curves=(), rungs=()), "")
    assert "Repair of site/4" in page
    assert "windows w7" in page


def test_many_classes_are_told_by_their_largest_confusions():
    labels = np.arange(60, dtype=np.int64) % 30
    wrong = labels.copy()
    wrong[:5] = 29
    many = compared(np.eye(30)[wrong], np.eye(30)[labels], labels)
    page = repair_report(result(), evidence(current=many, curves=()), "")
    assert "Taken for" in page
    assert "Champion: rows by class" not in page
    assert "Along the lines" not in page


def test_evidence_comes_back_as_it_was_written():
    first = evidence()
    again = Evidence.from_json(first.to_json())
    assert again.to_json() == first.to_json()
    assert np.array_equal(again.current.before, first.current.before)
    assert again.curves[1].points == ((0.0, 0.5),)  # what is infinite is left out


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"current": 1}', '{"current": {"before": [[1]], "after": [1]}}'])
def test_what_is_no_evidence_is_refused(text):
    with pytest.raises(BadInput, match="is no evidence"):
        Evidence.from_json(text)


def test_confusion_counts_every_row_once():
    predicted = np.array([0, 2, 2, 1, 0, 2])
    counts = confusion(LABELS, predicted, 3)
    assert counts.sum() == 6
    assert counts[0].tolist() == [1, 0, 2]
    assert np.trace(counts) == np.sum(predicted == LABELS)


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=8), st.integers(1, 9))
@example([math.nextafter(1e4, 0)], 1)
@example([math.nextafter(1e-3, 0), math.nextafter(1e3, 1e4)], 2)
def test_every_point_is_inside_the_picture(values, count):
    points = tuple((i / max(len(values) - 1, 1), y) for i, y in enumerate(values))
    chart = line_chart([Line(f"l{i}", points) for i in range(count)], "x", "y")
    assert 2 <= len(chart.y_ticks) <= 10
    for line in chart.lines:
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in line.dots)
    assert line_chart([], "x", "y") is None
