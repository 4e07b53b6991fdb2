"""Models of fifteen numbers, and a registry of its own on SQLite: a whole registration costs some 50 ms."""

import shutil
import uuid
from pathlib import Path
from typing import Any

import numpy as np

from heritage.registry import Registry
from heritage.weights.write import write_safetensors


def tiny_weights(folder: Path, seed: int | None = None) -> Path:
    """A safetensors file of its own folder, with random content or with that of `seed`."""
    rng = np.random.default_rng(seed if seed is not None else uuid.uuid4().int)
    own = folder / uuid.uuid4().hex
    own.mkdir(parents=True)
    tensors = {"w": rng.normal(size=(4, 3)).astype(np.float32), "b": rng.normal(size=3).astype(np.float32)}
    write_safetensors(own / "model.safetensors", tensors)
    return own / "model.safetensors"


def make_tables(folder: Path) -> Path:
    """An MLflow database without entries and with the experiment that heritage uses; making one takes seconds."""
    client(f"sqlite:///{folder / 'mlflow.db'}").create_experiment("heritage", artifact_location=str(folder / "files"))
    return folder / "mlflow.db"


def copy_tables(tables: Path, folder: Path) -> str:
    """A copy of a database, and its address."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(tables, folder / "mlflow.db")
    return f"sqlite:///{folder / 'mlflow.db'}"


def client(uri: str) -> Any:
    """MLflow's own client."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def three_versions(registry: Registry, folder: Path, name: str) -> None:
    """Versions 1 to 3 of `name`: the first is champion, the others are accepted under the plans p2 and p3."""
    versions = [registry.register(name, tiny_weights(folder)).version for _ in range(3)]
    registry.promote(name, "1", None, "initial")
    for version in versions[1:]:
        registry.accept(version, f"p{version.version}")
