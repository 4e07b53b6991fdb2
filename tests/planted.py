"""A registry of planted models: weights made by arithmetic, so that every relation is known and nothing is trained.

MLflow runs embedded on SQLite, files lie in the session's SeaweedFS bucket only where heritage puts them there.
"""

import uuid
from pathlib import Path
from typing import Any

import numpy as np

from heritage.flows import register
from heritage.flows.context import Context
from heritage.local.environment import client_environment
from heritage.records import ModelVersion, Origin, ParentEdge, Relation
from heritage.registry import Registry
from heritage.settings import MlflowSettings, S3Settings, Settings
from heritage.storage import ObjectStore
from heritage.weights.write import write_safetensors

State = dict[str, np.ndarray]

SHAPES = {
    "embed.weight": (40, 32),
    "layer.0.query.weight": (32, 32),
    "layer.0.value.weight": (32, 32),
    "layer.0.value.bias": (32,),
    "layer.0.norm.weight": (32,),
    "layer.1.dense.weight": (64, 32),
    "layer.1.dense.bias": (64,),
    "layer.2.dense.weight": (32, 64),
    "classifier.weight": (5, 32),
    "classifier.bias": (5,),
}


class Planter:
    """Makes states of one architecture from a seed: a root, and children by known steps."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def root(self) -> State:
        state = {k: (0.2 * self._rng.normal(size=s)).astype(np.float32) for k, s in SHAPES.items()}
        state["layer.0.norm.weight"] = np.ones(32, np.float32)
        return {k: v * np.float32(0.05 if k.endswith("bias") else 1.0) for k, v in state.items()}

    def finetuned(self, parent: State, step: float = 0.02) -> State:
        """Every tensor moved by a random step; the first embedding rows only decay."""
        child = {k: (v + step * self._rng.normal(size=v.shape)).astype(np.float32) for k, v in parent.items()}
        child["embed.weight"][:6] = parent["embed.weight"][:6] * np.float32(1 - step)
        return child


def pruned(parent: State, share: float = 0.5) -> State:
    """The smallest `share` of each matrix at zero."""
    return {
        k: np.where(np.abs(v) > np.quantile(np.abs(v), share), v, 0) if v.ndim > 1 else v for k, v in parent.items()
    }


def merged(one: State, other: State) -> State:
    """The mean of two models."""
    return {k: (v + other[k]) / np.float32(2) for k, v in one.items()}


def embedded(folder: Path, seaweed: S3Settings) -> Context:
    """A registry of its own on SQLite below `folder`, and a bucket of its own."""
    store = ObjectStore.connect(seaweed.model_copy(update={"bucket": f"fleet-{uuid.uuid4().hex}"}))
    store.make_bucket()
    settings = Settings(
        mlflow=MlflowSettings(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}"),
        s3=seaweed.model_copy(update={"bucket": store.bucket}),
        work_dir=folder / "work",
    )
    # else MLflow would keep artifacts in the folder that the tests are started in
    client_of(settings).create_experiment("heritage", artifact_location=str(folder / "artifacts"))
    return Context(Registry.connect(settings, store), store, settings)


def client_of(settings: Settings) -> Any:
    """MLflow's own client of this registry."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(settings.mlflow.tracking_uri, settings.mlflow.tracking_uri)


def environment(ctx: Context) -> dict[str, str]:
    """The variables with which commands work on this registry."""
    variables = client_environment(ctx.settings.s3, ctx.settings.mlflow.tracking_uri)
    return {**variables, "HERITAGE_WORK_DIR": str(ctx.settings.work_dir)}


def registered(ctx: Context, folder: Path, name: str, state: State, *parents: ParentEdge) -> ModelVersion:
    """`state` registered as a version of `name`, as `heritage register` does it."""
    path = folder / f"{name}-{uuid.uuid4().hex[:8]}.safetensors"
    write_safetensors(path, state)
    return register.run(ctx, register.Registration(name, path, parents=parents))


def by_hand(client: Any, folder: Path, name: str, state: State, **tags: str) -> str:
    """`state` registered with MLflow's own client, as people do it; the version's address."""
    path = folder / uuid.uuid4().hex / "model.safetensors"
    path.parent.mkdir(parents=True)
    write_safetensors(path, state)
    run = client.create_run(client.get_experiment_by_name("heritage").experiment_id)
    client.log_artifact(run.info.run_id, str(path), "weights")
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    made = client.create_model_version(name, f"runs:/{run.info.run_id}/weights", run.info.run_id, tags=tags)
    return f"{name}/{made.version}"


def declared(parent: ModelVersion, relation: Relation = Relation.FINETUNE) -> ParentEdge:
    """What somebody says who registers a child of `parent`."""
    return ParentEdge(parent.digest, relation, Origin.DECLARED, 1.0, parent.name, parent.version)
