"""A version as MLflow's own pyfunc model: no pickle in it, and the same agent watches it."""

import json
from pathlib import Path

import numpy as np
import pytest
import structlog
from typer.testing import CliRunner

from heritage.cli import app
from heritage.errors import BadInput
from heritage.flows.networks import manifest_of, network_of, state_of
from heritage.local.environment import client_environment
from heritage.settings import settings
from heritage.weights.network import probabilities
from tests.serving.test_serving import stored

pytestmark = pytest.mark.services

X = np.random.default_rng(3).normal(size=(30, 4)).astype(np.float32)


@pytest.fixture
def environment(deployed, monkeypatch):
    chosen = deployed.ctx.settings
    variables = client_environment(chosen.s3, chosen.mlflow.tracking_uri) | {
        "HERITAGE_ALLOWED_BUILDERS": "torch.nn",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def packaged(deployed, environment, tmp_path):
    """The model's folder as MLflow downloads it."""
    import mlflow

    uri = deployed.ctx.registry.log_pyfunc(deployed.versions[0], deployed.ctx.settings.work_dir / "weights")
    assert uri == f"runs:/{deployed.versions[0].run_id}/pyfunc"
    client = mlflow.MlflowClient(deployed.ctx.settings.mlflow.tracking_uri)
    return client.download_artifacts(deployed.versions[0].run_id, "pyfunc", str(tmp_path))


def test_it_holds_no_pickle_answers_as_the_version_and_is_watched(deployed, packaged):
    import mlflow

    files = {p for p in Path(packaged).rglob("*") if p.is_file()}
    names = {p.name for p in files}
    assert {"MLmodel", "pyfunc_model.py", "served.json", "profile.npz"} <= names
    assert {p.suffix for p in files} <= {"", ".py", ".yaml", ".txt", ".json", ".npz", ".safetensors"}
    assert not any(p.read_bytes()[:1] == b"\x80" for p in files)  # where a pickle of protocol 2 and later begins

    model = mlflow.pyfunc.load_model(packaged)
    ids = [f"id-{i}" for i in range(30)]
    answered = model.predict(X, params={"ids": ids})
    more = model.predict(X[:3])

    ctx, version = deployed.ctx, deployed.versions[0]
    expected = probabilities(network_of(ctx, manifest_of(ctx, version), state_of(ctx, version)), X)
    np.testing.assert_allclose(answered.filter(like="probability_").to_numpy(), expected, rtol=1e-6)
    assert answered["prediction_id"].tolist() == ids
    assert answered["prediction"].tolist() == expected.argmax(axis=1).tolist()
    assert more["prediction_id"].nunique() == 3
    own = model.unwrap_python_model()
    own.agent.close()
    rows, lost, logged = stored(deployed, version)
    assert (rows, lost) == (33, 0)
    assert sorted(logged) == sorted([*ids, *more["prediction_id"]])
    with pytest.raises(BadInput, match="2 ids for 3 rows"):
        own.predict(None, X[:3], {"ids": ["a", "b"]})
    with pytest.raises(BadInput, match="not finite"):
        own.predict(None, X[:3] * np.nan)
    with pytest.raises(BadInput, match=r"not rows of numbers of shape \[4\]"):
        own.predict(None, X[:3, :3])


def test_altered_weights_are_not_served(packaged):
    import mlflow

    path = next(Path(packaged).rglob("served.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"digest": "0" * 64}))
    with pytest.raises(Exception, match="package the version again"):
        mlflow.pyfunc.load_model(packaged)


def test_a_version_that_nothing_can_run_is_not_packaged(deployed, tmp_path):
    from heritage.weights.write import write_safetensors

    write_safetensors(tmp_path / "w.safetensors", {"w": X})
    bare = deployed.ctx.registry.register(f"{deployed.name}-raw", tmp_path / "w.safetensors").version
    with pytest.raises(BadInput, match="names its architecture"):
        deployed.ctx.registry.log_pyfunc(bare, tmp_path)


def test_a_version_is_packaged_from_a_shell(deployed, environment, monkeypatch):
    monkeypatch.setattr(structlog, "configure", lambda **_: None)  # else it goes on writing to this test's stderr
    run = lambda *args: CliRunner().invoke(app, ["package", f"{deployed.name}@champion", *args])  # noqa: E731
    planned = run("--dry-run")
    assert (planned.exit_code, "would store" in planned.stdout) == (0, True)
    found = json.loads(run("--json").stdout)
    assert found == {"version": f"{deployed.name}/1", "uri": f"runs:/{deployed.versions[0].run_id}/pyfunc"}
