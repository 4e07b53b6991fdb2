"""Verdicts: what counts as drift, what does not, and what is said about it."""

import json

import numpy as np
import pandas as pd
import pytest

from heritage.drift.columns import as_frame
from heritage.drift.performance import PerformanceReference, check_performance
from heritage.drift.profile import DriftProfile
from heritage.drift.verdict import ColumnRule, Rules, Verdict, check, triggered
from heritage.drift.window import Window
from heritage.errors import BadInput

NAMES = [f"c{i}" for i in range(30)]


def gaussian(seed, rows, columns=30):
    return pd.DataFrame(np.random.default_rng(seed).normal(size=(rows, columns)), columns=NAMES[:columns])


@pytest.fixture(scope="module")
def profile():
    return DriftProfile.fit(gaussian(0, 20_000))


def judge(profile, frame, rules=None, **kwargs):
    return check(profile, Window.empty(profile).update(frame), rules, **kwargs)


def single(reference, current, rules=None, **kwargs):
    profile = DriftProfile.fit(pd.DataFrame({"x": reference}), **kwargs)
    return judge(profile, pd.DataFrame({"x": current}), rules)


# --- alarms and silence (the full tables are in tests/bench/drift.py)


@pytest.mark.parametrize("rows", [100, 200, 1_000, 10_000])
def test_windows_without_drift_are_ok(profile, rows):
    alarms = sum(judge(profile, gaussian(100 + i, rows)).status != "ok" for i in range(25))
    assert alarms <= 1


@pytest.mark.parametrize("rows", [1_000, 10_000])
def test_a_shift_of_one_column_by_a_third_of_its_deviation_is_seen(profile, rows):
    seen = 0
    for i in range(20):
        frame = gaussian(200 + i, rows)
        frame["c7"] += 0.3
        verdict = judge(profile, frame)
        seen += verdict.drifted_columns == ("c7",) and verdict.moved == ("input",)
    assert seen >= 19


def test_a_negligible_shift_of_everything_is_not_drift(profile):
    assert [judge(profile, gaussian(300 + i, 100_000) + 0.02).status for i in range(3)] == ["ok"] * 3


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_one_outlier_changes_neither_figures_nor_verdict(shift):
    rng = np.random.default_rng(1)
    reference, current = rng.normal(size=20_000), rng.normal(shift, size=5_000)
    spoilt = current.copy()
    spoilt[17] = 1e6
    before, after = single(reference, current), single(reference, spoilt)
    assert after.status == before.status
    # without drift PSI is chance alone, and any one row moves it by some hundred-thousandths
    assert after.columns["x"].psi == pytest.approx(before.columns["x"].psi, rel=0.01, abs=1e-4)
    assert after.columns["x"].wasserstein == pytest.approx(before.columns["x"].wasserstein, abs=0.01)


def test_a_thousand_columns_without_drift_keep_the_stated_level():
    # given 1,000 columns of which none drifts, when 8 windows are judged at 1 % a window
    profile = DriftProfile.fit(pd.DataFrame(np.random.default_rng(2).normal(size=(2_000, 1_000))))
    alarms = 0
    for i in range(8):
        frame = pd.DataFrame(np.random.default_rng(500 + i).normal(size=(400, 1_000)))
        alarms += judge(profile, frame).status != "ok"
    assert alarms <= 1  # 2 or more happen with probability .0027 at the stated level


# --- sizes, faults and odd columns


@pytest.mark.parametrize("rows", [0, 1, 35, 99])
def test_small_windows_are_insufficient_and_divide_by_nothing(profile, rows):
    verdict = judge(profile, gaussian(3, rows) + 5)
    assert verdict.status == "insufficient"
    assert not verdict.drifted_columns
    json.dumps(verdict.to_json(), allow_nan=False)


def test_a_small_reference_is_insufficient_against_a_large_window():
    verdict = judge(DriftProfile.fit(gaussian(4, 35)), gaussian(5, 100_000) + 5)
    assert verdict.status == "insufficient"
    assert judge(DriftProfile.fit(gaussian(4, 1)), gaussian(5, 200)).status == "insufficient"


def test_a_few_rows_against_a_million_are_insufficient():
    rng = np.random.default_rng(30)
    verdict = single(rng.normal(size=1_000_000), rng.normal(5, 1, size=35))
    assert verdict.status == "insufficient"
    json.dumps(verdict.to_json(), allow_nan=False)


def test_a_column_that_is_all_infinite_lies_beyond_the_reference_and_is_a_finding_too(profile):
    frame = gaussian(31, 1_000).assign(c3=-np.inf)
    verdict = judge(profile, frame)
    assert verdict.drifted_columns == ("c3",)
    assert verdict.columns["c3"].ks.low == 1.0
    assert verdict.quality["columns"]["c3"]["infinite"]["current"] == 1.0
    json.dumps(verdict.to_json(), allow_nan=False)
    nothing = DriftProfile.fit(frame[["c3"]])
    assert judge(nothing, frame).status != "drift"
    assert judge(DriftProfile.fit(frame[["c3"]] * np.nan), frame[["c3"]] * np.nan).status == "insufficient"


def test_columns_may_have_any_name():
    names = ["käse 🧀", "\u202eabc", "", "a.b", "<script>", "'; drop table", "\x00", "x" * 500]
    reference = pd.DataFrame(np.random.default_rng(32).normal(size=(500, len(names))), columns=names)
    profile = DriftProfile.from_bytes(DriftProfile.fit(reference).to_bytes(), "p")
    frame = reference.copy()
    frame["käse 🧀"] += 2
    verdict = Verdict.from_record(json.loads(json.dumps(judge(profile, frame).record())), "v")
    assert list(verdict.columns) == names
    assert verdict.drifted_columns == ("käse 🧀",)


def test_a_reference_that_spans_the_season_takes_the_season_for_no_drift():
    # given values that follow the hour of the day, and windows of single hours against whole days
    def seen(first_hour, hours, seed):
        rng = np.random.default_rng(seed)
        at = pd.date_range("2026-01-05", periods=24 * 28, freq="h")[first_hour : first_hour + hours].repeat(200)
        return pd.DataFrame({"x": 3 * np.sin(at.hour / 24 * 2 * np.pi) + rng.normal(size=len(at)), "at": at})

    profile = DriftProfile.fit(seen(0, 24 * 7, 1))
    days = [judge(profile, seen(24 * day, 24, 2 + day)) for day in range(7, 14)]
    assert [day.status for day in days] == ["ok"] * 7
    # an hour is another sample than the day, and two such in three would start a repair: judge by the day
    assert judge(profile, seen(24 * 7 + 6, 1, 20)).status == "drift"


def test_repeated_rows_are_no_evidence(profile):
    # given 60 rows that were sent 30 times each
    frame = pd.concat([gaussian(6, 60)] * 30)
    verdict = judge(profile, frame)
    assert verdict.status == "insufficient"
    assert verdict.quality["repeated_rows"]["rows"] == 1_800
    assert 55 <= verdict.quality["repeated_rows"]["distinct"] <= 65


def test_rows_that_repeat_in_the_reference_too_are_ordinary():
    few = pd.DataFrame({"a": np.random.default_rng(7).integers(0, 3, 5_000)})
    verdict = judge(DriftProfile.fit(few), few.iloc[:2_000])
    assert verdict.status == "ok"
    assert verdict.quality == {}


def test_constant_columns():
    assert single([1.0] * 500, [1.0] * 500).status == "ok"
    moved = single([1.0] * 500, [2.0] * 500)
    assert moved.status == "drift"
    assert moved.columns["x"].ks.low == moved.columns["x"].ks.high == 1.0
    assert single(np.random.default_rng(8).normal(size=500), [0.0] * 500).status == "drift"


def test_a_column_that_is_all_missing_is_a_finding_and_not_drift(profile):
    frame = gaussian(9, 2_000).assign(c4=np.nan)
    verdict = judge(profile, frame)
    assert verdict.status == "warning"
    assert verdict.quality["columns"]["c4"]["missing"]["current"] == 1.0
    assert verdict.columns["c4"].level == "insufficient"
    everything = judge(profile, frame * np.nan)
    assert everything.status == "insufficient"
    json.dumps(everything.to_json(), allow_nan=False)


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_new_missing_values_are_a_finding_and_leave_the_figures_alone(profile, share):
    frame = gaussian(10, 4_000)
    whole = judge(profile, frame)
    frame.loc[np.random.default_rng(0).random(4_000) < share, "c2"] = np.nan
    verdict = judge(profile, frame)
    assert verdict.status == "warning"
    found = verdict.quality["columns"]["c2"]["missing"]
    assert found["current"] == pytest.approx(share, abs=0.02)
    assert found["reference"] == 0.0
    assert verdict.columns["c2"].ks.low == pytest.approx(whole.columns["c2"].ks.low, abs=0.02)


def test_a_negligible_share_of_missing_values_is_no_finding(profile):
    frame = gaussian(27, 20_000)
    frame.loc[:199, "c2"] = np.nan  # 1 %: certain, but nobody's concern
    assert judge(profile, frame).status == "ok"
    assert judge(profile, frame, Rules(quality_effect=0.005)).quality["columns"].keys() == {"c2"}


def test_infinite_values_are_counted_and_reported(profile):
    frame = gaussian(11, 2_000)
    frame.loc[:0, "c1"] = np.inf
    assert judge(profile, frame).status == "ok"
    frame.loc[:199, "c1"] = -np.inf
    verdict = judge(profile, frame)
    assert verdict.quality["columns"]["c1"]["infinite"]["current"] == pytest.approx(0.1)


def test_one_unseen_level_is_nothing_and_many_are_drift():
    reference = ["a", "b", "c"] * 2_000
    assert single(reference, [*reference[:4_999], "new"]).status == "ok"
    many = single(reference, [*reference[:4_000], *["new"] * 1_000])
    assert many.status == "drift"
    assert many.quality["columns"]["x"]["unseen"]["current"] == pytest.approx(0.2)


def test_ten_thousand_levels_and_unicode_without_drift_are_ok():
    rng = np.random.default_rng(12)
    levels = np.array([f"käse-{i}-🧀\u202e" for i in range(10_000)])
    weights = 1 / np.arange(1, 10_001)
    draw = lambda n: rng.choice(levels, n, p=weights / weights.sum())  # noqa: E731
    profile = DriftProfile.fit(pd.DataFrame({"x": draw(20_000)}))
    statuses = [judge(profile, pd.DataFrame({"x": draw(3_000)})).status for _ in range(20)]
    assert statuses.count("ok") >= 19
    assert judge(profile, pd.DataFrame({"x": [levels[4_000]] * 3_000})).status == "drift"


# --- schema


@pytest.mark.parametrize(
    ("reference", "current", "reason"),
    [
        ([1.0, 2.0], ["1.0", "2.0"], "not numeric"),
        ([1, 2], [True, False], "not numeric"),
        (["a", "b"], [1, 2], "not categorical"),
        ([True, False], [1, 0], "not boolean"),
        ([True, False], ["True", "False"], "not boolean"),
        (pd.to_datetime(["2024-01-01", "2024-01-02"]), ["2024-01-01", "2024-01-02"], "not datetime"),
        (pd.to_datetime(["2024-01-01", "2024-01-02"]), pd.to_datetime(["2024-01-01", "2024-01-02"], utc=True), "not"),
        ([1.0, 2.0], np.array([1.0, "x"], dtype=object), "not numeric in 500 of 1000 rows"),
    ],
)
def test_another_type_is_schema_and_not_drift(reference, current, reason):
    verdict = single(list(reference) * 500, pd.Series(list(current) * 500, dtype=getattr(current, "dtype", None)))
    assert verdict.status == "schema"
    assert reason in verdict.schema["x"]
    assert verdict.to_json()["quality"]["schema"] == {"x": verdict.schema["x"]}


def test_a_missing_column_is_schema_and_an_unknown_one_a_finding(profile):
    frame = gaussian(13, 1_000)
    missing = judge(profile, frame.drop(columns=["c5"]))
    assert missing.status == "schema"
    assert missing.schema == {"c5": "missing in 1000 of 1000 rows"}
    more = judge(profile, frame.assign(extra=1))
    assert more.status == "ok"
    assert more.quality == {"unknown_columns": {"extra": 1_000}}


def test_a_few_values_of_another_type_are_a_finding():
    mixed = np.array([*np.random.default_rng(14).normal(size=995), *["?"] * 5], dtype=object)
    verdict = single(np.random.default_rng(15).normal(size=2_000), mixed)
    assert verdict.status == "warning"
    assert verdict.quality["columns"]["x"]["mistyped"] == {"rows": 5}


# --- time


def hours(start, n, step="h"):
    return pd.date_range(start, periods=n, freq=step)


def test_time_moves_on_without_being_drift():
    verdict = single(hours("2024-01-01", 24 * 60), hours("2024-06-01", 24 * 30))
    assert verdict.status == "ok"
    assert verdict.columns["x"].ks.low == 1.0
    assert not verdict.columns["x"].judged


def test_a_jump_of_the_clock_shows_in_the_hours_of_the_day():
    rng = np.random.default_rng(16)

    def office(start, days):
        at = rng.integers(0, days, 4_000) * 86_400 + rng.normal(12 * 3_600, 2 * 3_600, 4_000).astype(int)
        return pd.Timestamp(start) + pd.to_timedelta(at, unit="s")

    reference = office("2024-01-01", 60)
    assert single(reference, office("2024-03-04", 14)).status == "ok"
    jumped = single(reference, office("2024-03-04", 14) + pd.Timedelta(hours=5))
    assert jumped.status == "drift"
    assert "x.hour" in jumped.drifted_columns


def test_a_cycle_is_judged_only_where_both_sides_span_it():
    # given a reference of sixty days and a window of one hour: it cannot show the hours of the day
    verdict = single(hours("2024-01-01", 24 * 60), hours("2024-04-01", 600, "6s"))
    assert verdict.columns["x.hour"].level == "insufficient"
    assert verdict.columns["x.hour"].judged
    assert not verdict.columns["x.month"].judged
    assert not verdict.drifted_columns


def test_time_zones_are_taken_as_instants():
    utc = hours("2024-01-01", 500).tz_localize("UTC")
    verdict = single(utc, utc.tz_convert("Asia/Tokyo"))
    assert verdict.status == "ok"
    assert verdict.columns["x"].psi == 0.0


# --- rules


def test_plain_rules_judge_as_their_names_say(profile):
    frame = gaussian(17, 200)
    column = judge(profile, frame).columns["c0"]
    at = column.psi
    assert judge(profile, frame, Rules(rule="psi", psi_above=at - 1e-9)).columns["c0"].drifted
    assert not judge(profile, frame, Rules(rule="psi", psi_above=at)).columns["c0"].drifted
    assert judge(profile, frame, Rules(rule="kl", kl_above=column.kl - 1e-9)).columns["c0"].drifted
    assert not judge(profile, frame, Rules(rule="kl", kl_above=column.kl)).columns["c0"].drifted
    alarms = [judge(profile, gaussian(600 + i, 500), Rules(rule="ks")).status for i in range(20)]
    assert alarms.count("drift") >= 10  # 30 columns at 5 % each: what the guarded rule is for


def test_columns_may_have_rules_of_their_own(profile):
    frame = gaussian(18, 5_000)
    frame["c0"] += 0.3
    assert judge(profile, frame).status == "drift"
    assert judge(profile, frame, Rules(columns={"c0": ColumnRule(drift_effect=0.5, warning_effect=0.1)})).status == (
        "warning"
    )
    assert judge(profile, frame, Rules(mute=("c0",))).status == "ok"
    assert judge(profile, frame, Rules(columns={"c0": ColumnRule(judged=False)})).status == "ok"
    assert judge(profile, frame, Rules(min_rows=6_000)).status == "insufficient"


def test_a_datetime_order_can_be_judged_on_request():
    rules = Rules(columns={"x": ColumnRule(judged=True)})
    assert single(hours("2024-01-01", 500), hours("2024-03-01", 500), rules).status == "drift"


def test_muted_windows_are_marked(profile):
    rules = Rules(mute_windows=(("2026-12-24T00", "2026-12-26T23"),))
    frame = gaussian(19, 1_000) + 1
    inside = judge(profile, frame, rules, window_id="2026-12-25T09")
    outside = judge(profile, frame, rules, window_id="2026-12-27T09")
    assert (inside.status, inside.muted) == ("drift", True)
    assert (outside.status, outside.muted) == ("drift", False)
    assert not triggered([inside, inside, inside])
    assert triggered([outside, inside, outside])


@pytest.mark.parametrize(
    "wrong",
    [{"rule": "magic"}, {"min_rows": 0}, {"alpha": 0.0}, {"alpha": float("nan")}, {"warning_effect": 0.5}],
)
def test_rules_that_make_no_sense_are_refused(wrong):
    with pytest.raises(BadInput, match="drift rule"):
        Rules(**wrong)


# --- trigger, families, records


def verdicts(profile, pattern):
    frames = {"ok": gaussian(20, 1_000), "drift": gaussian(21, 1_000) + 1, "few": gaussian(22, 50)}
    frames["mild"] = frames["ok"] + 0.35
    return [judge(profile, frames[name]) for name in pattern.split()]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", False),
        ("drift", False),
        ("drift drift", True),
        ("drift ok drift", True),
        ("drift ok ok drift", False),
        ("drift few few few drift", True),
        ("mild mild mild", False),
    ],
)
def test_a_repair_is_triggered_by_two_of_three_conclusive_windows(profile, pattern, expected):
    assert triggered(verdicts(profile, pattern)) is expected


def test_thresholds_of_the_trigger_are_arguments(profile):
    assert triggered(verdicts(profile, "drift"), k=1)
    assert triggered(verdicts(profile, "mild mild"), effect=0.1)


def test_the_verdict_names_what_moved():
    rng = np.random.default_rng(23)

    def rows(n, confident):
        p = rng.beta(*((8, 2) if confident else (3, 3)), size=n)
        return as_frame(rng.normal(size=(n, 4)), np.stack([p, 1 - p], axis=1))

    inputs, outputs = rows(5_000, True)
    profile = DriftProfile.fit(inputs, outputs=outputs)
    calm, hesitant = Window.empty(profile).update(*rows(2_000, True)), Window.empty(profile).update(*rows(2_000, False))
    assert check(profile, calm).moved == ()
    assert check(profile, hesitant).moved == ("prediction",)
    p = np.tile([0.9, 0.1], (500, 1))
    reference = PerformanceReference.fit(p, (rng.random(500) > 0.9).astype(int))
    worse = check_performance(reference, p, (rng.random(500) > 0.5).astype(int))
    verdict = check(profile, calm, performance=worse)
    assert (verdict.status, verdict.moved) == ("drift", ("performance",))
    assert triggered([verdict, verdict])


def test_the_public_form_has_the_agreed_structure(profile):
    frame = gaussian(24, 1_000)
    found = judge(profile, frame.assign(c0=frame["c0"] + 1)).to_json()
    assert list(found) == ["verdict", "n", "columns", "quality", "performance"]
    assert (found["verdict"], found["n"]) == ("drift", 1_000)
    assert list(found["columns"]) == NAMES
    for column in found["columns"].values():
        assert list(column) == ["psi", "psi_debiased", "kl", "ks", "p", "drifted"]
        assert column["ks"][0] <= column["ks"][1]
    assert [name for name, column in found["columns"].items() if column["drifted"]] == ["c0"]


def test_a_verdict_survives_its_record(profile):
    p = np.tile([0.9, 0.1], (200, 1))
    reference = PerformanceReference.fit(p, np.zeros(200, int))
    performance = check_performance(reference, p, np.zeros(200, int))
    frame = gaussian(25, 1_000).assign(c0=np.nan, extra=1)
    verdict = judge(profile, frame, performance=performance, window_id="2026-11-22T07")
    record = json.loads(json.dumps(verdict.record(), allow_nan=False))
    again = Verdict.from_record(record, "v.json")
    assert again.record() == verdict.record()
    assert again.to_json() == verdict.to_json()
    for broken in ({}, record | {"status": "fine"}, record | {"columns": {"c0": {}}}, record | {"columns": 3}):
        with pytest.raises(BadInput, match=r"v\.json: not the record of a verdict"):
            Verdict.from_record(broken, "v.json")


def test_figures_for_lineage_edges_are_defined_numbers(profile):
    frame = gaussian(26, 500).assign(c0=np.nan)
    figures = judge(profile, frame).measures()
    assert figures["c0"] == {}
    assert figures["c1"].keys() == {"psi", "psi_debiased", "kl", "js", "ks"}
    assert all(np.isfinite(v) for c in figures.values() for v in c.values())
