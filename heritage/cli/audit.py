"""`heritage audit`, `sign` and `verify`: whether the registry tells the truth about itself, and who vouches for it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from heritage.cli.connect import connect
from heritage.cli.output import DryRunFlag, Exit, JsonFlag, console, notes, print_json, tell

_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}

Address = Annotated[str, typer.Argument(help="name, name/3 or name@champion")]


def register(main: typer.Typer) -> None:
    """Add these commands to the main one."""
    main.command()(audit)
    main.command()(sign)
    main.command()(verify)


def audit(
    weights: Annotated[bool, typer.Option("--weights", help="Read and hash every weights file again.")] = False,
    index: Annotated[Path | None, typer.Option("--index", help="File of a lineage index to compare as well.")] = None,
    accept: Annotated[
        str, typer.Option("--accept", metavar="NAME/VERSION", help="Lock what this manifest says now, and stop.")
    ] = "",
    json: JsonFlag = False,
    dry_run: DryRunFlag = False,
) -> None:
    """Compare manifests, tags, files, locked copies, signatures and configurations. Exit code 3 where there are errors.

    What is found is stored as audit/findings.json, and manifests without a locked copy get one.
    """
    from heritage.flows import audit as flow

    ctx = connect()
    if accept:
        _accept(ctx, accept, json, dry_run)
        return
    result = flow.run(ctx, weights=weights, index=index, dry_run=dry_run)
    if json:
        print_json(result)
    else:
        _show(result)
    if result["counts"]["error"]:
        raise typer.Exit(Exit.FOUND)


def sign(
    address: Address,
    key: Annotated[Path | None, typer.Option("--key", help="PEM file; default: the setting audit.signing_key.")] = None,
    json: JsonFlag = False,
) -> None:
    """Sign what is said of a version; its declared edges become attested."""
    from heritage.flows import attest

    found = attest.sign(connect(), address, key)
    tell(json, found, f"{found['address']}: signed by key {found['key']}")


def verify(
    address: Address,
    key: Annotated[
        list[Path] | None, typer.Option("--key", help="PEM file of a trusted key; default: audit.trusted_keys.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Check the signature of a version: verified, tampered, unknown_key, unreadable or unsigned. Exit code 3 unless
    it is verified.
    """
    from heritage.flows import attest

    found = attest.verdict(connect(), address, key or None)
    tell(json, found, f"{found['address']}: {found['verdict']}; {found['reason']}")
    if found["verdict"] != "verified":
        raise typer.Exit(Exit.FOUND)


def _accept(ctx: Any, address: str, json: bool, dry_run: bool) -> None:
    from heritage.flows import copies

    if dry_run:
        version = ctx.registry.version(address)
        tell(json, {"address": version.address, "locked": False}, f"would lock the manifest of {version.address}")
        return
    found = copies.accept(ctx, address)
    told = "locked" if found["locked"] else "was locked already"
    tell(json, found, f"{found['address']}: {told}, SHA-256 {found['sha256']}")


def _show(result: dict[str, Any]) -> None:
    for finding in result["findings"]:
        console.print(finding["severity"], style=_STYLES[finding["severity"]], end=" ")
        console.print(f"{finding['subject']}: {finding['message']}", markup=False, soft_wrap=True)
        for side, text in finding["sides"].items():
            console.print(f"    {side}: {text}", markup=False, soft_wrap=True)
        console.print(f"    -> {finding['remedy']}", markup=False, soft_wrap=True, style="dim")
    counts = ", ".join(f"{n} {severity}{'' if n == 1 else 's'}" for severity, n in result["counts"].items())
    locked = f"; {result['locked']} manifests locked" if result["locked"] else ""
    notes.print(f"{result['versions']} versions: {counts}{locked}", markup=False)
