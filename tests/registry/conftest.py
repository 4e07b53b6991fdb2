"""A registry on real servers, small random models, and children that die when they are told to."""

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heritage.registry import Registry, Timing
from heritage.storage import ObjectStore
from heritage.weights.write import write_safetensors

Task = dict[str, Any]


@pytest.fixture
def registry(tracking: str, store: ObjectStore) -> Registry:
    return Registry(tracking, store)


@pytest.fixture
def later(tracking: str, store: ObjectStore) -> Registry:
    """The same registry an hour later: every lease of a process that died has run out."""
    return Registry(tracking, store, now=lambda: datetime.now(UTC) + timedelta(hours=1))


@pytest.fixture
def name() -> str:
    """A model name of this test alone; the MLflow server is shared by all tests."""
    return f"m-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def weights(tmp_path: Path) -> Callable[..., Path]:
    """Makes a safetensors file with random content, or with that of `seed`."""

    def make(seed: int | None = None, metadata: dict[str, str] | None = None) -> Path:
        rng = np.random.default_rng(seed if seed is not None else uuid.uuid4().int)
        folder = tmp_path / uuid.uuid4().hex
        folder.mkdir()
        tensors = {"w": rng.normal(size=(4, 3)).astype(np.float32), "b": rng.normal(size=3).astype(np.float32)}
        write_safetensors(folder / "model.safetensors", tensors, metadata)
        return folder / "model.safetensors"

    return make


@pytest.fixture
def raw(tracking: str) -> Any:
    """MLflow's own client, which accepts what heritage refuses."""
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=tracking, registry_uri=tracking)


@pytest.fixture(scope="session")
def forker() -> Iterator[Callable[[list[Task]], list[Task]]]:
    """Runs tasks at the same time, each in a forked process of its own that has all modules loaded already."""
    command = [sys.executable, str(Path(__file__).with_name("forks.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def run(tasks: list[Task]) -> list[Task]:
            process.stdin.write(json.dumps(tasks) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, f"the forking process ended with {process.poll()}"
            return json.loads(line)

        yield run
        process.stdin.close()


@pytest.fixture
def children(
    forker: Callable[[list[Task]], list[Task]], tracking: str, store: ObjectStore, seaweed: Any
) -> Callable[..., list[Task]]:
    """Runs tasks in children that are connected to the servers of this test."""

    def run(tasks: list[Task], uri: str = tracking) -> list[Task]:
        timing = Timing()
        s3 = seaweed.model_copy(update={"bucket": store.bucket})
        connection = {
            "tracking_uri": uri,
            "s3": s3.model_dump(mode="json") | {"secret_key": s3.secret_key.get_secret_value()},
            "lease_s": timing.lease_s,
            "wait_s": timing.wait_s,
        }
        return forker([{**connection, **task} for task in tasks])

    return run
