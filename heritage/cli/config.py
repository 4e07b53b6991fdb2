"""`heritage config show`: every setting, and where its value came from."""

from collections.abc import Iterator
from typing import Any

import typer

from heritage.cli.connect import origins, use_running_stack
from heritage.cli.output import JsonFlag, console, print_json
from heritage.settings import settings

app = typer.Typer(name="config", help="Settings.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Settings: from the environment (HERITAGE_...), then the TOML file HERITAGE_CONFIG, then defaults."""


@app.command()
def show(json: JsonFlag = False) -> None:
    """Every setting with its value and its origin; secrets are not shown."""
    from heritage.registry.translate import without_password

    use_running_stack()
    chosen = settings()
    values, came_from = chosen.model_dump(mode="json"), origins(chosen)
    values["mlflow"]["tracking_uri"] = without_password(chosen.mlflow.tracking_uri)
    if json:
        print_json({"settings": values, "origins": came_from})
        return
    from rich.console import Console
    from rich.table import Column, Table

    table = Table(Column("setting", no_wrap=True), Column("value", overflow="fold"), Column("from", overflow="fold"))
    for section, value in values.items():
        for name, inner in _flat(section, value):
            table.add_row(name, str(inner), came_from[section])
    # what is piped on is not folded: names and values stay in one piece
    (console if console.is_terminal else Console(width=1000)).print(table, markup=False)


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Settings with their names in full: 'drift.models.churn.rule'."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    else:
        yield name, value
