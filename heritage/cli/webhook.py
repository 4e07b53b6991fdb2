"""`heritage webhook`: have MLflow tell heritage's receiver what people do in the registry."""

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from heritage.cli.connect import connect
from heritage.cli.output import DryRunFlag, Exit, JsonFlag, fail, tell
from heritage.errors import BadInput
from heritage.names import printable

if TYPE_CHECKING:
    from heritage.flows.context import Context

app = typer.Typer(name="webhook", help="News of the registry, sent by MLflow.", no_args_is_help=True)
ROUTE = "/heritage/webhooks/mlflow"
# where the receiver looks when HERITAGE_API__WEBHOOK_SECRET is empty; the same name as in heritage.api.webhooks
SECRET_FILE = "webhook.secret"  # noqa: S105 the name of a file


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
    ctx = connect()
    hook = ctx.registry.subscribe(url, secret_for(ctx))
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


def secret_for(ctx: "Context") -> str:
    """The secret of the settings, else that of the working folder, which is made where it is missing."""
    if secret := ctx.settings.api.webhook_secret.get_secret_value():
        return secret
    file: Path = ctx.settings.work_dir / SECRET_FILE
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(secrets.token_urlsafe(32) + "\n")
    return file.read_text().strip()
