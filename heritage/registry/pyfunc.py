"""A version as an MLflow pyfunc model, for those who serve with MLflow: models-from-code, weights as safetensors.

The folder holds no pickle: `pyfunc_model.py` is kept as source, the weights and the drift profile as files. Loading it
runs that source, so load it from a registry that you trust; heritage itself never does.
"""

import json
import tempfile
import warnings
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import numpy as np

from heritage.errors import BadInput, NotFound
from heritage.names import printable
from heritage.records import Manifest, ModelVersion
from heritage.registry.fetch import fetch_weights
from heritage.registry.read import Reader
from heritage.rows import from_npz
from heritage.weights.limits import Limits

FOLDER = "pyfunc"
PROFILE = "heritage/profile.npz"
REFERENCE = "heritage/reference.npz"
CODE = Path(__file__).with_name("pyfunc_model.py")
MAX_EXTRA_BYTES = 2**30


def log_pyfunc(reader: Reader, version: ModelVersion, folder: Path, limits: Limits) -> str:
    """Store `version` as a pyfunc model among the files of its run and return its address, 'runs:/<run>/pyfunc'.

    `folder` keeps fetched weights. The same version again writes the same files. Raises `NotFound` for a version
    without manifest and `BadInput` for one whose manifest names no architecture.
    """
    manifest = reader.manifest(version)
    if manifest is None or manifest.architecture is None:
        raise BadInput(
            f"{printable(version.address)} has no manifest that names its architecture, so nothing can run it; "
            "register it with --architecture package.module:callable"
        )
    weights = fetch_weights(reader, version, folder, limits)
    with tempfile.TemporaryDirectory(prefix="heritage-") as scratch:
        extras = _extras(reader, version, manifest, Path(scratch))
        model = Path(scratch) / FOLDER
        _save(model, {"weights": weights, **extras})
        artifacts = reader.artifacts(version)
        for file in sorted(path for path in model.rglob("*") if path.is_file()):
            artifacts.upload(file, f"{FOLDER}/{file.relative_to(model).as_posix()}")
    return f"runs:/{version.run_id}/{FOLDER}"


def _extras(reader: Reader, version: ModelVersion, manifest: Manifest, scratch: Path) -> dict[str, Path]:
    assert manifest.architecture is not None
    reference = _read(reader, version, REFERENCE)
    shape = None if reference is None else from_npz(reference, f"reference of {version.address}").x.shape[1:]
    told = {
        "name": version.name,
        "version": version.version,
        "digest": manifest.digest,
        "builder": manifest.architecture.builder,
        "kwargs": dict(manifest.architecture.kwargs),
        "shape": shape,
    }
    extras = {"served": scratch / "served.json"}
    extras["served"].write_text(json.dumps(told, sort_keys=True))
    profile = _read(reader, version, PROFILE)
    if profile is not None:
        extras["profile"] = scratch / "profile.npz"
        extras["profile"].write_bytes(profile)
    return extras


def _read(reader: Reader, version: ModelVersion, path: str) -> bytes | None:
    try:
        return reader.artifacts(version).read(path, MAX_EXTRA_BYTES)
    except NotFound:
        return None


def _save(model: Path, artifacts: dict[str, Path]) -> None:
    from mlflow import pyfunc

    told = json.loads(artifacts["served"].read_text())
    # else MLflow runs the model to see what it imports
    requirements = [f"heritage=={installed_version('heritage')}"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it asks for an example of the input beside the signature
        pyfunc.save_model(
            model,
            python_model=str(CODE),
            artifacts={name: str(path) for name, path in artifacts.items()},
            pip_requirements=requirements,
            signature=_signature(told["shape"]),
        )


def _signature(shape: list[int] | None) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    ids = ParamSchema([ParamSpec("ids", "string", [], shape=(-1,))])
    inputs = None if shape is None else Schema([TensorSpec(np.dtype(np.float32), (-1, *shape))])
    return ModelSignature(inputs=inputs, params=ids)
