"""`heritage config show`: every setting, and where its value came from."""

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
    use_running_stack()
    chosen = settings()
    values, came_from = chosen.model_dump(mode="json"), origins(chosen)
    if json:
        print_json({"settings": values, "origins": came_from})
        return
    from rich.table import Table

    table = Table("setting", "value", "from")
    for section, value in values.items():
        for key, inner in value.items() if isinstance(value, dict) else [("", value)]:
            table.add_row(f"{section}.{key}" if key else section, str(inner), came_from[section])
    console.print(table, markup=False)
