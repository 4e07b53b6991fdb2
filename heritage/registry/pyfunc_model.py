"""What MLflow runs when it loads a version that `heritage package` stored: the network, watched by a drift agent.

MLflow keeps a copy of this file with the model and executes it; nothing else imports it.
"""

import json
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel
from numpy.typing import NDArray

from heritage.drift.agent import DriftAgent, Limits
from heritage.drift.profile import DriftProfile
from heritage.errors import BadInput, UnsafeCheckpoint
from heritage.records import Architecture
from heritage.settings import settings
from heritage.storage import ObjectStore
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.network import load, probabilities


class WatchedModel(PythonModel):
    """Answers with prediction id, class and probabilities of each row; the drift agent counts rows and answers.

    Where storage is and which builders may run come from heritage's settings (HERITAGE_S3__..., and so on).
    """

    def load_context(self, context: Any) -> None:
        """Build the network from the model's own files; raises for altered weights and for a builder not allowed."""
        told = json.loads(Path(context.artifacts["served"]).read_text())
        own = settings()
        with Checkpoint.open(Path(context.artifacts["weights"])) as checkpoint:
            if checkpoint.digest != told["digest"]:
                raise UnsafeCheckpoint(
                    f"weights of {told['name']}/{told['version']} have the digest {checkpoint.digest}, packaged were "
                    f"{told['digest']}; package the version again"
                )
            self._network = load(Architecture(told["builder"], told["kwargs"]), checkpoint, own.allowed_builders)
        self._shape = told["shape"]
        self.agent: DriftAgent | None = None
        if "profile" in context.artifacts:
            profile = DriftProfile.from_bytes(Path(context.artifacts["profile"]).read_bytes(), "profile")
            deadline_s = min(own.s3.deadline_s, own.serve.flush_deadline_s)
            store = ObjectStore.connect(own.s3.model_copy(update={"deadline_s": deadline_s}))
            limits = Limits(flush_s=own.serve.flush_s, close_s=own.serve.close_s)
            name, version, keep = told["name"], told["version"], own.serve.keep_rows
            self.agent = DriftAgent(profile, store.create, name, version, limits=limits, keep_rows=keep)

    # no type hints: MLflow takes them for the schema of the input
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ARG002
        """Columns prediction_id, prediction, probability_0, ...; ids are drawn unless `params` has them."""
        x = self._rows(model_input)
        given = list((params or {}).get("ids") or ())
        drawn = uuid.uuid4().hex
        ids = given or [f"{drawn}-{i}" for i in range(len(x))]
        if len(ids) != len(x):
            raise BadInput(f"{len(ids)} ids for {len(x)} rows; give one id a row")
        said = probabilities(self._network, x)
        if self.agent is not None:
            self.agent.observe(x, said, ids)
        answered = pd.DataFrame(said, columns=[f"probability_{i}" for i in range(said.shape[1])])
        answered.insert(0, "prediction", said.argmax(axis=1))
        answered.insert(0, "prediction_id", ids)
        return answered

    def _rows(self, given: Any) -> NDArray[np.float32]:
        try:
            x = np.asarray(given, np.float32)
            x = x if self._shape is None else x.reshape(len(x), *self._shape)
        except (TypeError, ValueError) as error:
            raise BadInput(f"the input is not rows of numbers of shape {self._shape} ({error})") from error
        if not np.isfinite(x).all():
            raise BadInput("the input holds values that are not finite")
        return x


set_model(WatchedModel())
