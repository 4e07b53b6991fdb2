"""Networks built from an architecture record and filled from weights; only allow-listed packages are imported."""

import importlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from heritage.errors import BadInput, Misconfigured, NotFound, Refused
from heritage.names import printable
from heritage.records import Architecture
from heritage.weights.checkpoint import Checkpoint

if TYPE_CHECKING:
    import torch

_PART = r"[A-Za-z_][A-Za-z0-9_]*"
_BUILDER = re.compile(rf"({_PART}(?:\.{_PART})*):({_PART})")
_SHOWN = 5


def build(architecture: Architecture, allowed: Sequence[str]) -> "torch.nn.Module":
    """A fresh network of `architecture`, whose builder must lie in one of the packages `allowed`.

    Nothing is imported before that is checked: `Refused` otherwise. `NotFound` where the builder does not exist,
    `Misconfigured` where its module does not import, `BadInput` where it does not give a torch module. The global
    random state is left as it was.
    """
    import torch

    where = f"architecture builder '{printable(architecture.builder)}'"
    builder = _resolve(architecture.builder, allowed, where)
    with torch.random.fork_rng(devices=[]):
        try:
            module = builder(**architecture.kwargs)
        except Exception as error:
            # whatever foreign code raises means that it cannot be built from this record
            kwargs = printable(str(dict(architecture.kwargs)))
            raise BadInput(
                f"{where}: failed on {kwargs} with {type(error).__name__} ({printable(str(error))}); "
                "mend the arguments in the model's manifest"
            ) from error
    if not isinstance(module, torch.nn.Module):
        raise BadInput(f"{where}: gave a {type(module).__name__}; it must return a torch.nn.Module")
    return module


def load(
    architecture: Architecture, weights: "Checkpoint | Mapping[str, torch.Tensor]", allowed: Sequence[str]
) -> "torch.nn.Module":
    """The network with `weights` in it, in evaluation mode, in the builder's own dtype.

    Every tensor must fit: `BadInput` lists what is missing, unexpected or of another shape. A missing name is fine
    where the network ties it to one that is there.
    """
    import torch

    module = build(architecture, allowed)
    state = weights.torch_state() if isinstance(weights, Checkpoint) else dict(weights)
    where = weights.where if isinstance(weights, Checkpoint) else "weights"
    _check_fit(module.state_dict(), state, f"{where}, architecture '{printable(architecture.builder)}'")
    with torch.no_grad():
        module.load_state_dict(state, strict=False)  # checked above, with tied names allowed
    return module.eval()


def logits(module: "torch.nn.Module", x: ArrayLike, batch_size: int = 1024) -> NDArray[np.float32]:
    """Outputs float32 of shape (n, classes) for inputs `x` of shape (n, ...), `batch_size` rows at a time.

    The module runs in evaluation mode and is left in the mode it was in. Raises `BadInput` where it does not fit `x`.
    """
    import torch

    rows = torch.from_numpy(np.array(x, np.float32))
    was_training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            parts = [module(batch) for batch in torch.split(rows, batch_size)]
            result = torch.cat(parts).float().cpu().numpy()
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise BadInput(
            f"the network does not take inputs of shape {tuple(rows.shape)} ({printable(str(error), 300)}); "
            "give rows shaped like those that it was trained on"
        ) from error
    finally:
        module.train(was_training)
    if result.ndim != 2 or len(result) != len(rows):
        raise BadInput(f"the network gave shape {result.shape} for {len(rows)} rows; expected (rows, classes)")
    return np.asarray(result, np.float32)


def probabilities(module: "torch.nn.Module", x: ArrayLike, batch_size: int = 1024) -> NDArray[np.float32]:
    """Softmax of `logits`: float32 of shape (n, classes), each row adds up to 1."""
    scores = logits(module, x, batch_size).astype(np.float64)
    # the largest score is taken off so that no exponential overflows
    powers = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


def _resolve(builder: str, allowed: Sequence[str], where: str) -> Any:
    parts = _BUILDER.fullmatch(builder)
    if parts is None:
        raise BadInput(f"{where}: is not of the form 'package.module:callable'")
    module_name, attribute = parts.groups()
    if not any(module_name == package or module_name.startswith(f"{package}.") for package in allowed if package):
        raise Refused(
            f"{where}: its module is in none of the allowed packages ({', '.join(allowed) or 'none are set'}); "
            "add its package to HERITAGE_ALLOWED_BUILDERS if you trust its code"
        )
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise NotFound(f"{where}: module '{printable(str(error.name))}' is not installed here; install it") from error
    except Exception as error:  # foreign code runs at import
        detail = f"{type(error).__name__}: {printable(str(error))}"
        raise Misconfigured(f"{where}: its module does not import ({detail}); mend the package") from error
    if not callable(found := getattr(module, attribute, None)):
        raise NotFound(f"{where}: module {module_name} has no callable '{attribute}'; check the name")
    return found


def _check_fit(wanted: Mapping[str, "torch.Tensor"], given: Mapping[str, "torch.Tensor"], where: str) -> None:
    memory = {wanted[name].data_ptr() for name in wanted.keys() & given.keys() if wanted[name].numel()}
    missing = [n for n in wanted if n not in given and wanted[n].data_ptr() not in memory]
    unexpected = [n for n in given if n not in wanted]
    shapes = [
        f"{n} is {tuple(given[n].shape)} and should be {tuple(wanted[n].shape)}"
        for n in wanted
        if n in given and given[n].shape != wanted[n].shape
    ]
    lists = (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
    faults = [_listed(what, names) for what, names in lists if names]
    if faults:
        raise BadInput(f"{where}: the tensors do not fit; {'; '.join(faults)}. Give the architecture they belong to")


def _listed(what: str, names: list[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{what}: {', '.join(printable(name) for name in names[:_SHOWN])}{rest}"
