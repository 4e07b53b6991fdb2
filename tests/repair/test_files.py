"""`heritage repair files`: weights and rows in, repaired weights and an honest verdict out, without a registry."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from heritage.cli.repair import app
from heritage.errors import BadInput, HeritageError, NotFound, Refused
from heritage.repair.evaluate import predict
from heritage.repair.files import FilesRequest, repair_files, write_result
from heritage.repair.options import NEAREST_RULE, SearchOptions
from heritage.repair.plan import Rung, Statistics
from heritage.rows import Rows, to_npz
from heritage.settings import settings

QUICK = SearchOptions(rungs=(Rung.NONE, Rung.ROLLBACK, Rung.ONE, Rung.HULL), splits=2)
MODULE = """
from torch import nn
def digits(hidden=48):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, 10))
"""


@pytest.fixture
def folder(tmp_path, family):
    save_file(family.drifted, tmp_path / "site.safetensors")
    for name, state in family.donors.items():
        save_file(state, tmp_path / f"{name}.safetensors")
    for name in ("rows", "guard", "unlabelled"):
        (tmp_path / f"{name}.npz").write_bytes(to_npz(getattr(family, name)))
    return tmp_path


@pytest.fixture
def request_(folder):
    donors = [folder / "root.safetensors", folder / "sibling.safetensors"]
    return FilesRequest(folder / "site.safetensors", donors, folder / "rows.npz", folder / "guard.npz")


@pytest.fixture
def builder(folder, monkeypatch):
    (folder / "outside_nets.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("HERITAGE_ALLOWED_BUILDERS", "outside_nets")
    settings.cache_clear()
    yield "outside_nets:digits"
    settings.cache_clear()


def command(folder, *extra: str, model: str = "outside_nets:digits", **changed: str) -> list[str]:
    given = {
        "drifted": folder / "site.safetensors",
        "donors": f"{folder / 'root.safetensors'},{folder / 'sibling.safetensors'}",
        "model": model,
        "validation": folder / "rows.npz",
        "guard": folder / "guard.npz",
        "output": folder / "out.safetensors",
        **changed,
    }
    return ["files", *(str(w) for k, v in given.items() for w in (f"--{k}", v)), *extra]


def run(arguments: list[str]):
    return CliRunner().invoke(app, arguments)


def test_the_command_repairs_and_reports(folder, builder, family):
    result = run(command(folder, "--json", "--unlabelled", str(folder / "unlabelled.npz")))
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["verdict"] == "accept"
    assert report["p"] < 0.05
    assert set(report["coefficients"]) == {"root", "sibling"}
    assert report["accuracy_after"] > report["accuracy_before"] + 0.2
    assert report["nll_after"] < report["nll_before"]
    state = load_file(folder / "out.safetensors")
    accuracy = np.mean(predict(family.network, state, family.guard).argmax(1) == family.guard.y)
    assert accuracy == pytest.approx(report["accuracy_after"])


def test_rows_without_an_answer_are_left_out_and_named(family, request_, folder):
    def with_gaps(rows):
        x = rows.x.copy()
        x[::10] = np.nan
        return Rows(x, rows.y)

    parts = {name: getattr(family, name) for name in ("rows", "guard", "unlabelled")}
    for name, rows in parts.items():
        (folder / f"{name}.npz").write_bytes(to_npz(with_gaps(rows)))
    found = repair_files(family.network, replace(request_, unlabelled=folder / "unlabelled.npz"), QUICK)
    for name, rows in parts.items():
        (folder / f"{name}.npz").write_bytes(to_npz(rows.take(np.arange(len(rows)) % 10 != 0)))
    clean = repair_files(family.network, replace(request_, unlabelled=folder / "unlabelled.npz"), QUICK)
    assert found.plan.hash == clean.plan.hash
    assert [note.split(":")[0] for note in found.notes] == ["rows.npz", "guard.npz", "unlabelled.npz"]
    assert clean.notes == ()


def test_a_second_run_gives_the_same_bytes(folder, builder):
    first = run(command(folder, "--json", "--rungs", "none,rollback,one"))
    written = (folder / "out.safetensors").read_bytes()
    second = run(command(folder, "--json", "--rungs", "none,rollback,one"))
    assert first.stdout == second.stdout
    assert (folder / "out.safetensors").read_bytes() == written


def test_a_refused_repair_leaves_with_3_and_writes_nothing(folder, builder, family):
    save_file(family.donors["root"], folder / "site.safetensors")
    result = run(command(folder, "--json", "--rungs", "none,one", donors=str(folder / "sibling.safetensors")))
    assert result.exit_code == 3
    assert json.loads(result.stdout)["verdict"] != "accept"
    assert not (folder / "out.safetensors").exists()


def test_a_dry_run_writes_nothing_and_people_get_sentences(folder, builder):
    result = run(command(folder, "--dry-run", "--rungs", "none,one"))
    assert result.exit_code == 0
    assert "rows can show a gain of" in result.output
    assert not (folder / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"model": "os:system"}, Refused, "none of the allowed packages"),
        ({"donors": "/nowhere/a.safetensors"}, NotFound, "no such file"),
        ({"validation": "/nowhere/a.npz"}, NotFound, "no such file"),
        ({"kwargs": "[1]"}, BadInput, "JSON object"),
        ({"kwargs": "{"}, BadInput, "not JSON"),
        ({"kwargs": '{"hidden": 7}'}, BadInput, "has shape"),
        ({"rungs": "jump"}, BadInput, "'jump' is unknown"),
        ({"device": "abacus"}, BadInput, "device 'abacus' cannot be used here"),
        ({"trim": "0"}, BadInput, "trim is 0.0"),
    ],
)
def test_bad_arguments_are_told(folder, builder, changed, error, message):
    result = run(command(folder, **changed))
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert not (folder / "out.safetensors").exists()


def test_a_mix_is_streamed_and_its_plan_says_what_it_was(request_, family, folder):
    found = repair_files(family.network, request_, QUICK)
    write_result(found, request_.drifted, folder / "out.safetensors")
    written = load_file(folder / "out.safetensors")
    assert all(torch.equal(written[n], t) for n, t in found.state.items())
    assert found.plan.guard == family.guard.digest
    assert found.plan.labelled == family.rows.digest


def test_the_nearest_rule_is_selectable(request_, family):
    found = repair_files(family.network, replace(request_, donors=request_.donors[:1]), SearchOptions(NEAREST_RULE))
    assert found.plan.recipe.rung in NEAREST_RULE
    assert set(found.plan.donors) == {"root"}


def test_guard_rows_that_were_tuned_on_do_not_count(request_, family, folder):
    both = Rows(np.concatenate([family.rows.x, family.guard.x]), np.concatenate([family.rows.y, family.guard.y]))
    request_.guard.write_bytes(to_npz(both))
    found = repair_files(family.network, request_, QUICK)
    assert found.decision.rows == len(family.guard)
    assert "100 guard rows are validation rows too" in found.notes[0]
    request_.guard.write_bytes(to_npz(family.rows))
    with pytest.raises(BadInput, match="0 guard rows are not among"):
        repair_files(family.network, request_, QUICK)


def test_the_original_domain_has_a_say(request_, family, folder):
    # the drifted model's own domain: upright digits, which a plain rollback to the noisy sibling would hurt
    upright = Rows(np.ascontiguousarray(np.rot90(family.test.x, -1, axes=(1, 2))), family.test.y)
    (folder / "original.npz").write_bytes(to_npz(upright))
    found = repair_files(family.network, replace(request_, original=folder / "original.npz"), QUICK)
    assert found.decision.original_gain is not None
    assert any("original domain" in reason for reason in found.decision.reasons)


@pytest.mark.parametrize(
    ("what", "data", "message"),
    [
        ("validation", b"", "not a readable npz"),
        ("validation", to_npz(Rows(np.zeros((20, 8, 8), np.float32))), "no labelled rows"),
        ("validation", to_npz(Rows(np.zeros((20, 8, 8), np.float32), np.zeros(20, np.int64))), "at least 2 classes"),
        ("guard", to_npz(Rows(np.zeros((20, 8, 8), np.float32))), "no labelled rows"),
    ],
)
def test_rows_that_cannot_serve_are_refused(request_, family, what, data, message):
    getattr(request_, what).write_bytes(data)
    with pytest.raises(BadInput, match=message):
        repair_files(family.network, request_, QUICK)


def test_equal_names_of_donors_are_refused(request_, family, folder):
    (folder / "sub").mkdir()
    save_file(family.donors["root"], folder / "sub" / "root.safetensors")
    with pytest.raises(HeritageError, match="share a name"):
        repair_files(family.network, replace(request_, donors=[*request_.donors, folder / "sub" / "root.safetensors"]))


def test_weights_with_nan_are_refused_by_name(request_, family):
    bad = {n: t.clone() for n, t in family.donors["root"].items()}
    bad["1.weight"][0, 0] = float("nan")
    save_file(bad, request_.donors[0])
    with pytest.raises(BadInput, match=r"donor: tensor '1\.weight' holds 1 NaN"):
        repair_files(family.network, request_, QUICK)


def test_fine_tuned_results_say_how(request_, family, folder):
    inverted = {n: Rows(1 - getattr(family, n).x, getattr(family, n).y) for n in ("rows", "guard")}
    request_.validation.write_bytes(to_npz(inverted["guard"]))
    request_.guard.write_bytes(to_npz(Rows(1 - family.test.x, family.test.y)))
    found = repair_files(family.network, request_)
    assert found.plan.recipe.rung in (Rung.FINETUNE_20, Rung.FINETUNE_60, Rung.FINETUNE_200)
    assert found.decision.accepted
    assert found.plan.recipe.statistics in Statistics
    write_result(found, request_.drifted, folder / "out.safetensors")
    assert all(torch.equal(load_file(folder / "out.safetensors")[n], t) for n, t in found.state.items())
