"""`heritage label ...`: ask people for labels, see how far they are, take in what they say."""

from pathlib import Path
from typing import Annotated

import typer

from heritage.cli.connect import connect
from heritage.cli.output import DryRunFlag, JsonFlag, notes, tell

app = typer.Typer(name="label", help="Ask people for labels and take in their answers.", no_args_is_help=True)

RequestArgument = Annotated[str, typer.Argument(help="Id of the label request.")]


@app.command()
def request(
    model: Annotated[str, typer.Argument(help="Registered model whose champion drifted.")],
    window: Annotated[str, typer.Option(help="The drifted window; the newest otherwise.")] = "",
    strategy: Annotated[str, typer.Option(help="How rows are chosen; see docs/labelling.md.")] = "mixed",
    json: JsonFlag = False,
    dry_run: DryRunFlag = False,
) -> None:
    """Choose unlabelled rows of the current windows and write tasks.jsonl for people."""
    from heritage.flows import hand_off
    from heritage.flows import label as flow

    ctx = connect()
    result = flow.request(ctx, model, window, strategy, dry_run)
    if not dry_run:
        hand_off.send(ctx, result["request"])
    tell(json, result, f"request {result['request']}: {result['tasks']} rows, answers until {result['deadline']}")


@app.command("list")
def open_requests(json: JsonFlag = False) -> None:
    """The requests that take answers now."""
    from heritage.flows import label as flow

    found = flow.open_requests(connect())
    lines = [f"{r['request']}  {r['model']}  {r['window']}  {r['tasks']} rows, until {r['deadline']}" for r in found]
    tell(json, found, "\n".join(lines) or "no request waits for answers")


@app.command()
def status(request_id: RequestArgument, json: JsonFlag = False) -> None:
    """How many rows were answered, by whom, and how far people agree."""
    from heritage.flows import label as flow

    result = flow.progress(connect(), request_id)
    agreement = "" if result["agreement"] is None else f", agreement {result['agreement']:.2f}"
    people = ", ".join(f"{name} {count}" for name, count in result["annotators"].items())
    tell(
        json,
        result,
        f"{result['answered']} of {result['tasks']} rows answered, {result['conflicts']} without a majority{agreement}"
        f"{', done' if result['done'] else ''}" + (f"\n{people}" if people else ""),
    )


@app.command()
def answer(
    request_id: RequestArgument,
    answers: Annotated[Path, typer.Argument(help="labels.jsonl: lines with sample_id, row_sha256, label, annotator.")],
    json: JsonFlag = False,
) -> None:
    """Check a file of answers and add them to those that are there."""
    from heritage.cli.files import read_bytes
    from heritage.flows import label as flow

    data = read_bytes(answers, "one JSON object a line")
    result = flow.answer(connect(), request_id, data)
    tell(json, result, f"{result['answered']} of {result['tasks']} rows answered")


@app.command()
def close(request_id: RequestArgument, json: JsonFlag = False) -> None:
    """Take no more answers; the repair that waits goes on with what came."""
    from heritage.flows import label as flow

    result = flow.close(connect(), request_id)
    tell(json, result, f"closed with {result['answered']} of {result['tasks']} rows answered")


@app.command()
def push(request_id: RequestArgument, json: JsonFlag = False) -> None:
    """Hand a request to Label Studio: one project, however often this is run."""
    from heritage.flows import label_studio

    result = label_studio.push(connect(), request_id)
    tell(json, result, f"{result['tasks']} tasks in {result['url']}")


@app.command()
def pull(request_id: RequestArgument, json: JsonFlag = False) -> None:
    """Take in what was annotated in Label Studio so far."""
    from heritage.flows import label_studio

    result = label_studio.pull(connect(), request_id)
    tell(json, result, f"{result['answered']} of {result['tasks']} rows answered")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; other than loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8091,
) -> None:
    """Serve the labelling page, with all other pages (`heritage api`); open requests stand at /labels."""
    from heritage.cli.api import api

    notes.print(f"requests that wait: http://{host}:{port}/labels")
    api(host, port)
