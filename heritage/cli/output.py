"""What every command shares: where it prints, how it fails, what its exit code means."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from heritage.errors import HeritageError, Refused
from heritage.names import printable


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    ERROR = 1
    USAGE = 2
    FOUND = 3  # drift was found, or a gate refused


# results go to stdout, everything else to stderr, so that `--json` output can be piped
console = Console(highlight=False)
notes = Console(stderr=True, highlight=False)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines.")]
DryRunFlag = Annotated[bool, typer.Option("--dry-run", help="Print the plan and change nothing.")]


def print_json(value: Any) -> None:
    """`value` as one JSON document on stdout; NaN and infinity are refused by the encoder, never printed."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n")


def tell(json: bool, record: Any, line: str) -> None:
    """`record` for machines, else `line` for people (no markup is read in it)."""
    if json:
        print_json(record)
    else:
        console.print(line, markup=False, soft_wrap=True)


def fail(message: str, code: Exit = Exit.ERROR) -> NoReturn:
    """Print `message` on stderr (no markup is read in it) and leave with `code`."""
    notes.print("error:", style="bold red", end=" ")
    notes.print(message, markup=False, soft_wrap=True)
    raise typer.Exit(code)


@contextmanager
def reported_errors() -> Iterator[None]:
    """Turn the errors that heritage raises on purpose into one message and an exit code."""
    try:
        yield
    except Refused as error:
        fail(str(error), Exit.FOUND)
    except HeritageError as error:
        fail(str(error))
    except OSError as error:
        if not isinstance(error.filename, str):  # no file's: a broken pipe, a lost connection
            raise
        fail(f"{printable(error.filename, 300)}: {error.strerror}; choose another place or mend its permissions")


def progress(transient: bool = True) -> Progress:
    """A progress bar on stderr; it shows nothing where stderr is no terminal."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=notes,
        transient=transient,
        disable=not notes.is_terminal,
    )
