"""People are asked, answer, and the repair goes on with what they said."""

import json

import pytest
from dag_runs import outcome

from heritage.demo import stage as demo
from heritage.errors import BadInput
from heritage.flows import label

pytestmark = [pytest.mark.services, pytest.mark.airflow]


def truth() -> dict[str, int]:
    """Label of every row of the stream, by the digest of its input."""
    return {d: int(y) for rows in demo.hours(0).values() for d, y in zip(rows.row_digests(), rows.y, strict=True)}


def answers(ctx, request: str, known: dict[str, int]) -> bytes:
    tasks = [json.loads(line) for line in ctx.store.get(f"labels/{request}/tasks.jsonl").splitlines()]
    lines = [{**task, "label": known[task["row_sha256"]], "annotator": "ana"} for task in tasks]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


@pytest.fixture(scope="module")
def asked_twice(stage):
    return [label.request(stage.ctx, stage.champion.name) for _ in range(2)]


@pytest.fixture
def asked(asked_twice):
    return asked_twice[0]


def test_the_same_rows_asked_for_again_are_the_same_request(asked_twice):
    assert asked_twice[0] == asked_twice[1]


def test_answers_for_rows_that_were_not_asked_for_are_refused(stage, asked):
    line = json.loads(answers(stage.ctx, asked["request"], truth()).splitlines()[0])
    foreign = json.dumps({**line, "sample_id": "somebody-else"}).encode()
    with pytest.raises(BadInput, match="somebody-else"):
        label.answer(stage.ctx, asked["request"], foreign)


def test_labels_are_waited_for_checked_and_used(bag, on_stage, asked):
    ctx, request = on_stage.ctx, asked["request"]
    status = label.answer(ctx, request, answers(ctx, request, truth()))
    assert status["done"]

    run = bag.dags["heritage_label"].test(run_conf={"model": on_stage.champion.name})

    states = outcome(run)
    assert [states[t] for t in ("wait", "collect", "search[0]", "register[0]")] == ["success"] * 4
    challenger = ctx.registry.version(f"{on_stage.champion.name}@challenger")
    assert challenger.digest != on_stage.champion.digest
