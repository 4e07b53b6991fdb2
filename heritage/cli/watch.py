"""`heritage observe` and `heritage drift run`: what deployed versions see, and whether it drifted."""

from pathlib import Path
from typing import Annotated

import typer

from heritage.cli import drift
from heritage.cli.connect import connect
from heritage.cli.output import DryRunFlag, Exit, JsonFlag, console, print_json, progress


def register(main: typer.Typer) -> None:
    """Add these commands to the main one and to `drift`."""
    main.command()(observe)
    drift.app.command("run")(run)


def observe(
    address: Annotated[str, typer.Argument(help="The deployed version: name@champion or name/3.")],
    window: Annotated[str, typer.Argument(help="Window id that sorts by time, such as 2026-11-22T07.")],
    rows: Annotated[Path, typer.Argument(help="npz with x, and y where labels are known.")],
    counters_only: Annotated[bool, typer.Option("--counters-only", help="Do not keep the rows themselves.")] = False,
    json: JsonFlag = False,
) -> None:
    """Take in a batch of rows that a deployed version saw."""
    from heritage.cli.files import read_rows
    from heritage.flows.observe import observe as flow

    ctx = connect()
    key = flow(ctx, ctx.registry.version(address), window, read_rows(rows), not counters_only)
    if json:
        print_json({"counters": key})
    else:
        console.print(key, markup=False)


def run(
    model: Annotated[str, typer.Argument(help="One registered model; without it, every deployed version.")] = "",
    json: JsonFlag = False,
    dry_run: DryRunFlag = False,
) -> None:
    """Judge the new windows of deployed versions, as heritage_drift_check does. Exit code 3 where one drifted."""
    from heritage.flows import check_drift

    ctx = connect()
    results = []
    with progress() as bar:
        addresses = check_drift.deployed(ctx, model)
        for address in bar.track(addresses, description="checking"):
            results.append(check_drift.run(ctx, address, dry_run))
    if json:
        print_json(results)
    for result in [] if json else results:
        moved = f" ({', '.join(result['moved'])} moved)" if result["moved"] else ""
        call = "; a repair is called for" if result["triggered"] else ""
        console.print(f"{result['address']}  {result['window'] or 'no window'}  {result['status']}{moved}{call}")
    if any(result["status"] == "drift" for result in results):
        raise typer.Exit(Exit.FOUND)
