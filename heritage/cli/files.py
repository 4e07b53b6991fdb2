"""Files that commands are given."""

from pathlib import Path
from typing import TYPE_CHECKING

from heritage.errors import BadInput

if TYPE_CHECKING:
    from heritage.rows import Rows


def read_rows(path: Path) -> "Rows":
    """Rows of an npz file with x, and y where there are labels; `BadInput` naming the file otherwise."""
    from heritage.rows import from_npz

    return from_npz(read_bytes(path, "an npz file with x, and y"), str(path))


def read_bytes(path: Path, wanted: str) -> bytes:
    """Content of a file; `BadInput` saying what was `wanted` where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); give {wanted}") from error
