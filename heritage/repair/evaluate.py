"""Running a network on rows with weights that change from look to look: logits, likelihood, accuracy, a budget."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from heritage.errors import BadInput
from heritage.names import printable
from heritage.repair.tensors import State
from heritage.rows import Rows

_BATCH_ROWS = 1024


def pick_device(wanted: str) -> torch.device:
    """The device called `wanted`; 'auto' is CUDA where present, else the CPU. `BadInput` for one that is not here."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts where it was built without CUDA
        raise BadInput(
            f"device '{printable(wanted)}' cannot be used here ({printable(str(error), 200)}); choose cpu or auto"
        ) from error
    return device


def finite_rows(rows: Rows) -> Rows:
    """`rows` without those with NaN or infinite inputs: their losses are none, nor weights tuned on them."""
    whole = np.isfinite(rows.x).all(axis=tuple(range(1, rows.x.ndim)))
    return rows if whole.all() else rows.take(np.asarray(whole, dtype=np.bool_))


@contextmanager
def fixed_threads(threads: int) -> Iterator[None]:
    """Run with `threads` CPU threads: sums in another order would give other last bits on another machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass
class Budget:
    """Forward passes over the labelled rows that a search may still use."""

    total: int
    used: int = 0

    @property
    def left(self) -> int:
        """Passes not used yet."""
        return max(0, self.total - self.used)

    @property
    def spent(self) -> bool:
        """True when nothing is left."""
        return self.left == 0


class Runner:
    """A private copy of a network whose weights are replaced before each look; always in evaluation mode.

    Raises `BadInput` where a state lacks a tensor of the network or has it in another shape.
    """

    def __init__(self, network: nn.Module, device: str = "auto") -> None:
        self.device = pick_device(device)
        self.network = deepcopy(network).to(self.device).eval()
        self._slots = dict(self.network.state_dict(keep_vars=True))

    def load(self, state: State) -> nn.Module:
        """The network with the weights of `state`; tied parameters need one of their names only."""
        given = {self._slots[name].data_ptr() for name in state if name in self._slots}
        lacking = [n for n, t in self._slots.items() if n not in state and t.data_ptr() not in given and t.numel()]
        if lacking:
            raise BadInput(
                f"the weights lack '{printable(lacking[0])}' ({len(lacking)} of {len(self._slots)} tensors of the "
                "network); give the weights of this architecture"
            )
        with torch.no_grad():
            for name, tensor in state.items():
                if name in self._slots:
                    self._copy(name, tensor)
        return self.network

    def _copy(self, name: str, tensor: Tensor) -> None:
        slot = self._slots[name]
        if slot.shape != tensor.shape:
            raise BadInput(
                f"tensor '{printable(name)}' has shape {tuple(tensor.shape)}, the network wants {tuple(slot.shape)}"
            )
        slot.data.copy_(tensor)

    def inputs(self, x: NDArray[np.float32]) -> Tensor:
        """`x` as a float32 tensor on the device."""
        return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)).to(self.device)

    def logits(self, state: State, x: Tensor) -> Tensor:
        """Float32 (n, classes) of the network with `state` on `x`; raises `BadInput` where the two do not fit."""
        network = self.load(state)
        try:
            with torch.inference_mode():
                out = torch.cat([network(part).float() for part in torch.split(x, _BATCH_ROWS)])
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise BadInput(
                f"the network does not take inputs of shape {tuple(x.shape)} ({printable(str(error), 300)}); "
                "give rows shaped like those that it was trained on"
            ) from error
        if out.ndim != 2 or len(out) != len(x):
            raise BadInput(f"the network gave shape {tuple(out.shape)} for {len(x)} rows; expected (rows, classes)")
        return out.clone()


class Judge:
    """Mean negative log-likelihood of labelled rows, counted against a budget.

    NaN logits give an infinite loss, so that a broken point of a line is never chosen.
    """

    def __init__(self, runner: Runner, rows: Rows, budget: Budget) -> None:
        self.runner, self.budget = runner, budget
        self.x, self.y = runner.inputs(rows.x), torch.from_numpy(labels_of(rows)).to(runner.device)

    def losses(self, state: State) -> NDArray[np.float64]:
        """-log p(label) in nats of each row (n,); infinite where the network gives NaN."""
        self.budget.used += 1
        logits = self.runner.logits(state, self.x)
        if self.y.numel() and int(self.y.max()) >= logits.shape[1]:
            raise BadInput(f"label {int(self.y.max())} does not fit a network of {logits.shape[1]} classes")
        each = functional.cross_entropy(logits.double(), self.y, reduction="none").cpu().numpy()
        return np.where(np.isfinite(each), each, np.inf)

    def nll(self, state: State) -> float:
        """Mean of -log p(label) in nats."""
        return float(self.losses(state).mean())

    def accuracy(self, state: State) -> float:
        """Share of rows whose most likely class is the label; not counted."""
        return float((self.runner.logits(state, self.x).argmax(1) == self.y).double().mean())


def labels_of(rows: Rows) -> NDArray[np.int64]:
    """The labels of `rows`; raises `BadInput` where there are none or a label is negative."""
    if rows.y is None or not len(rows):
        raise BadInput("no labelled rows; request labels first or give rows with y")
    if int(rows.y.min()) < 0:
        raise BadInput(f"label {int(rows.y.min())} is negative; classes count from 0")
    return rows.y


def predict(network: nn.Module, state: State, rows: Rows, device: str = "auto") -> NDArray[np.float64]:
    """Class probabilities (n, classes) of the network with `state`, for gates, reports and query strategies."""
    runner = Runner(network, device)
    probabilities: NDArray[np.float64] = runner.logits(state, runner.inputs(rows.x)).double().softmax(1).cpu().numpy()
    return probabilities
