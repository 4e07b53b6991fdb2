"""`heritage convert`: pickled weights to safetensors."""

from pathlib import Path
from typing import Annotated

import typer

from heritage.cli.output import JsonFlag, tell


def register(main: typer.Typer) -> None:
    """Add `convert` to the main command."""
    main.command()(convert)


def convert(
    source: Annotated[Path, typer.Argument(help="A .pt, .pth, .bin or .ckpt file.")],
    target: Annotated[Path, typer.Argument(help="The safetensors file to write.")],
    key: Annotated[str, typer.Option(help="Where the tensors lie in the file, such as state_dict.")] = "",
    json: JsonFlag = False,
) -> None:
    """Convert pickled weights in a throw-away process without network; nothing in the file is executed."""
    from heritage.weights.convert import convert as run

    done = run(source, target, key)
    record = {"target": str(target), "tensors": done.tensors, "dropped": list(done.dropped)}
    tell(json, record, f"{target}: {done.tensors} tensors")
