"""`heritage serve` and `package`: a server for one model, ours or MLflow's."""

from typing import Annotated

import typer

from heritage.cli.connect import connect
from heritage.cli.output import DryRunFlag, JsonFlag, console, notes, tell


def register(main: typer.Typer) -> None:
    """Add these commands to the main one."""
    main.command()(serve)
    main.command()(package)


def serve(
    address: Annotated[str, typer.Argument(metavar="MODEL@champion", help="What to serve: name@champion or name/3.")],
    host: Annotated[str | None, typer.Option(help="Address to listen on (default: this machine only).")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 takes any free one.")] = None,
) -> None:
    """Answer requests with a registered version, watch it for drift, and follow the alias when it moves.

    POST /predict {"instances": [[...], ...]} gives class, probabilities and prediction id of each row; GET /healthz and
    /metrics (Prometheus) say how it is.
    """
    import dataclasses
    import logging

    from heritage.serving import server
    from heritage.serving.app import LOOPBACK

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("heritage.serving").setLevel(logging.INFO)
    ctx = connect()
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    own = ctx.settings.serve.model_copy(update=given)
    if own.host not in LOOPBACK:
        notes.print(
            f"note: listening on {own.host}, for everybody who reaches it; there is no authentication, so put a proxy "
            "that has one in front",
            markup=False,
        )
    ctx = dataclasses.replace(ctx, settings=ctx.settings.model_copy(update={"serve": own}))
    server.run(ctx, address, lambda line: console.print(line, markup=False, soft_wrap=True))


def package(
    address: Annotated[str, typer.Argument(metavar="MODEL@champion", help="What to store: name@champion or name/3.")],
    json: JsonFlag = False,
    dry_run: DryRunFlag = False,
) -> None:
    """Store a version as an MLflow pyfunc model, for `mlflow models serve`; the same drift agent watches it there."""
    ctx = connect()
    version = ctx.registry.version(address)
    if dry_run:
        tell(json, {"version": version.address}, f"would store {version.address} as a pyfunc model of its run")
        return
    uri = ctx.registry.log_pyfunc(version, ctx.settings.work_dir / "weights")
    tell(json, {"version": version.address, "uri": uri}, f"{version.address}: {uri}")
