"""`heritage validate`, `promote`, `rollback`: which version is champion."""

from typing import Annotated

import typer

from heritage.cli.connect import connect
from heritage.cli.output import DryRunFlag, Exit, JsonFlag, fail, tell
from heritage.errors import HeritageError


def register(main: typer.Typer) -> None:
    """Add these commands to the main one."""
    main.command()(validate)
    main.command()(promote)
    main.command()(rollback)


def validate(
    address: Annotated[str, typer.Argument(help="The version to compare with the champion: name/3.")],
    window: Annotated[str, typer.Option(help="Window with labelled rows; the newest otherwise.")] = "",
    json: JsonFlag = False,
    dry_run: DryRunFlag = False,
) -> None:
    """Compare a version with the champion through the gate. Exit code 3 where it does not pass."""
    from heritage.flows import validate as flow

    result = flow.run(connect(), address, window, dry_run)
    tell(json, result, f"{result['decision']}: {result['reason']}")
    if result["decision"] != "accept":
        raise typer.Exit(Exit.FOUND)


def promote(
    address: Annotated[str, typer.Argument(help="The challenger: name/3.")],
    plan: Annotated[str, typer.Option(help="Hash of the plan whose gate it passed; else that of its tag.")] = "",
    initial: Annotated[bool, typer.Option("--initial", help="The first champion, which needs no gate.")] = False,
    json: JsonFlag = False,
    dry_run: DryRunFlag = False,
) -> None:
    """Make a version champion, now and without asking anybody else; heritage_promote asks.

    Where it does not run as recorded, the move is taken back.
    """
    from heritage.flows import promote as flow
    from heritage.registry import GATE, INITIAL

    ctx = connect()
    version = ctx.registry.version(address)
    if initial:
        move = None if dry_run else ctx.registry.promote(version.name, version.version, None, INITIAL)
        tell(json, {"model": version.name, "version": version.version, "moved": move is not None}, version.address)
        return
    plan = plan or version.tags.get(GATE, "").partition(":")[2]
    brief = flow.brief(ctx, address, plan)
    if dry_run:
        tell(json, brief, brief["body"])
        return
    moved = flow.promote(ctx, address, plan)
    try:
        tested = flow.smoke_test(ctx, moved["model"])
    except HeritageError as error:
        back = flow.roll_back(ctx, moved["model"], "the smoke test failed", moved["version"])
        fail(f"{error}; the move was taken back, {version.name}/{back['version']} is champion")
    tell(
        json, {**moved, "smoke_test": tested}, f"{version.address} is champion in place of version {moved['replaced']}"
    )


def rollback(
    name: Annotated[str, typer.Argument(help="Registered model name.")],
    reason: Annotated[str, typer.Option(help="Why; kept in the journal.")] = "rolled back by hand",
    json: JsonFlag = False,
    dry_run: DryRunFlag = False,
) -> None:
    """Make the previous champion champion again."""
    from heritage.flows import promote as flow

    ctx = connect()
    if dry_run:
        previous = ctx.registry.version(f"{name}@previous")
        tell(json, {"model": name, "version": previous.version}, f"would make {previous.address} champion")
        return
    moved = flow.roll_back(ctx, name, reason)
    tell(json, moved, f"{name}/{moved['version']} is champion in place of version {moved['replaced']}")
