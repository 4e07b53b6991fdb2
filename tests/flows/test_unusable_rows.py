"""Rows that fit no model: refused where they come in; left out where they are in storage already."""

import dataclasses

import numpy as np
import pytest

from heritage.drift import predictions
from heritage.errors import BadInput
from heritage.flows import ask, check_drift, late_labels, repair, windows
from heritage.flows.observe import observe
from heritage.rows import Rows
from tests.deployed import connection, deployed, reference, registered

__all__ = ["connection", "deployed", "registered"]

pytestmark = pytest.mark.services

HOUR = "2026-01-05T07"


def rows(seed, n=300, columns=4):
    return Rows(np.random.default_rng([seed, 7]).normal(size=(n, columns)).astype(np.float32))


def with_gaps(rows, count=3):
    """The same rows, but the first few lack a value, so that the network's answers to them are NaN."""
    x = rows.x.copy()
    x[:count, 1] = np.nan
    return Rows(x, rows.y)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (rows(1, 5, columns=3), "does not take inputs"),
        (Rows(rows(1, 5).x, np.array([0, 1, 2, 3, 0])), "label 3 is no class.*0 to 2"),
        (Rows(rows(1, 5).x, np.array([0, 1, 2, -1, 0])), "label -1 is no class"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused_and_leaves_nothing(deployed, wrong, reason):
    ctx, version = deployed.ctx, deployed.versions[0]
    with pytest.raises(BadInput, match=reason):
        observe(ctx, version, HOUR, wrong)
    assert [kind for kind in ("rows", "windows") if windows.listed(ctx, version, kind)] == []
    observe(ctx, version, HOUR, rows(2))
    assert check_drift.run(ctx, version.address)["status"] == "ok"


def test_kept_rows_of_two_shapes_are_told_by_their_keys(deployed):
    ctx, version = deployed.ctx, deployed.versions[0]
    windows.keep_rows(ctx, version, HOUR, rows(3))
    windows.keep_rows(ctx, version, HOUR, rows(3, columns=3))
    with pytest.raises(BadInput, match=rf"{HOUR}/[0-9a-f]{{32}}\.npz.*shape \[[34]\].*others \[[34]\]"):
        windows.read_rows(ctx, version, [HOUR])


def test_answers_that_are_not_finite_are_no_evidence_and_stop_no_check(deployed):
    ctx, version = deployed.ctx, deployed.versions[0]
    observe(ctx, version, HOUR, with_gaps(reference(1, 300)))
    said = np.full((40, 3), [0.2, 0.5, 0.3], np.float32)
    said[:5] = np.nan
    ids = np.array([f"id-{i}" for i in range(40)])
    ctx.store.create(f"{windows.prefix('predictions', version, HOUR)}a-000001.npz", predictions.to_bytes(ids, said))
    late_labels.take(ctx, version.address, list(ids), np.ones(40, np.int64))

    found = check_drift.run(ctx, version.address)

    assert found["judged"] == [HOUR]
    (verdict,) = check_drift.verdicts(ctx, version)
    assert (verdict.rows, verdict.performance.labels) == (300, 297 + 35)


def test_people_are_asked_only_for_rows_that_the_model_can_answer(deployed):
    ctx, version = deployed.ctx, deployed.versions[0]
    windows.keep_rows(ctx, version, HOUR, with_gaps(rows(4, 60), 50))
    _, request = ask.plan(ctx, deployed.name)
    assert len(request.rows) == 10
    assert np.isfinite(request.rows.x).all()
    windows.keep_rows(ctx, version, "2026-01-05T08", with_gaps(rows(5, 20), 20))
    with pytest.raises(BadInput, match="no unlabelled rows to ask for"):
        ask.plan(ctx, deployed.name)


def test_a_repair_is_searched_and_judged_on_rows_that_the_model_can_answer(deployed):
    ctx, version = deployed.ctx, deployed.versions[0]
    own = ctx.settings.repair.model_copy(update={"rungs": "none,finetune-20", "original_margin": 1.0})
    ctx = dataclasses.replace(ctx, settings=ctx.settings.model_copy(update={"repair": own}))

    def searched(*batches):
        keys = [windows.keep_rows(ctx, version, HOUR, batch) for batch in batches]
        found = repair.search(ctx, deployed.name, dry_run=True)
        for key in keys:
            ctx.store.delete(key)
        return found

    labelled, bare = with_gaps(reference(2, 300), 20), with_gaps(rows(6, 50), 1)
    found = searched(labelled, bare)

    assert found["rung"] == "finetune-20"
    assert found["plan"] == searched(labelled.take(np.arange(20, 300)), bare.take(np.arange(1, 50)))["plan"]
    assert np.isnan(labelled.x).any()
    with pytest.raises(BadInput, match="without the rows that it gives no finite answer to: 40 labelled rows"):
        searched(with_gaps(reference(2, 300), 260))
