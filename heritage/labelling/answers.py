"""Answers to a request: every line checked against its task before any of them is believed."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from heritage.errors import BadInput
from heritage.labelling.agreement import krippendorff_alpha
from heritage.labelling.strategies import RANDOM
from heritage.names import printable
from heritage.rows import Rows

_MAX_LINE = 1_000_000


class Answer(NamedTuple):
    """One person's label of one row; `time` is as written (ISO 8601), '' where it was not."""

    sample_id: str
    label: int
    annotator: str
    time: str


@dataclass(frozen=True, slots=True)
class CheckedAnswers:
    """Labels to go on with.

    `rows` carry x, y and ids; `pick` says of each how it was chosen. `conflicts` are ids without a majority (left
    out), `unanswered` ids that nobody labelled; `agreement` is Krippendorff's alpha (None where no row has two
    labels); `annotators` counts answers.
    """

    rows: Rows
    pick: tuple[str, ...]
    conflicts: tuple[str, ...]
    unanswered: tuple[str, ...]
    agreement: float | None
    annotators: Mapping[str, int]

    @property
    def drawn_at_random(self) -> Rows:
        """The unbiased part, the only rows that may serve the gate."""
        return self.rows.take(np.array([p == RANDOM for p in self.pick], dtype=bool))

    @property
    def chosen(self) -> Rows:
        """The rows that a strategy chose: for tuning only."""
        return self.rows.take(np.array([p != RANDOM for p in self.pick], dtype=bool))


def check_answers(
    labels: bytes, tasks: bytes, rows: Rows, classes: Sequence[str], where: str = "labels.jsonl"
) -> CheckedAnswers:
    """The labels in `labels` (JSON lines) for `tasks` of a request over `rows` (x and ids, one a task).

    Of several people the majority counts; of one person's several answers the last. Raises `BadInput` naming the line
    for text that is no JSON (a file cut short), an id that was not asked for, a row hash that does not match, or a
    label that is no class.
    """
    asked = {str(t["sample_id"]): t for t in json_lines(tasks, "tasks.jsonl")}
    votes = _votes(read_answers(labels, tasks, classes, where))
    decided = {name: _majority(by_person) for name, by_person in votes.items()}
    return _collected(rows, asked, decided, votes)


def read_answers(labels: bytes, tasks: bytes, classes: Sequence[str], where: str = "labels.jsonl") -> list[Answer]:
    """Every answer in `labels`, in order, each held against its task; raises `BadInput` as `check_answers` does."""
    asked = {str(t["sample_id"]): t for t in json_lines(tasks, "tasks.jsonl")}
    return [_answer(line, i, asked, classes, where) for i, line in enumerate(json_lines(labels, where), 1)]


def json_lines(data: bytes, where: str) -> list[dict[str, Any]]:
    """The JSON objects of a file of lines; raises `BadInput` naming file and line for anything else."""
    found: list[dict[str, Any]] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            if len(line) > _MAX_LINE:
                raise ValueError(f"it is longer than {_MAX_LINE} bytes")
            value = json.loads(line)
            if not isinstance(value, dict):
                raise ValueError("it is no JSON object")
        except (ValueError, RecursionError) as error:
            raise BadInput(
                f"{where}: line {number} cannot be read ({printable(str(error))}); "
                "was the file cut short? upload it again"
            ) from error
        found.append(value)
    return found


def _answer(
    line: dict[str, Any], number: int, asked: Mapping[str, dict[str, Any]], classes: Sequence[str], where: str
) -> Answer:
    name = line.get("sample_id")
    if not isinstance(name, str) or name not in asked:
        raise BadInput(f"{where}: answer {number} is for row '{printable(str(name))}', which was not asked for")
    if line.get("row_sha256") != asked[name]["row_sha256"]:
        raise BadInput(
            f"{where}: answer {number} for row '{printable(name)}' carries another row_sha256 than its task; "
            "the row changed or the answer belongs to another request"
        )
    label = _class_of(line.get("label"), classes, f"{where}: answer {number} for row '{printable(name)}'")
    return Answer(name, label, str(line.get("annotator", "")), str(line.get("time", "")))


def _class_of(label: object, classes: Sequence[str], where: str) -> int:
    if isinstance(label, str) and label in classes:
        return list(classes).index(label)
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(classes):
        return label
    some = ", ".join(printable(c, 30) for c in classes[:10])
    raise BadInput(f"{where}: label '{printable(str(label))}' is no class; classes are {some} or their indexes from 0")


def _votes(answers: Sequence[Answer]) -> dict[str, dict[str, int]]:
    """Row -> annotator -> label; the last answer of a person counts (by time, then by line)."""
    votes: dict[str, dict[str, int]] = defaultdict(dict)
    for answer in sorted(answers, key=lambda a: a.time):
        votes[answer.sample_id][answer.annotator] = answer.label
    return votes


def _majority(by_person: Mapping[str, int]) -> int | None:
    """The label that most people gave; None for a tie."""
    ranked = Counter(by_person.values()).most_common(2)
    return None if len(ranked) > 1 and ranked[0][1] == ranked[1][1] else ranked[0][0]


def _collected(
    rows: Rows,
    asked: Mapping[str, dict[str, Any]],
    decided: Mapping[str, int | None],
    votes: Mapping[str, Mapping[str, int]],
) -> CheckedAnswers:
    ids = [] if rows.ids is None else [str(i) for i in rows.ids]
    if sorted(ids) != sorted(asked) or any(
        asked[i]["row_sha256"] != d for i, d in zip(ids, rows.row_digests(), strict=True)
    ):
        raise BadInput(
            f"tasks.jsonl: its {len(asked)} tasks are not the {len(rows)} rows given; give the request's rows"
        )
    known = [i for i, name in enumerate(ids) if decided.get(name) is not None]
    kept = rows.take(np.array(known, dtype=np.int64))
    labels = np.array([decided[ids[i]] for i in known], dtype=np.int64)
    return CheckedAnswers(
        rows=Rows(kept.x, labels, kept.ids),
        pick=tuple(str(asked[ids[i]]["pick"]) for i in known),
        conflicts=tuple(n for n in ids if n in decided and decided[n] is None),
        unanswered=tuple(n for n in ids if n not in decided),
        agreement=krippendorff_alpha([list(by.values()) for by in votes.values()]),
        annotators=dict(sorted(Counter(person for by in votes.values() for person in by).items())),
    )
