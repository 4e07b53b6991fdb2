"""`heritage repair plan|apply|undo|write`: repair of registered versions, and plans carried out on weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heritage.cli import repair as files
from heritage.cli.connect import connect
from heritage.cli.output import DryRunFlag, Exit, JsonFlag, tell
from heritage.errors import BadInput
from heritage.names import printable

if TYPE_CHECKING:
    from heritage.repair.plan import RepairPlan
    from heritage.storage import ObjectStore

ModelArgument = Annotated[str, typer.Argument(help="Registered model whose champion drifted.")]


def register(main: typer.Typer) -> None:  # noqa: ARG001 all of them stand under `repair`
    """Add these commands to `repair`."""
    for command in (plan, apply, undo, write):
        files.app.command()(command)


def plan(
    model: ModelArgument,
    window: Annotated[str, typer.Option(help="The drifted window; the newest otherwise.")] = "",
    validation: Annotated[Path | None, typer.Option(help="Labelled rows to use in place of a window's: npz.")] = None,
    donors: Annotated[str, typer.Option(help="auto, nearest, or addresses separated by commas.")] = "",
    rungs: Annotated[
        str, typer.Option(help="Some of none,rollback,one,hull,layers,finetune-20,finetune-60,finetune-200; all.")
    ] = "",
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of splits and steps.")] = None,
    json: JsonFlag = False,
    dry_run: DryRunFlag = False,
) -> None:
    """Search for a repair and ask the gate. Exit code 3 unless it accepts."""
    from heritage.cli.files import read_rows
    from heritage.flows import repair, windows

    if validation is not None and window:
        raise BadInput("--window and --validation were both given; give the rows or the window that holds them")
    rows = None if validation is None else read_rows(validation)
    wish, ctx = repair.Wish(rungs, donors, seed), connect()
    if window:
        windows.check_known(ctx, ctx.registry.version(f"{model}@champion"), window)
    result = repair.search(ctx, model, window, dry_run, wish, rows)
    tell(json, result, _told(result))
    if result["decision"] != "accept":
        raise typer.Exit(Exit.FOUND)


def _told(result: dict[str, Any]) -> str:
    lines = [result["decision"], *(f"  {reason}" for reason in result.get("reasons", [result["reason"]]))]
    if result["plan"]:
        shares = ", ".join(f"{share:.2f} x {name}" for name, share in result["coefficients"].items() if share)
        lines += [f"rung {result['rung']}{': ' + shares if shares else ''}", f"plan {result['plan']}"]
    return "\n".join(lines)


def apply(
    plan_hash: Annotated[str, typer.Argument(metavar="PLAN", help="Hash that `repair plan` printed.")],
    json: JsonFlag = False,
    dry_run: DryRunFlag = False,
) -> None:
    """Register what the gate accepted under a plan as challenger."""
    from heritage.flows import repair

    ctx = connect()
    if dry_run:
        found = repair.decision(ctx, plan_hash)
        tell(json, found, f"{found['decision']}: would register a version of {found['model']}")
        return
    result = repair.register_challenger(ctx, plan_hash)
    tell(json, result, f"{result['address']} is challenger; next: heritage promote {result['address']}")


def undo(model: ModelArgument, json: JsonFlag = False, dry_run: DryRunFlag = False) -> None:
    """Make the champion before the last repair champion again; its weights were never touched."""
    from heritage.flows import promote

    ctx = connect()
    if dry_run:
        previous = ctx.registry.version(f"{model}@previous")
        tell(json, {"model": model, "version": previous.version}, f"would make {previous.address} champion")
        return
    moved = promote.roll_back(ctx, model, "repair undone by hand")
    tell(json, moved, f"{model}/{moved['version']} is champion in place of version {moved['replaced']}")


def write(
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN.json", help="The plan: `repair files --plan` writes it.")],
    drifted: Annotated[str, typer.Option(help="Weights that the plan began with: a path, or s3://BUCKET/KEY.")],
    output: Annotated[str, typer.Option("-o", "--output", help="Where the result goes: a path, or s3://BUCKET/KEY.")],
    donors: Annotated[str, typer.Option(help="NAME=WHERE of every donor of the plan, separated by commas.")] = "",
    back: Annotated[bool, typer.Option("--undo", help="Write the drifted model itself, proven by its digest.")] = False,
    json: JsonFlag = False,
) -> None:
    """Carry out a plan that is a mix of weights, tensor by tensor: all on disk, or all in one bucket.

    Killed and run again it gives the same bytes; finished shards are kept.
    """
    from heritage.cli.files import read_bytes
    from heritage.repair.plan import RepairPlan

    chosen = RepairPlan.from_json(
        read_bytes(plan_file, "the JSON of a plan").decode(errors="replace"), printable(str(plan_file), 300)
    )
    named = _named(donors)
    places = [drifted, output, *named.values()]
    if all(place.startswith("s3://") for place in places):
        key, digest, kept = _write_remote(chosen, drifted, named, output, back)
    elif any(place.startswith("s3://") for place in places):
        raise BadInput("weights and output lie partly on disk and partly in storage; put them all in one of the two")
    else:
        key, digest, kept = _write_local(chosen, drifted, named, output, back)
    tell(json, {"output": key, "digest": digest, "kept": kept}, f"{key}: {digest}")


def _write_local(
    plan: "RepairPlan", drifted: str, donors: dict[str, str], output: str, back: bool
) -> tuple[str, str, tuple[str, ...]]:
    from heritage.repair import apply as local

    if back:
        done = local.undo(plan, Path(drifted), Path(output))
    else:
        done = local.apply_plan(plan, Path(drifted), {n: Path(p) for n, p in donors.items()}, Path(output))
    return str(done.path), done.digest, done.kept


def _write_remote(
    plan: "RepairPlan", drifted: str, donors: dict[str, str], output: str, back: bool
) -> tuple[str, str, tuple[str, ...]]:
    from heritage.flows.remote_apply import apply_remote, undo_remote

    places = {"": drifted, "-o": output, **donors}
    parts = {name: place.removeprefix("s3://").partition("/") for name, place in places.items()}
    buckets = sorted({bucket for bucket, _, _ in parts.values()})
    if len(buckets) > 1:
        raise BadInput(f"weights lie in several buckets ({', '.join(map(printable, buckets))}); copy them into one")
    keys = {name: key for name, (_, _, key) in parts.items()}
    source, out = keys.pop(""), keys.pop("-o")
    store = _store().at_bucket(buckets[0])
    done = undo_remote(store, plan, source, out) if back else apply_remote(store, plan, source, keys, out)
    return f"s3://{buckets[0]}/{done.key}", done.digest, done.kept


def _store() -> "ObjectStore":
    return connect().store


def _named(donors: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in (p.strip() for p in donors.split(",") if p.strip()):
        name, equals, place = part.partition("=")
        if not (name and equals and place) or name in found:
            raise BadInput(f"donor '{printable(part)}': give NAME=WHERE, each name once")
        found[name] = place
    return found
