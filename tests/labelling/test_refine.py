"""Answers become rows to tune on and rows to judge by, never both."""

import numpy as np
import pytest
import torch
from torch import nn

from heritage.errors import BadInput
from heritage.labelling.answers import CheckedAnswers
from heritage.labelling.refine import divide, refine
from heritage.repair.options import SearchOptions
from heritage.repair.plan import Rung
from heritage.rows import Rows


def answers(rows: int = 40, seed: int = 0) -> CheckedAnswers:
    x = np.random.default_rng(seed).normal(size=(rows, 6)).astype(np.float32)
    pick = ("random", "margin") * (rows // 2)
    ids = np.array([f"r{i}" for i in range(rows)])
    return CheckedAnswers(Rows(x, (x[:, 0] > 0).astype(np.int64), ids), pick, (), (), None, {"ann": rows})


def digests(rows: Rows) -> set[str]:
    return set(rows.row_digests())


def test_only_random_rows_judge_and_no_row_does_both():
    given = answers()
    parts = divide(given, 0.5, seed=0)
    assert len(parts.guard) == 10
    assert digests(parts.guard) <= digests(given.drawn_at_random)
    assert not digests(parts.guard) & digests(parts.tune)
    assert len(parts.tune) + len(parts.guard) == 40


def test_rows_of_earlier_rounds_tune_and_never_judge():
    given, before = answers(), answers(seed=1).rows
    mixed = Rows(np.concatenate([before.x, given.rows.x[:20]]), np.concatenate([before.y, given.rows.y[:20]]))
    parts = divide(given, 0.5, 0, tuned_before=mixed, judged=answers(seed=2).rows)
    assert not digests(parts.guard) & digests(mixed)
    assert len(parts.tune) == len(digests(parts.tune)) == 40 + 40 + 40 - len(parts.guard)


def test_a_row_that_judged_before_and_was_answered_again_tunes():
    given = answers()
    seen = given.drawn_at_random
    parts = divide(given, 0.5, 0, judged=Rows(seen.x[:15], seen.y[:15]))
    assert not digests(parts.guard) & digests(parts.tune)
    assert digests(Rows(seen.x[:15])) <= digests(parts.tune)


def test_a_new_label_replaces_an_old_one():
    given = answers()
    wrong = Rows(given.rows.x, 1 - given.rows.y)
    parts = divide(CheckedAnswers(given.rows, ("margin",) * 39 + ("random",), (), (), None, {}), 0.9, 0, judged=wrong)
    label = dict(zip(given.rows.row_digests(), given.rows.y.tolist(), strict=True))
    tuned = dict(zip(parts.tune.row_digests(), parts.tune.y.tolist(), strict=True))
    assert sum(tuned[d] == label[d] for d in tuned) >= 39


def test_without_random_rows_nothing_can_judge():
    given = answers()
    with pytest.raises(BadInput, match="leave 0 rows for the gate and 40 to tune on"):
        divide(CheckedAnswers(given.rows, ("margin",) * 40, (), (), None, {}), 0.5, 0)


def test_refining_climbs_the_ladder_on_the_tuning_rows():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    state = {n: t.clone() for n, t in network.state_dict().items()}
    parts = divide(answers(200), 0.3, 0)
    options = SearchOptions(rungs=(Rung.NONE, Rung.FINETUNE_60), splits=2, rates=(3e-2,))
    found = refine(network, state, {}, parts, options=options)
    network.load_state_dict(found.state)
    right = (network(torch.from_numpy(parts.guard.x)).argmax(1).numpy() == parts.guard.y).mean()
    assert right > 0.75
