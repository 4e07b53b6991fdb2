"""`heritage repair plan|apply|undo` and `heritage label ...`: repair of registered versions, with people's help."""

from pathlib import Path
from typing import Annotated

import typer

from heritage.cli import repair as files
from heritage.cli.connect import connect
from heritage.cli.output import DryRunFlag, Exit, JsonFlag, tell

label = typer.Typer(name="label", help="Ask people for labels and take in their answers.", no_args_is_help=True)

ModelArgument = Annotated[str, typer.Argument(help="Registered model whose champion drifted.")]
WindowOption = Annotated[str, typer.Option(help="The drifted window; the newest otherwise.")]
RequestArgument = Annotated[str, typer.Argument(help="Id of the label request.")]


def register(main: typer.Typer) -> None:
    """Add `plan`, `apply` and `undo` to `repair`, and `label` to the main command."""
    files.app.command()(plan)
    files.app.command()(apply)
    files.app.command()(undo)
    main.add_typer(label)


def plan(model: ModelArgument, window: WindowOption = "", json: JsonFlag = False, dry_run: DryRunFlag = False) -> None:
    """Search for a repair and ask the gate. Exit code 3 unless it accepts."""
    from heritage.flows import repair

    result = repair.search(connect(), model, window, dry_run)
    shares = ", ".join(f"{share:.2f} x {name}" for name, share in result.get("coefficients", {}).items() if share)
    lines = [f"{result['decision']}: {result['reason']}"]
    if result["plan"]:
        lines += [f"rung {result['rung']}{': ' + shares if shares else ''}", f"plan {result['plan']}"]
    tell(json, result, "\n".join(lines))
    if result["decision"] != "accept":
        raise typer.Exit(Exit.FOUND)


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


def undo(model: ModelArgument, json: JsonFlag = False) -> None:
    """Make the champion before the last repair champion again; its weights were never touched."""
    from heritage.flows import promote

    moved = promote.roll_back(connect(), model, "repair undone by hand")
    tell(json, moved, f"{model}/{moved['version']} is champion in place of version {moved['replaced']}")


@label.command()
def request(
    model: ModelArgument,
    window: WindowOption = "",
    strategy: Annotated[str, typer.Option(help="How rows are chosen; see docs/dags.md.")] = "mixed",
    json: JsonFlag = False,
    dry_run: DryRunFlag = False,
) -> None:
    """Choose unlabelled rows of the current windows and write tasks.jsonl for people."""
    from heritage.flows import label as flow

    result = flow.request(connect(), model, window, strategy, dry_run)
    tell(json, result, f"request {result['request']}, answers until {result['deadline']}")


@label.command()
def status(request_id: RequestArgument, json: JsonFlag = False) -> None:
    """How many rows of a request were answered."""
    from heritage.flows import label as flow

    result = flow.status(connect(), request_id)
    tell(json, result, f"{result['answered']} of {result['tasks']} rows answered{', done' if result['done'] else ''}")


@label.command()
def answer(
    request_id: RequestArgument,
    answers: Annotated[Path, typer.Argument(help="labels.jsonl: lines with sample_id, row_sha256, label, annotator.")],
    json: JsonFlag = False,
) -> None:
    """Check answers and store them with their request."""
    from heritage.cli.files import read_bytes
    from heritage.flows import label as flow

    data = read_bytes(answers, "one JSON object a line")
    result = flow.answer(connect(), request_id, data)
    tell(json, result, f"{result['answered']} of {result['tasks']} rows answered")
