"""`heritage repair write` and `heritage label ...` as a person types them, against a real S3 server."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file, save, save_file
from typer.testing import CliRunner

from heritage.cli import app
from heritage.flows.answers import key_of
from heritage.labelling.pool import Selection
from heritage.labelling.request import RequestOptions, make_request
from heritage.local.environment import client_environment
from heritage.repair.plan import Recipe, RepairPlan, Rung
from heritage.rows import Rows, to_npz
from heritage.settings import settings
from heritage.weights.checkpoint import Checkpoint


def run(*arguments: str, code: int = 0):
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if "--json" in arguments and code == 0 else done.output


@pytest.fixture
def models(tmp_path):
    g = torch.Generator().manual_seed(0)
    states = {name: {"w": torch.randn(50, 20, generator=g)} for name in ("site", "root")}
    for name, state in states.items():
        save_file(state, tmp_path / f"{name}.safetensors")
    digests = []
    for name in states:
        with Checkpoint.open(tmp_path / f"{name}.safetensors") as checkpoint:
            digests.append(checkpoint.digest)
    plan = RepairPlan(digests[0], {"root": digests[1]}, Recipe(Rung.ONE, {"root": 0.4}), "f" * 64, seed=0)
    (tmp_path / "plan.json").write_text(plan.to_json())
    return tmp_path, states


@pytest.fixture
def bucket(store, seaweed, monkeypatch):
    """The commands find this test's bucket; no MLflow runs at the address that they are given."""
    own = seaweed.model_copy(update={"bucket": store.bucket})
    for name, value in client_environment(own, "http://127.0.0.1:9").items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    yield store
    settings.cache_clear()


def test_a_plan_is_carried_out_and_undone_on_disk(models):
    folder, states = models
    given = [str(folder / "plan.json"), "--drifted", str(folder / "site.safetensors")]
    told = run(
        "repair",
        "write",
        *given,
        "--donors",
        f"root={folder / 'root.safetensors'}",
        "-o",
        str(folder / "out"),
        "--json",
    )
    assert torch.equal(load_file(folder / "out")["w"], torch.lerp(states["site"]["w"], states["root"]["w"], 0.4))
    with Checkpoint.open(folder / "out") as checkpoint:
        assert told["digest"] == checkpoint.digest
    run("repair", "write", *given, "--undo", "-o", str(folder / "back"))
    assert (folder / "back").read_bytes() == (folder / "site.safetensors").read_bytes()


@pytest.mark.services
def test_a_plan_is_carried_out_from_bucket_to_bucket(models, bucket):
    folder, states = models
    for name, state in states.items():
        bucket.put(f"{name}.safetensors", save(state))
    at = f"s3://{bucket.bucket}"
    given = ["repair", "write", str(folder / "plan.json"), "--drifted", f"{at}/site.safetensors"]
    told = run(*given, "--donors", f"root={at}/root.safetensors", "-o", f"{at}/out/model.safetensors", "--json")
    assert told["output"] == f"{at}/out/model.safetensors"
    assert torch.equal(
        load(bucket.get("out/model.safetensors"))["w"], torch.lerp(states["site"]["w"], states["root"]["w"], 0.4)
    )
    mixed = run(*given, "--donors", f"root={folder / 'root.safetensors'}", "-o", f"{at}/x", code=1)
    assert "partly on disk" in mixed
    assert "several buckets" in run(*given, "--donors", "root=s3://other/r", "-o", f"{at}/x", code=1)


@pytest.mark.parametrize("donors", ["root", "=x", "root=", "a=1,a=2"])
def test_donors_need_a_name_and_a_place(models, donors):
    folder, _ = models
    told = run(
        "repair", "write", str(folder / "plan.json"), "--drifted", "x", "--donors", donors, "-o", "y", code=1
    )  # fmt: skip
    assert "give NAME=WHERE" in told


@pytest.mark.services
def test_labels_are_listed_answered_and_closed(bucket, tmp_path):
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    deadline = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    options = RequestOptions("vision/3", "a" * 64, "w1", ("cat", "dog"), "mixed", deadline=deadline)
    made = make_request(Rows(x), Selection(np.arange(4), ("random",) * 4), options)
    for name, data in (("rows.npz", to_npz(made.rows)), ("tasks.jsonl", made.tasks), ("manifest.json", made.manifest)):
        bucket.create(key_of(made.request_id, name), data)
    assert [r["request"] for r in run("label", "list", "--json")] == [made.request_id]

    lines = [{**json.loads(line), "label": "dog", "annotator": "ana"} for line in made.tasks.splitlines()[:3]]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "3 of 4" in run("label", "answer", made.request_id, str(tmp_path / "labels.jsonl"))
    told = run("label", "status", made.request_id, "--json")
    assert (told["answered"], told["annotators"]) == (3, {"ana": 3})
    assert run("label", "close", made.request_id, "--json")["done"]
    assert run("label", "list", "--json") == []
    assert "is closed" in run("label", "answer", made.request_id, str(tmp_path / "labels.jsonl"), code=1)
    assert "HERITAGE_LABEL_STUDIO__URL" in run("label", "push", made.request_id, code=1)
