"""`heritage demo`, `up`, `down`, `doctor`: the product on one machine."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from heritage.cli.connect import log_to_stderr, use_running_stack
from heritage.cli.output import Exit, JsonFlag, console, notes, print_json
from heritage.settings import settings

if TYPE_CHECKING:
    from heritage.demo.story import Story
    from heritage.flows.context import Context
    from heritage.local.doctor import Check
    from heritage.local.stack import Plan, Stack

SeedOption = Annotated[int, typer.Option("--seed", min=0, max=9999, help="Which family to train.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the main one."""
    app.command()(demo)
    app.command()(up)
    app.command()(down)
    app.command()(doctor)


def demo(seed: SeedOption = 0, json: JsonFlag = False) -> None:
    """The main job on a small family: drift, repair, gate, approval, promotion. Stops what it started."""
    from heritage.demo.story import play, through_airflow
    from heritage.local.stack import Stack

    folder = settings().work_dir
    notes.print("starting SeaweedFS, MLflow and Airflow on free loopback ports")
    with Stack.running(folder, plan=_everything()) as stack:
        ctx = _connect(stack)
        story = play(ctx, through_airflow(_airflow(stack)), seed, folder / "demo", _told)
        if json:
            print_json(asdict(story))
        else:
            _tell(ctx, story)


def up(
    with_demo: Annotated[bool, typer.Option("--demo", help="Load the demo's family.")] = False,
    json: JsonFlag = False,
) -> None:
    """Start S3, MLflow and Airflow and leave them running; what runs already is kept."""
    from heritage.local.stack import Stack

    folder = settings().work_dir
    stack = Stack.up(folder, plan=_everything())
    if with_demo:
        from heritage.demo import family, stage

        ctx = _connect(stack)
        versions = stage.register_family(ctx, 0, folder / "demo" / "seed-0", _told)
        stage.stream(ctx, versions[family.CHAMPION], 0)
    addresses = {
        "airflow": stack.airflow_url,
        "mlflow": stack.tracking_uri,
        "s3": stack.s3.endpoint_url,
        "users": stack.passwords(),
    }
    if json:
        print_json({**addresses, "environment": stack.environment()})
        return
    _show_addresses(stack)


def down(json: JsonFlag = False) -> None:
    """Stop what `up` started, whoever started it."""
    from heritage.local.stack import down as stop

    stopped = stop(settings().work_dir)
    if json:
        print_json({"stopped": stopped})
    else:
        console.print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


def doctor(json: JsonFlag = False) -> None:
    """Say what is missing on this machine and what to do about it."""
    from heritage.local.doctor import check_all

    use_running_stack()
    found = []
    for check in check_all(settings()):
        found.append(check)
        if not json:
            console.print(_line(check), soft_wrap=True)
            if check.remedy:
                console.print(f"         {check.remedy}", markup=False, style="dim", soft_wrap=True)
    if json:
        print_json([asdict(check) for check in found])
    if any(not check.ok and not check.optional for check in found):
        raise typer.Exit(Exit.ERROR)


def _line(check: "Check") -> Text:
    colour, word = ("green", "ok") if check.ok else ("yellow", "absent") if check.optional else ("red", "missing")
    return Text.assemble((f"{word:<8}", colour), f"{check.name}: {check.detail}")


def _everything() -> "Plan":
    """All servers, with the DAGs and plugins of the project this command was installed from, wherever it is called."""
    from heritage.local.stack import Plan

    root = Path(__file__).resolve().parents[2]
    return Plan(airflow=True, dags=root / "dags", plugins=root / "plugins")


def _connect(stack: "Stack") -> "Context":
    from heritage.flows.context import Context

    log_to_stderr()
    os.environ.update(stack.environment())
    settings.cache_clear()
    return Context.connect()


def _airflow(stack: "Stack") -> Any:
    from heritage.local.airflow_rest import AirflowApi

    assert stack.airflow_url is not None
    return AirflowApi(stack.airflow_url, "approver", stack.passwords()["approver"])


def _told(line: str) -> None:
    notes.print(f"  {line}", markup=False, style="dim", soft_wrap=True)


def _tell(ctx: "Context", story: "Story") -> None:
    from heritage.cli.trees import draw

    graph = ctx.registry.graph()
    first = ctx.registry.version(story.drifted)
    marks = {first.digest: "[yellow]drifted[/yellow]"}
    if story.promoted:
        marks[ctx.registry.version(story.promoted).digest] = "[green]champion[/green]"
    console.print()
    for root in graph.roots(first.digest):
        console.print(draw(graph, root, marks))
    console.print()
    for window, status in story.verdicts.items():
        console.print(f"  {window}  {status}", style="red" if status == "drift" else "green")
    console.print()
    _tell_decision(story)
    console.print(_table(story))
    spent = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in story.seconds.items())
    console.print(f"Time: {spent}", style="dim")
    console.print("Next: make up (web pages of Airflow and MLflow with this family), heritage lineage show NAME")


def _tell_decision(story: "Story") -> None:
    found = story.search
    if not found:
        console.print("No repair was searched for: the drift check did not call for one.")
        return
    shares = ", ".join(f"{share:.2f} x {label}" for label, share in found["coefficients"].items() if share)
    console.print(f"Repair: rung '{found['rung']}'" + (f", {shares}" if shares else ""), soft_wrap=True)
    console.print(f"Gate: {found['decision']}. {found['reason']}", markup=False, soft_wrap=True)
    console.print(f"Promoted: {story.promoted or 'nothing; the drifted version stays champion'}")
    console.print()


def _table(story: "Story") -> Table:
    columns = {"drifted": "drifted", "parent": "parent*", "rollback": "best donor*", "repaired": "repaired"}
    table = Table(
        title=f"Accuracy on fresh rows that nobody tuned on (seed {story.seed})",
        title_justify="left",
        caption="* rolled back to it as it is",
        caption_justify="left",
    )
    table.add_column("rows")
    table.add_column("n", justify="right")
    shown = [name for name in columns if name in story.accuracy["all three"]]
    for name in shown:
        table.add_column(columns[name], justify="right")
    for kind, figures in story.accuracy.items():
        cells = [f"{100 * figures[name]:.1f} %" for name in shown]
        style = "bold" if kind == "all three" else ""
        table.add_row("all three: the site now" if style else kind, str(story.rows[kind]), *cells, style=style)
    return table


def _show_addresses(stack: "Stack") -> None:
    console.print(f"Airflow  {stack.airflow_url}")
    for user, password in stack.passwords().items():
        console.print(f"         user {user}, password {password}", markup=False)
    console.print(f"MLflow   {stack.tracking_uri}")
    console.print(f"S3       {stack.s3.endpoint_url}")
    console.print("Stop with: make down")
