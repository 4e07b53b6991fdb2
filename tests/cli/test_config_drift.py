"""`heritage config show` tells the drift rules of each model, and where they came from."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heritage.cli import app
from heritage.local.doctor import Check
from heritage.settings import settings

TOML = """
[drift]
rule = "ks"
mute = ["when"]
mute_windows = [["2026-12-24T00", "2026-12-26T23"]]

[drift.columns."x.hour"]
judged = false

[drift.models.churn]
rule = "psi"
psi_above = 0.25
windows_needed = 1

[drift.models.churn.columns.age]
drift_effect = 0.3
"""


@pytest.fixture(autouse=True)
def _configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "heritage.toml").write_text(TOML)
    monkeypatch.setenv("HERITAGE_CONFIG", str(tmp_path / "heritage.toml"))
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_every_exception_is_a_line_of_its_own():
    shown = CliRunner().invoke(app, ["config", "show"])
    assert shown.exit_code == 0, shown.output
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in shown.stdout.splitlines() if "│" in line]
    values = {name: (value, origin) for name, value, origin in rows}
    assert values["drift.models.churn.rule"][0] == "psi"
    assert values["drift.models.churn.columns.age.drift_effect"][0] == "0.3"
    assert values["drift.mute"][1].endswith("heritage.toml")
    told = json.loads(CliRunner().invoke(app, ["config", "show", "--json"]).stdout)
    assert told["settings"]["drift"]["models"]["churn"]["psi_above"] == 0.25


def test_a_model_has_its_own_rules_and_otherwise_those_of_all():
    own, other = settings().drift.for_model("churn"), settings().drift.for_model("fraud")
    assert (own.rule, own.psi_above, own.windows_needed, own.mute) == ("psi", 0.25, 1, ("when",))
    assert set(own.columns) == {"x.hour", "age"}
    assert (other.rule, other.windows_needed, set(other.columns)) == ("ks", 2, {"x.hour"})
    assert other.mute_windows == (("2026-12-24T00", "2026-12-26T23"),)


def test_files_are_checked_by_the_rule_of_the_settings(tmp_path: Path):
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    for name in ("r", "c"):
        pd.DataFrame({f"x{i}": rng.normal(size=400) for i in range(30)}).to_parquet(tmp_path / f"{name}.parquet")
    run = lambda *args: CliRunner().invoke(app, ["drift", *map(str, args)])  # noqa: E731
    assert run("profile", tmp_path / "r.parquet", "-o", tmp_path / "p").exit_code == 0
    by_settings = run("check", tmp_path / "p", tmp_path / "c.parquet", "--json")
    assert json.loads(by_settings.stdout)["verdict"] == "drift"  # KS p < .05 in thirty columns
    assert run("check", tmp_path / "p", tmp_path / "c.parquet", "--rule", "guarded").exit_code == 0


@pytest.mark.parametrize("arguments", [["config", "show"], ["config", "show", "--json"], ["doctor", "--json"]])
def test_the_registrys_password_is_not_shown(arguments, monkeypatch):
    monkeypatch.setenv("HERITAGE_MLFLOW__TRACKING_URI", "http://ana:sesame@127.0.0.1:9")
    monkeypatch.setenv("HERITAGE_S3__ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("heritage.local.doctor.check_dags", lambda _: Check("DAGs", True, "not looked at"))
    shown = CliRunner().invoke(app, arguments).output
    assert "http://127.0.0.1:9" in shown
    assert "sesame" not in shown
