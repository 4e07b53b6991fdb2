"""Answers of several people to one request, on a real S3 server: none is lost, none counts twice."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from heritage.errors import BadInput, Conflict, NotFound
from heritage.flows import label
from heritage.flows.answers import append, key_of
from heritage.flows.context import Context
from heritage.labelling.pool import Selection
from heritage.labelling.request import RequestOptions, make_request
from heritage.rows import Rows, to_npz
from heritage.settings import Settings
from heritage.storage import ObjectStore

pytestmark = pytest.mark.services

NOW = datetime(2026, 11, 22, 7, tzinfo=UTC)
CLASSES = ("cat", "dog", "owl")


@pytest.fixture
def ctx(store: ObjectStore) -> Context:
    return Context(None, store, Settings(), lambda: NOW)


def ask(ctx: Context, rows: int = 12, hours: float = 24.0, seed: int = 0, window: str = "w1") -> str:
    x = np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)
    options = RequestOptions(
        "vision/3",
        "a" * 64,
        window,
        CLASSES,
        "mixed",
        min_labels=4,
        deadline=(NOW + timedelta(hours=hours)).isoformat(),
    )
    made = make_request(Rows(x), Selection(np.arange(rows), ("random",) * rows), options)
    for name, data in (("rows.npz", to_npz(made.rows)), ("tasks.jsonl", made.tasks), ("manifest.json", made.manifest)):
        ctx.store.create(key_of(made.request_id, name), data)
    return made.request_id


def answers(ctx: Context, request: str, labels: list[object]) -> list[dict]:
    return [
        {"sample_id": t["sample_id"], "row_sha256": t["row_sha256"], "label": y}
        for t, y in zip(label.tasks(ctx, request), labels, strict=False)
    ]


def test_what_one_person_answers_is_seen_and_counted(ctx):
    request = ask(ctx)
    told = label.submit(ctx, request, answers(ctx, request, ["cat", 2, "cat"]), "ana")
    assert (told["answered"], told["unanswered"], told["added"], told["done"]) == (3, 9, 3, False)
    assert told["labels"] == {"cat": 2, "owl": 1}
    assert told["annotators"] == {"ana": 3}
    assert [t.get("label") for t in label.tasks(ctx, request, "ana")][:4] == [0, 2, 0, None]
    assert all("label" not in t for t in label.tasks(ctx, request, "ben"))


def test_the_same_answers_again_change_nothing(ctx):
    request = ask(ctx)
    given = answers(ctx, request, ["cat", "dog"])
    label.submit(ctx, request, given, "ana")
    before = {key: ctx.store.get(key) for key in ctx.store.list("labels/")}
    assert label.submit(ctx, request, given, "ana")["added"] == 0
    assert {key: ctx.store.get(key) for key in ctx.store.list("labels/")} == before


def test_a_person_may_change_an_answer_and_change_it_back(ctx):
    request = ask(ctx)
    for name in ("cat", "dog", "cat"):
        told = label.submit(ctx, request, answers(ctx, request, [name]), "ana")
    assert told["labels"] == {"cat": 1}
    assert told["annotators"] == {"ana": 1}


def test_ten_people_at_once_lose_no_answer_and_their_conflict_is_told(ctx):
    request = ask(ctx)
    wanted = answers(ctx, request, [None] * 12)

    def work(person: int) -> None:
        for given in wanted:
            label.submit(ctx, request, [{**given, "label": person % 2}], f"person {person}")

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(work, range(10)))
    told = label.progress(ctx, request)
    assert told["annotators"] == {f"person {i}": 12 for i in range(10)}
    assert (told["answered"], told["conflicts"]) == (12, 12)
    assert told["agreement"] < 0
    with pytest.raises(BadInput, match="0 usable answers, at least 4"):
        label.collect(ctx, request)


def test_one_person_in_two_windows_loses_no_answer(ctx):
    request = ask(ctx)
    wanted = answers(ctx, request, [1] * 12)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda given: append(ctx, request, "ana", [given]), wanted))
    assert label.progress(ctx, request)["answered"] == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sample_id": "nobody"}, "was not asked for"),
        ({"row_sha256": "0" * 64}, "another row_sha256"),
        ({"label": "unicorn"}, "is no class"),
    ],
)
def test_one_answer_that_does_not_fit_refuses_all_of_them(ctx, change, message):
    request = ask(ctx)
    first, second = answers(ctx, request, ["cat", "cat"])
    with pytest.raises(BadInput, match=message):
        label.submit(ctx, request, [first, {**second, **change}], "ana")
    assert label.progress(ctx, request)["answered"] == 0


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 200])
def test_a_name_that_cannot_be_shown_is_refused(ctx, name):
    with pytest.raises(BadInput, match="annotator"):
        label.submit(ctx, ask(ctx), [], name)


def test_a_closed_request_takes_no_answers_and_is_not_offered(ctx):
    first, late, second = ask(ctx, seed=1), ask(ctx, seed=2, hours=-1), ask(ctx, seed=3, hours=2)
    assert [r["request"] for r in label.open_requests(ctx)] == [second, first]
    assert label.open_requests(ctx)[0]["classes"] == list(CLASSES)
    label.close(ctx, second)
    assert [r["request"] for r in label.open_requests(ctx)] == [first]
    with pytest.raises(Conflict, match="is closed"):
        label.submit(ctx, second, answers(ctx, second, ["cat"]), "ana")
    # time is over, but nobody has gone on yet: late answers are welcome
    assert label.submit(ctx, late, answers(ctx, late, ["cat"]), "ana")["added"] == 1


def test_files_of_two_people_are_both_kept(ctx):
    request = ask(ctx)
    for person, labels in (("ana", ["cat", "cat"]), ("ben", ["cat", "dog"])):
        lines = [{**a, "annotator": person} for a in answers(ctx, request, labels)]
        for _ in range(2):
            told = label.answer(ctx, request, "".join(json.dumps(line) + "\n" for line in lines).encode())
    assert told["answered"] == 2
    assert label.progress(ctx, request)["annotators"] == {"ana": 2, "ben": 2}
    assert label.progress(ctx, request)["conflicts"] == 1


def test_a_file_left_by_a_tool_counts_beside_the_others(ctx):
    request = ask(ctx)
    label.submit(ctx, request, answers(ctx, request, ["cat"]), "ana")
    tool = {**answers(ctx, request, ["cat", "dog"])[1], "annotator": "tool"}
    ctx.store.put(key_of(request, "labels.jsonl"), json.dumps(tool).encode())
    assert label.progress(ctx, request)["annotators"] == {"ana": 1, "tool": 1}


def test_a_file_cut_in_half_is_named_and_the_wait_goes_on(ctx):
    request = ask(ctx)
    whole = "".join(json.dumps({**a, "annotator": "t"}) + "\n" for a in answers(ctx, request, ["cat"] * 12)).encode()
    ctx.store.put(key_of(request, "labels.jsonl"), whole[: len(whole) // 2 + 5])
    assert not label.status(ctx, request)["done"]
    with pytest.raises(BadInput, match=r"line 7 cannot be read.*cut short"):
        label.collect(ctx, request)
    assert label.open_requests(ctx)


def test_disagreement_asks_for_a_sign_off_and_unity_does_not(ctx):
    request = ask(ctx)
    label.submit(ctx, request, answers(ctx, request, ["cat", "dog", "owl", "cat", "dog", "owl"]), "ana")
    label.submit(ctx, request, answers(ctx, request, ["cat", "dog", "owl", "cat", "dog", "owl"]), "ben | <b>`x`")
    calm = label.review(ctx, request)
    assert calm["enough"]
    assert calm["doubts"] == []
    assert "ben \\| \\<b\\>\\`x\\`" in calm["body"]
    label.submit(ctx, request, answers(ctx, request, ["dog", "owl", "cat", "dog", "owl", "cat"]), "ben | <b>`x`")
    torn = label.review(ctx, request)
    assert not torn["enough"]
    assert len(torn["doubts"]) == 2
    assert "- agreement is -" in torn["body"]


@pytest.mark.parametrize(("when", "asked"), [("always", True), ("never", False)])
def test_sign_off_may_be_asked_always_or_never(ctx, when, asked):
    own = ctx.settings.labels.model_copy(update={"sign_off": when})
    ctx = replace(ctx, settings=ctx.settings.model_copy(update={"labels": own}))
    request = ask(ctx)
    label.submit(ctx, request, answers(ctx, request, ["cat"] * 6), "ana")
    label.submit(
        ctx, request, answers(ctx, request, ["cat"] * 3 + ["dog"] * 3 if when == "never" else ["cat"] * 6), "ben"
    )
    assert bool(label.review(ctx, request)["doubts"]) == asked


def test_a_request_that_is_not_there_is_not_found(ctx):
    with pytest.raises(NotFound):
        label.progress(ctx, "request-0")
