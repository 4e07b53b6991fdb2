"""Requests are idempotent; answers are checked line by line before any is believed."""

import json
from dataclasses import replace

import numpy as np
import pytest

from heritage.errors import BadInput, UnsafeName
from heritage.labelling.agreement import krippendorff_alpha
from heritage.labelling.answers import check_answers
from heritage.labelling.pool import Selection
from heritage.labelling.request import RequestOptions, make_request
from heritage.rows import Rows

CLASSES = ("cat", "dog", "owl")
OPTIONS = RequestOptions("vision/3", "a" * 64, "2026-11-22T07", CLASSES, "mixed", min_labels=4)
WINDOW = Rows(np.random.default_rng(0).normal(size=(30, 2, 3)).astype(np.float32))
PICKED = Selection(np.array([3, 7, 11, 20, 21, 29]), ("random", "margin") * 3)


def request(rows: Rows = WINDOW, **changes):
    return make_request(rows, PICKED, replace(OPTIONS, **changes))


def tasks(made) -> list[dict]:
    return [json.loads(line) for line in made.tasks.splitlines()]


def answered(made, labels, annotator="ann", **extra) -> bytes:
    """Task lines with a label added; rows whose label is None are left out."""
    pairs = zip(tasks(made), labels, strict=False)
    lines = [json.dumps({**t, "label": x, "annotator": annotator, **extra}) for t, x in pairs if x is not None]
    return ("\n".join(lines) + "\n").encode()


def check(made, labels: bytes):
    return check_answers(labels, made.tasks, made.rows, CLASSES)


def test_equal_requests_have_equal_bytes_and_other_content_another_id():
    made = request()
    assert request() == made or (request().tasks, request().manifest) == (made.tasks, made.manifest)
    assert request(deadline="2026-12-01T00:00:00Z").request_id == made.request_id
    others = [request(window="2026-11-22T08"), request(digest="b" * 64), request(classes=CLASSES[:2]), request(seed=1)]
    others.append(request(Rows(WINDOW.x + 1)))
    assert len({made.request_id, *(o.request_id for o in others)}) == 6


def test_the_manifest_binds_tasks_and_rows():
    made = request()
    manifest = json.loads(made.manifest)
    assert (manifest["request_id"], manifest["tasks"], manifest["classes"]) == (made.request_id, 6, list(CLASSES))
    assert manifest["rows_sha256"] == made.rows.digest


def test_tasks_show_the_row_exactly_and_score_only_what_was_not_random():
    p = np.tile([0.2, 0.7, 0.1], (30, 1))
    made = make_request(WINDOW, PICKED, OPTIONS, p)
    for task, row, pick in zip(tasks(made), WINDOW.x[PICKED.index], PICKED.pick, strict=True):
        shown = np.array(task["data"]["values"], np.float32).reshape(task["data"]["shape"])
        assert np.array_equal(shown, row)
        assert ("prediction" in task) == (pick != "random")


def test_texts_and_large_rows_are_shown_without_numbers():
    made = make_request(WINDOW, PICKED, OPTIONS, texts=[f"text {i}" for i in range(30)])
    assert tasks(made)[0]["data"] == {"kind": "text", "text": "text 3"}
    large = make_request(Rows(np.zeros((30, 80, 80), np.float32) + np.arange(30)[:, None, None]), PICKED, OPTIONS)
    assert tasks(large)[0]["data"] == {"kind": "image", "shape": [80, 80]}


def test_equal_rows_are_asked_for_once_and_ids_must_be_unique():
    same = Rows(np.repeat(WINDOW.x[:1], 30, axis=0))
    assert len(make_request(same, PICKED, OPTIONS).rows) == 1
    with pytest.raises(BadInput, match="two different rows"):
        make_request(Rows(WINDOW.x, ids=np.array(["x"] * 30)), PICKED, OPTIONS)
    with pytest.raises(BadInput, match="control characters"):
        make_request(Rows(WINDOW.x, ids=np.array([f"a\n{i}" for i in range(30)])), PICKED, OPTIONS)


def test_a_request_needs_classes_and_safe_names():
    with pytest.raises(BadInput, match="at least 2"):
        request(classes=("cat",))
    with pytest.raises(UnsafeName):
        request(window="../x")


def test_labels_by_name_or_index_come_back_with_their_rows():
    made = request()
    checked = check(made, answered(made, ["dog", 0, None, "owl", 2, None]))
    assert checked.rows.y.tolist() == [1, 0, 2, 2]
    assert np.array_equal(checked.rows.x, WINDOW.x[[3, 7, 20, 21]])
    assert checked.unanswered == (tasks(made)[2]["sample_id"], tasks(made)[5]["sample_id"])
    assert len(checked.drawn_at_random) == 2
    assert len(checked.chosen) == 2
    assert checked.agreement is None
    assert checked.annotators == {"ann": 4}


def test_the_majority_decides_and_ties_are_left_out():
    made = request()
    parts = [("a", ["cat", "dog"]), ("b", ["cat", "owl"]), ("c", ["dog", None])]
    checked = check(made, b"".join(answered(made, labels, who) for who, labels in parts))
    assert checked.rows.y.tolist() == [0]
    assert checked.conflicts == (tasks(made)[1]["sample_id"],)
    assert checked.agreement < 0.5


def test_ten_annotators_in_conflict_give_no_label_and_low_agreement():
    made = request()
    checked = check(made, b"".join(answered(made, [i % 2] * 6, f"p{i}") for i in range(10)))
    assert len(checked.rows) == 0
    assert len(checked.conflicts) == 6
    assert checked.agreement < 0
    assert len(checked.drawn_at_random) == len(checked.chosen) == 0


def test_the_last_answer_of_a_person_counts():
    made = request()
    late = answered(made, ["owl"], time="2026-11-22T10:00:00Z")
    early = answered(made, ["cat"], time="2026-11-22T09:00:00Z")
    assert check(made, late + early).rows.y.tolist() == [2]


def test_an_empty_file_is_no_answer_at_all():
    checked = check(request(), b"")
    assert len(checked.rows) == 0
    assert len(checked.unanswered) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_id": "nobody"}, "which was not asked for"),
        ({"sample_id": None}, "which was not asked for"),
        ({"row_sha256": "0" * 64}, "another row_sha256"),
        ({"row_sha256": None}, "another row_sha256"),
        ({"label": "unicorn"}, "'unicorn' is no class; classes are cat, dog, owl"),
        ({"label": 3}, "is no class"),
        ({"label": -1}, "is no class"),
        ({"label": True}, "is no class"),
        ({"label": None}, "is no class"),
        ({"label": ["cat"]}, "is no class"),
    ],
)
def test_an_answer_that_does_not_fit_refuses_the_file_and_names_it(change, message):
    made = request()
    good = answered(made, ["cat"])
    bad = json.dumps({**json.loads(good), **change}).encode()
    with pytest.raises(BadInput, match=f"answer 2.*{message}"):
        check(made, good + bad)


@pytest.mark.parametrize("data", [b"\xff\xfe", b"[1]", b"[" * 100_000, b'{"a":' + b"1" * 1_000_001 + b"}"])
def test_lines_that_are_no_answers_are_refused(data):
    with pytest.raises(BadInput, match="line 1 cannot be read"):
        check(request(), data)


def test_a_file_cut_in_half_is_refused():
    made = request()
    whole = answered(made, ["cat"] * 6)
    with pytest.raises(BadInput, match="was the file cut short"):
        check(made, whole[: len(whole) // 2])


def test_tasks_of_another_request_are_refused():
    made, other = request(), request(Rows(WINDOW.x * 2))
    with pytest.raises(BadInput, match="are not the 6 rows given"):
        check_answers(b"", made.tasks, other.rows, CLASSES)


def test_krippendorffs_own_example():
    # reliability data C of "Computing Krippendorff's Alpha-Reliability" (2011), nominal alpha .743
    observers = [
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    ]
    units = [[int(v) for v in column if v != "."] for column in zip(*(o.split() for o in observers), strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha([[1, 1], [1, 1]]) == 1.0
