"""The drift check where only counters are kept."""

import numpy as np
import pytest

from heritage.demo import stage as demo
from heritage.flows import check_drift
from heritage.flows.observe import observe
from heritage.rows import Rows

pytestmark = pytest.mark.services


def test_without_rows_the_page_is_drawn_from_the_counters(stage):
    ctx, version = stage.ctx, stage.family["digits-clean"]
    seen = demo.hours(0)["hour-02"]

    observe(ctx, version, "hour-02", Rows(seen.x), keep=False)
    observe(ctx, version, "hour-02", Rows(seen.x), keep=False)
    result = check_drift.run(ctx, version.address)

    verdict = check_drift.verdicts(ctx, version)[0]
    assert result["status"] == verdict.status == "drift"
    assert verdict.rows == len(seen)
    page = ctx.registry.artifact(version, "heritage/drift/hour-02.html").decode()
    assert f"Drift of {version.address}" in page


def test_late_rows_are_judged_with_their_own_window(stage):
    ctx, version = stage.ctx, stage.family["digits-turned"]
    seen = demo.hours(0)["hour-03"].x
    observe(ctx, version, "hour-03", Rows(seen[:150]), keep=False)
    check_drift.run(ctx, version.address)

    observe(ctx, version, "hour-03", Rows(seen[150:]), keep=False)
    again = check_drift.run(ctx, version.address)

    assert again["judged"] == ["hour-03"]
    assert check_drift.verdicts(ctx, version)[0].rows == len(seen)


def test_too_few_rows_are_insufficient_not_drift(stage):
    ctx, version = stage.ctx, stage.family["digits-noisy"]
    observe(ctx, version, "hour-01", Rows(np.zeros((20, 1, 8, 8), np.float32)), keep=False)
    assert check_drift.run(ctx, version.address)["status"] == "insufficient"
