"""The models of a folder, opened for recovery; what cannot be read is named."""

import resource
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from heritage.errors import BadInput, HeritageError, NotFound
from heritage.names import printable
from heritage.recovery.architecture import Signature, signature
from heritage.weights.checkpoint import Checkpoint

_SPARE_FILES = 200


@dataclass(frozen=True, eq=False)
class Model:
    """One model: its name and its open weights."""

    name: str
    weights: Checkpoint

    @cached_property
    def signature(self) -> Signature:
        """Its slots and buffers."""
        return signature({t.name: (t.shape, t.is_float) for t in self.weights.tensors.values()})


class NotFinite(BadInput):
    """A model holds weights that are NaN, infinite or too large to be squared."""

    def __init__(self, model: str, tensor: str) -> None:
        super().__init__(
            f"model '{printable(model)}': tensor '{printable(tensor)}' holds NaN, infinite or immense weights; "
            "mend the file, or leave it out (--keep-going does)"
        )
        self.model = model


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was left out, and why."""

    name: str
    reason: str


@contextmanager
def open_folder(folder: Path, keep_going: bool = False) -> Iterator[tuple[list[Model], list[Skipped]]]:
    """The models of `folder` (`*.safetensors`, name = file stem), open inside the `with` block; files left out.

    Raises `NotFound` where the folder holds none. An unreadable file raises `BadInput` that names it, unless
    `keep_going`: then it is left out.
    """
    if not folder.is_dir():
        raise NotFound(f"{folder}: there is no such folder; give one that holds *.safetensors files")
    paths = sorted(p for p in folder.iterdir() if p.suffix == ".safetensors")
    if not paths:
        raise NotFound(f"{folder}: holds no *.safetensors file; give a folder of models, one file each")
    _allow_open_files(len(paths), folder)
    with ExitStack() as stack:
        models, skipped = _open_all(paths, keep_going, stack)
        if not models:
            raise BadInput(f"{folder}: none of {len(paths)} files could be read; the first: {skipped[0].reason}")
        yield models, skipped


def _allow_open_files(count: int, folder: Path) -> None:
    """Raise this process's limit of open files for `count` models; `BadInput` where the system forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + _SPARE_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise BadInput(f"{folder}: holds {count} models, this process may open {hard} files; raise `ulimit -Hn`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _open_all(paths: Sequence[Path], keep_going: bool, stack: ExitStack) -> tuple[list[Model], list[Skipped]]:
    models: list[Model] = []
    skipped: list[Skipped] = []
    for path in paths:
        try:
            weights = stack.enter_context(Checkpoint.open(path))
            models.append(Model(path.stem, weights))
        except HeritageError as error:
            if not keep_going:
                raise BadInput(f"{error} (use --keep-going to leave such files out)") from error
            skipped.append(Skipped(path.stem, str(error)))
    return models, skipped
