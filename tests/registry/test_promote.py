"""Promotion: only what the gate accepted, one winner, and a history that is complete after any fault."""

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heritage.errors import BadInput, Conflict, NotFound, Refused
from heritage.records import ModelVersion
from heritage.registry import DUPLICATE_OF, GATE, Registry
from heritage.registry.journal import DONE, INITIAL, MANUAL, PROMOTE, ROLLBACK, UNDONE, Move
from heritage.registry.moves import STEPS, Mover
from heritage.registry.promote import Promoter, Request

Weights = Callable[..., Path]
Children = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def family(registry: Registry, name: str, weights: Weights) -> list[ModelVersion]:
    """Three versions; the first is champion, the others are accepted under the plans p2 and p3."""
    versions = [registry.register(name, weights()).version for _ in range(3)]
    registry.promote(name, "1", None, "initial")
    registry.accept(versions[1], "p2")
    registry.accept(versions[2], "p3")
    return versions


def _moves(registry: Registry, name: str) -> list[tuple[str, str, str]]:
    return [(move.kind, move.version, move.state) for move in registry.history(name)]


FIRST = (INITIAL, "1", DONE)


def test_the_champion_moves_and_the_old_one_is_kept_for_rollback(
    registry: Registry, name: str, family: list[ModelVersion]
) -> None:
    registry.nominate(family[1])

    move = registry.promote(name, "2", "1", "better on drifted data", "p2")

    assert registry.aliases(name) == {"champion": "2", "previous": "1"}
    assert registry.version(f"{name}@champion").version == "2"
    assert (move.replaced, move.digest, move.reason) == ("1", family[1].digest, "better on drifted data")
    assert _moves(registry, name) == [FIRST, (PROMOTE, "2", DONE)]
    assert registry.promotion_findings(name) == ()


def test_promoting_twice_is_promoting_once(registry: Registry, name: str, family: list[ModelVersion]) -> None:
    first = registry.promote(name, "2", "1", "better", "p2")

    assert registry.promote(name, "2", "1", "better", "p2") == first
    assert len(registry.history(name)) == 2


@pytest.mark.parametrize(
    ("version", "expected", "plan", "error", "said"),
    [
        ("2", "1", "", Refused, "has not accepted"),
        ("2", "1", "p3", Refused, "has not accepted"),
        ("2", None, "p2", Conflict, "the champion is version 1, not none"),
        ("2", "3", "p2", Conflict, "the champion is version 1, not 3"),
        ("1", "1", "p2", Conflict, "champion already"),
        ("9", "1", "p2", NotFound, "9"),
    ],
)
def test_what_is_not_accepted_or_not_expected_moves_nothing(
    version: str,
    expected: str | None,
    plan: str,
    error: type[Exception],
    said: str,
    registry: Registry,
    name: str,
    family: list[ModelVersion],
) -> None:
    with pytest.raises(error, match=said):
        registry.promote(name, version, expected, "better", plan)

    assert registry.aliases(name) == {"champion": "1"}
    assert _moves(registry, name) == [FIRST]


def test_initial_is_for_the_first_champion_only(registry: Registry, name: str, family: list[ModelVersion]) -> None:
    with pytest.raises(Refused):
        registry.promote(name, "2", "1", "initial")


def test_a_reason_is_one_printable_line(registry: Registry, name: str, family: list[ModelVersion]) -> None:
    for reason in ("", " ", "a\nb", "x" * 5000):
        with pytest.raises(BadInput, match="reason"):
            registry.promote(name, "2", "1", reason, "p2")


def test_a_duplicate_or_a_version_without_manifest_is_not_promoted(
    registry: Registry, name: str, family: list[ModelVersion], raw: Any
) -> None:
    registry.set_tag(family[1], DUPLICATE_OF, family[0].address)
    run = raw.create_run("0")
    foreign = raw.create_model_version(
        name, f"runs:/{run.info.run_id}/model", run.info.run_id, tags={GATE: "accept:p4"}
    )

    with pytest.raises(Refused, match="duplicate of"):
        registry.promote(name, "2", "1", "better", "p2")
    with pytest.raises(Refused, match="without heritage"):
        registry.promote(name, str(foreign.version), "1", "better", "p4")


def test_rollback_swaps_champion_and_previous(registry: Registry, name: str, family: list[ModelVersion]) -> None:
    with pytest.raises(NotFound, match="no previous"):
        registry.rollback(name, "worse")
    registry.promote(name, "2", "1", "better", "p2")

    registry.rollback(name, "worse", expected="2")

    assert registry.aliases(name) == {"champion": "1", "previous": "2"}
    assert registry.rollback(name, "worse", expected="2").kind == ROLLBACK  # found done
    with pytest.raises(Conflict, match="the champion is version 1, not 3"):
        registry.rollback(name, "worse", expected="3")
    assert _moves(registry, name) == [FIRST, (PROMOTE, "2", DONE), (ROLLBACK, "1", DONE)]


def test_three_promoters_race_and_one_wins(
    registry: Registry, name: str, family: list[ModelVersion], weights: Weights, children: Children
) -> None:
    registry.accept(registry.register(name, weights()).version, "p4")
    requests = [("2", "p2"), ("3", "p3"), ("4", "p4")]

    outcomes = children([_task(name, version, plan) for version, plan in requests])

    winners = [outcome["value"] for outcome in outcomes if "value" in outcome]
    assert len(winners) == 1
    assert [outcome["error"] for outcome in outcomes if "error" in outcome] == ["Conflict", "Conflict"]
    assert registry.aliases(name) == {"champion": winners[0], "previous": "1"}
    assert _moves(registry, name) == [FIRST, (PROMOTE, winners[0], DONE)]


@pytest.mark.parametrize("step", STEPS)
def test_a_promoter_killed_after_any_step_is_completed_by_the_next_call(
    step: str, later: Registry, name: str, family: list[ModelVersion], children: Children
) -> None:
    later.nominate(family[1])
    assert children([{**_task(name, "2", "p2"), "kill_at": step}]) == [{"signal": 9}]

    later.promote(name, "2", "1", "better", "p2")

    assert later.aliases(name) == {"champion": "2", "previous": "1"}
    assert _moves(later, name) == [FIRST, (PROMOTE, "2", DONE)]
    assert later.promotion_findings(name) == ()


@pytest.mark.parametrize("step", STEPS)
def test_a_rollback_killed_after_any_step_is_done_once(
    step: str, later: Registry, name: str, family: list[ModelVersion], children: Children
) -> None:
    later.promote(name, "2", "1", "better", "p2")
    request = {"name": name, "reason": "worse", "expected": "2"}
    assert children([{"do": "rollback", "request": request, "kill_at": step}]) == [{"signal": 9}]

    later.rollback(**request)

    assert later.aliases(name) == {"champion": "1", "previous": "2"}
    assert _moves(later, name)[-1] == (ROLLBACK, "1", DONE)
    assert len(later.history(name)) == 3


@pytest.mark.parametrize("step", ["intent", "previous_set", "champion_set"])
def test_what_lost_its_acceptance_meanwhile_is_rolled_back(
    step: str, later: Registry, name: str, family: list[ModelVersion], children: Children
) -> None:
    children([{**_task(name, "2", "p2"), "kill_at": step}])
    later.set_tag(family[1], GATE, "refuse:p2")

    move = later.recover_promotion(name)

    assert move is not None
    assert move.state == UNDONE
    assert later.aliases(name) == {"champion": "1"}
    later.promote(name, "3", "1", "better", "p3")
    assert later.aliases(name) == {"champion": "3", "previous": "1"}


def test_a_deleted_version_does_not_block_the_next_promotion(
    later: Registry, name: str, family: list[ModelVersion], children: Children, raw: Any
) -> None:
    children([{**_task(name, "2", "p2"), "kill_at": "champion_set"}])
    raw.delete_model_version(name, "2")

    later.promote(name, "3", None, "better", "p3")

    assert later.aliases(name)["champion"] == "3"


def test_a_move_by_hand_is_told_recorded_and_never_a_target_of_rollback(
    registry: Registry, name: str, family: list[ModelVersion], raw: Any
) -> None:
    registry.promote(name, "2", "1", "better", "p2")
    raw.set_registered_model_alias(name, "champion", "3")  # its gate was asked, but it was never promoted
    assert [f for f in registry.promotion_findings(name) if "moved by hand: the journal says 2" in f]
    with pytest.raises(Conflict, match="the champion is version 3, not 2"):
        registry.promote(name, "1", "2", "back", "p1")
    registry.accept(family[0], "p1")

    registry.promote(name, "1", "3", "back", "p1")

    assert [move[:2] for move in _moves(registry, name)][-2:] == [(MANUAL, "3"), (PROMOTE, "1")]
    assert registry.aliases(name) == {"champion": "1", "previous": "2"}
    raw.set_registered_model_alias(name, "previous", "3")
    assert [f for f in registry.promotion_findings(name) if "which was never champion" in f]
    with pytest.raises(Refused, match="never champion"):
        registry.rollback(name, "worse")


def test_a_promoter_that_slept_past_its_lease_does_not_overwrite_the_next_champion(
    registry: Registry, later: Registry, name: str, family: list[ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Mover.set_alias

    def late(self: Mover, model: str, alias: str, version: str) -> None:
        if (alias, version) == ("champion", "2"):
            # between the check and the write another process recovers this move and promotes version 3
            monkeypatch.setattr(Mover, "set_alias", write)
            later.recover_promotion(name)
            later.promote(name, "3", "2", "better still", "p3")
        write(self, model, alias, version)

    monkeypatch.setattr(Mover, "set_alias", late)

    with pytest.raises(Conflict, match="took this record over"):
        registry.promote(name, "2", "1", "better", "p2")

    assert registry.aliases(name) == {"champion": "3", "previous": "2"}
    assert _moves(registry, name) == [FIRST, (PROMOTE, "2", DONE), (PROMOTE, "3", DONE)]


def test_steps_come_in_the_order_that_is_documented(registry: Registry, name: str, family: list[ModelVersion]) -> None:
    steps: list[str] = []
    promoter = Promoter(registry._connection, registry._reader, steps.append)

    move = promoter.promote(Request(name, "2", "1", "better", "p2"))

    assert isinstance(move, Move)
    assert steps == list(STEPS)


def _task(name: str, version: str, plan: str) -> dict[str, Any]:
    request = {"name": name, "version": version, "expected": "1", "reason": f"r {uuid.uuid4().hex}", "plan_hash": plan}
    return {"do": "promote", "request": request}
