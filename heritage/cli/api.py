"""`heritage api`: the pages and the JSON behind them, without Airflow."""

from typing import Annotated

import typer

from heritage.cli.connect import connect, log_to_stderr
from heritage.cli.output import notes
from heritage.settings import settings


def register(main: typer.Typer) -> None:
    """Add this command to the main one."""
    main.command()(api)


def api(
    host: Annotated[str, typer.Option(help="Address to listen on; other than loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8091,
) -> None:
    """Serve lineage, drift, repairs, labels and audit to this machine's browser, or to whoever has the token.

    The token is HERITAGE_API__TOKEN. What starts DAG runs answers 503 here: that is for Airflow, which serves the same
    application under /heritage.
    """
    import uvicorn

    from heritage.api import create_app, token_guard

    log_to_stderr()
    ctx = connect()
    guard = token_guard(settings().api.token.get_secret_value(), host)
    app = create_app(guard, connect=lambda: ctx)
    notes.print(f"http://{host}:{port}/lineage")
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)
