"""`heritage drift`: files in, verdicts and exit codes out."""

import json

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

import heritage.cli
from heritage.cli import drift
from heritage.drift import npz


@pytest.fixture(scope="module")
def run():
    root = typer.Typer(cls=heritage.cli._Commands)
    root.add_typer(drift.app)
    return lambda *args: CliRunner().invoke(root, ["drift", *map(str, args)])


def rows(seed, n, shift=0.0, flipped=0.0):
    rng = np.random.default_rng(seed)
    x = rng.normal(shift, size=n)
    truth = rng.normal(size=n)
    p = 1 / (1 + np.exp(-4 * truth))
    y = (rng.random(n) < p).astype(int)
    return pd.DataFrame(
        {
            "x": x,
            "whole": rng.integers(0, 5, n),
            "code": rng.integers(10, 14, n),
            "level": rng.choice(["a", "b", "ü<b>"], n),
            "flag": rng.random(n) < 0.4,
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 40 * 86_400, n), unit="s"),
            "y": np.where(rng.random(n) < flipped, 1 - y, y),
            "p": p,
        }
    )


def save(frame, path):
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module", params=[".parquet", ".csv"])
def files(request, tmp_path_factory, run):
    """A profile and current files; CSV and parquet alike."""
    folder = tmp_path_factory.mktemp("files")
    reference = save(rows(0, 4_000), folder / f"reference{request.param}")
    profile = folder / "profile.npz"
    made = run("profile", reference, "--categorical", "code", "--label", "y", "--probability", "p", "-o", profile)
    assert made.exit_code == 0, made.output
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == []
    return lambda frame: (profile, save(frame, folder / f"current{request.param}"))


LABELS = ("--label", "y", "--probability", "p")


def test_no_drift_is_exit_0_with_the_agreed_json(run, files):
    done = run("check", *files(rows(1, 1_500)), *LABELS, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert list(found) == ["verdict", "n", "columns", "quality", "performance"]
    assert (found["verdict"], found["n"], found["quality"]) == ("ok", 1_500, {})
    assert {"x", "whole", "code", "level", "flag", "when", "when.hour", "probability_1"} <= found["columns"].keys()
    assert found["performance"]["accuracy"]["current"] > 0.8


def test_the_reference_itself_is_no_distance_at_all(run, files):
    found = json.loads(run("check", *files(rows(0, 4_000)), *LABELS, "--json").stdout)
    assert all(column["psi"] == 0 for column in found["columns"].values())
    assert found["columns"]["whole"]["ks"] == [0.0, 0.0]


def test_drift_is_exit_3(run, files):
    done = run("check", *files(rows(2, 1_500, shift=1.0)), "--probability", "p", "--json")
    assert done.exit_code == 3
    found = json.loads(done.stdout)
    assert found["verdict"] == "drift"
    assert [name for name, column in found["columns"].items() if column["drifted"]] == ["x"]
    assert found["quality"] == {"unknown_columns": {"y": 1_500}}


def test_concept_drift_is_exit_3_and_blames_no_input(run, files):
    done = run("check", *files(rows(3, 1_000, flipped=0.2)), *LABELS)
    assert done.exit_code == 3
    assert "performance moved" in done.stdout
    assert "input" not in done.stdout


def test_late_labels_are_left_out(run, files):
    frame = rows(4, 1_500)
    frame["y"] = frame["y"].where(np.arange(1_500) < 400)
    done = run("check", *files(frame), *LABELS, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["performance"]["labels"] == 400


def test_schema_breaks_are_exit_1_and_insufficient_is_0(run, files):
    frame = rows(5, 1_500)
    broken = run("check", *files(frame.drop(columns="level").assign(x="text")), *LABELS)
    assert broken.exit_code == 1
    assert "column 'level' is missing in 1500 of 1500 rows" in broken.stdout
    assert "column 'x' is not numeric in 1500 of 1500 rows" in broken.stdout
    few = run("check", *files(frame.iloc[:50]), *LABELS, "--json")
    assert (few.exit_code, json.loads(few.stdout)["verdict"]) == (0, "insufficient")
    empty = run("check", *files(frame.iloc[:0]), "--json", *LABELS)
    assert (empty.exit_code, json.loads(empty.stdout)["verdict"]) == (0, "insufficient")


def test_inputs_alone_are_judged_where_no_outputs_are_named(run, files):
    frame = rows(5, 1_500).drop(columns=["y", "p"])
    same = run("check", *files(frame), "--json")
    assert same.exit_code == 0, same.output
    assert json.loads(same.stdout)["verdict"] == "ok"
    assert not {"probability_1", "entropy", "prediction"} & json.loads(same.stdout)["columns"].keys()
    assert "--probability names no columns" in same.stderr
    assert run("check", *files(frame.assign(x=frame["x"] + 1)), "--json").exit_code == 3


@pytest.mark.parametrize(("rule", "threshold"), [("psi", 1e-9), ("kl", 1e-9), ("ks", 0.999999), ("guarded", 0.0)])
def test_rules_and_thresholds_can_be_chosen(run, files, rule, threshold):
    arguments = files(rows(6, 1_500))
    strict = run("check", *arguments, *LABELS, "--rule", rule, "--threshold", threshold)
    assert strict.exit_code == (0 if rule == "guarded" else 3)  # the guarded rule still asks for significance
    assert run("check", *arguments, *LABELS, "--rule", rule, "--threshold", 1e-12 if rule == "ks" else 9).exit_code == 0


def test_one_word_among_numbers_is_one_finding(run, tmp_path):
    reference = save(rows(0, 500)[["x"]], tmp_path / "r.csv")
    run("profile", reference, "-o", tmp_path / "p.npz")
    texts = rows(7, 1_000)["x"].astype(str)
    texts[3] = "n.a.?"
    done = run("check", tmp_path / "p.npz", save(texts.to_frame(), tmp_path / "c.csv"), "--json")
    assert json.loads(done.stdout)["quality"] == {"columns": {"x": {"mistyped": {"rows": 1}}}}


def test_codes_that_passed_through_floats_are_the_same_levels(run, files):
    frame = rows(14, 1_500)
    done = run("check", *files(frame.assign(code=frame["code"].astype(float))), *LABELS, "--json")
    assert json.loads(done.stdout)["quality"] == {}
    assert json.loads(done.stdout)["columns"]["code"]["psi"] < 0.1


def test_classes_may_have_names_and_a_column_each(run, tmp_path):
    rng = np.random.default_rng(8)
    p = rng.dirichlet(np.ones(3), 800)
    y = np.array(["ant", "bee", "cat"])[[rng.choice(3, p=row) for row in p]]
    frame = pd.DataFrame(p, columns=["pa", "pb", "pc"]).assign(y=y, x=rng.normal(size=800))
    path = save(frame, tmp_path / "r.parquet")
    options = ("--label", "y", "--probability", "pa,pb,pc")
    assert run("profile", path, *options, "-o", tmp_path / "p").exit_code == 0
    found = json.loads(run("check", tmp_path / "p", path, *options, "--json").stdout)
    assert found["performance"]["accuracy"]["current"] == found["performance"]["accuracy"]["reference"]
    new = save(frame.assign(y="dog"), tmp_path / "new.parquet")
    refused = run("check", tmp_path / "p", new, *options)
    assert refused.exit_code == 1
    assert "label 'dog' is not among the classes of the reference (ant, bee, cat)" in refused.stderr
    two = run("profile", path, "--label", "y", "--probability", "pa,pb", "-o", tmp_path / "q")
    assert "3 classes, but 2 probability" in " ".join(two.stderr.split())


def test_usage_errors_are_exit_2(run, files, tmp_path):
    arguments = files(rows(9, 200))
    assert run("check", *arguments, "--label", "y").exit_code == 2
    assert run("check", arguments[0]).exit_code == 2
    assert run("check", *arguments, "--threshold", "much").exit_code == 2


def failing(run, *args):
    done = run(*args)
    assert done.exit_code == 1
    assert done.stdout == ""
    return " ".join(done.stderr.split())


def test_every_bad_file_gets_one_clear_message(run, files, tmp_path):
    profile, current = files(rows(10, 500))
    whole = save(rows(10, 5_000), tmp_path / "whole.parquet").read_bytes()
    bad = {
        "cut.parquet": whole[: len(whole) // 2],
        "magic.parquet": b"PAR1" + bytes(100) + b"PAR1",
        "empty.parquet": b"",
        "empty.csv": b"",
        "binary.csv": bytes(range(256)) * 20,
        "ragged.csv": b"a,b\n1,2\n1,2,3,4\n",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        for command in (("check", profile, tmp_path / name), ("profile", tmp_path / name, "-o", tmp_path / "o")):
            assert f"{tmp_path / name}: not a readable table" in failing(run, *command)
    assert "no such file" in failing(run, "check", profile, tmp_path / "none.csv")
    assert "not a file" in failing(run, "check", profile, tmp_path)
    (tmp_path / "x.xlsx").write_bytes(b"PK")
    assert "neither .parquet nor .csv" in failing(run, "check", profile, tmp_path / "x.xlsx")
    assert "not a readable heritage drift profile" in failing(run, "check", current, current)
    assert "write a profile with" in failing(run, "check", tmp_path / "none", current)
    assert "is not in the table" in failing(run, "check", profile, current, "--probability", "q")
    assert "no such folder" in failing(run, "profile", current, "-o", tmp_path / "none" / "p")
    assert "drift rule 'magic'" in failing(run, "check", profile, current, "--rule", "magic")
    assert not (tmp_path / "o").exists()


def test_a_profile_of_another_schema_version_is_named(run, files, tmp_path):
    profile, current = files(rows(11, 200))
    header, arrays = npz.unpack(profile.read_bytes(), "heritage drift profile", 1, "p")
    header = {k: v for k, v in header.items() if k not in ("format", "version")}
    (tmp_path / "old.npz").write_bytes(npz.pack("heritage drift profile", 0, header, arrays))
    assert "of schema version 0; this heritage reads version 1" in failing(run, "check", tmp_path / "old.npz", current)


def test_labels_need_a_profile_that_has_them(run, tmp_path):
    path = save(rows(12, 300), tmp_path / "r.csv")
    assert run("profile", path, "-o", tmp_path / "p", "--exclude", "y,p").exit_code == 0
    message = failing(run, "check", tmp_path / "p", path, *LABELS)
    assert "fitted without labels; fit it again with --label and --probability" in message


def test_the_report_is_one_page_of_our_own(run, files, tmp_path):
    page = tmp_path / "report.html"
    done = run("report", *files(rows(13, 800, shift=1.0)), *LABELS, "-o", page)
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert "drift" in text
    assert "<script" not in text
    assert "ü<b>" not in text


def test_a_report_on_several_files_tells_how_it_came_to_this(run, tmp_path):
    tables = [rows(20 + i, 400, shift=0.5 * i)[["x", "flag"]] for i in range(3)]
    paths = [save(table, tmp_path / f"hour-{i}.parquet") for i, table in enumerate(tables)]
    profile, page = tmp_path / "p", tmp_path / "report.html"
    assert run("profile", paths[0], "-o", profile).exit_code == 0
    done = run("report", profile, *paths, "-o", page)
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert "Verdicts so far" in text
    assert "Drift of hour-2.parquet" in text
    assert text.count("<img") == 3  # the timeline and two columns
