"""`heritage webhook`: have MLflow tell heritage's receiver what people do in the registry."""

from typing import Annotated
from urllib.parse import urlsplit

import typer

from heritage.cli.connect import connect
from heritage.cli.output import DryRunFlag, Exit, JsonFlag, fail, tell
from heritage.errors import BadInput
from heritage.names import printable

app = typer.Typer(name="webhook", help="News of the registry, sent by MLflow.", no_args_is_help=True)
ROUTE = "/heritage/webhooks/mlflow"


@app.command()
def register(
    url: Annotated[str, typer.Argument(help=f"The receiver, as MLflow reaches it: http://127.0.0.1:8080{ROUTE}")],
    json: JsonFlag = False,
    dry_run: DryRunFlag = False,
) -> None:
    """Register the receiver with MLflow, or change where it is, and send it one delivery as a test."""
    check_url(url)
    if dry_run:
        tell(json, {"url": url, "dry_run": True}, f"would register {url} with MLflow")
        return
    from heritage.flows.webhook_secret import made_secret

    ctx = connect()
    hook = ctx.registry.subscribe(url, made_secret(ctx.settings))
    problem = ctx.registry.try_webhook(hook)
    tell(json, {"url": url, "webhook": hook, "problem": problem}, f"MLflow tells {url} what happens in the registry")
    if problem:
        fail(f"the test delivery was not taken: {printable(problem, 500)}", Exit.ERROR)


@app.command()
def remove(json: JsonFlag = False) -> None:
    """Have MLflow tell nobody any more."""
    removed = connect().registry.unsubscribe()
    tell(json, {"removed": removed}, "removed" if removed else "there was none")


def check_url(url: str) -> str:
    """`url` itself if a webhook may be sent there, else `BadInput`; MLflow refuses more, as its server is set up."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        fits = False
    if not fits:
        raise BadInput(
            f"'{printable(url)}' is no address of a receiver; give http(s)://host:port{ROUTE}, without a user"
        )
    return url
