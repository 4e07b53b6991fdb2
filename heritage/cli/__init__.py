"""The `heritage` command."""

from typing import Any

import typer
from typer.core import TyperGroup

from heritage.cli import (
    api,
    audit,
    config,
    configs,
    convert,
    demo,
    drift,
    families,
    labels,
    lineage,
    masks,
    promote,
    recover,
    repair,
    repairs,
    serve,
    watch,
    webhook,
)
from heritage.cli.output import reported_errors


class _Commands(TyperGroup):
    """Commands whose HeritageErrors become one message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        with reported_errors():
            return super().invoke(ctx)


app = typer.Typer(
    name="heritage",
    cls=_Commands,
    help="Ancestry as a working part of model operations.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)


@app.callback()
def _root() -> None:
    """Exit codes: 0 fine, 1 error, 2 usage, 3 drift found or gate refused."""


for commands in (demo, lineage, audit, watch, serve, api, promote, repairs, convert, recover, families):
    commands.register(app)
for group in (drift, repair, labels, configs, masks, webhook, config):
    app.add_typer(group.app)


def main() -> None:
    """Run the command line; the console script's entry point."""
    app()
