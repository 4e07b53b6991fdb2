"""`heritage observe` and `heritage drift run`: what deployed versions see, and whether it drifted."""

from pathlib import Path
from typing import Annotated

import typer

from heritage.cli import drift
from heritage.cli.connect import connect
from heritage.cli.output import DryRunFlag, Exit, JsonFlag, console, print_json, progress, tell
from heritage.errors import BadInput


def register(main: typer.Typer) -> None:
    """Add these commands to the main one and to `drift`."""
    main.command()(observe)
    drift.app.command("run")(run)
    drift.app.command("labels")(labels)


def observe(
    address: Annotated[str, typer.Argument(help="The deployed version: name@champion or name/3.")],
    window: Annotated[str, typer.Argument(help="Window id that sorts by time, such as 2026-11-22T07.")],
    rows: Annotated[Path, typer.Argument(help="npz with x, or parquet; with y where labels are known.")],
    counters_only: Annotated[bool, typer.Option("--counters-only", help="Do not keep the rows themselves.")] = False,
    json: JsonFlag = False,
) -> None:
    """Take in a batch of rows that a deployed version saw."""
    from heritage.cli.files import read_bytes, read_rows
    from heritage.drift.tables import rows_of_parquet
    from heritage.flows.observe import observe as flow

    table = rows.suffix.lower() in (".parquet", ".pq")
    given = rows_of_parquet(read_bytes(rows, "a parquet file"), str(rows)) if table else read_rows(rows)
    ctx = connect()
    key = flow(ctx, ctx.registry.version(address), window, given, not counters_only)
    if json:
        print_json({"counters": key})
    else:
        console.print(key, markup=False)


def run(
    model: Annotated[str, typer.Argument(help="One registered model; without it, every deployed version.")] = "",
    json: JsonFlag = False,
    dry_run: DryRunFlag = False,
) -> None:
    """Judge the new windows of deployed versions, as heritage_drift_check does. Exit code 3 where one drifted."""
    from heritage.flows import check_drift

    ctx = connect()
    results = []
    with progress() as bar:
        addresses = check_drift.deployed(ctx, model)
        for address in bar.track(addresses, description="checking"):
            results.append(check_drift.run(ctx, address, dry_run))
    if json:
        print_json(results)
    for result in [] if json else results:
        moved = f" ({', '.join(result['moved'])} moved)" if result["moved"] else ""
        call = "; a repair is called for" if result["triggered"] else ""
        why = f": {result['reason']}" if result["reason"] else ""
        line = f"{result['address']}  {result['window'] or 'no window'}  {result['status']}{moved}{call}{why}"
        console.print(line, markup=False, soft_wrap=True)
    if any(result["status"] == "drift" and not result["muted"] for result in results):
        raise typer.Exit(Exit.FOUND)


def labels(
    address: Annotated[
        str, typer.Argument(help="The version that answered: name/3, or a model's name for all of its.")
    ],
    table: Annotated[Path, typer.Argument(metavar="LABELS", help="Parquet or CSV with the columns id and label.")],
    json: JsonFlag = False,
    dry_run: DryRunFlag = False,
) -> None:
    """Take in labels that came late, by prediction id; the next check judges performance by them.

    Exit code 3 where ids are unknown: not written yet, or never logged. Give them again later.
    """
    import numpy as np
    import pandas as pd

    from heritage.drift.tables import stream_table
    from heritage.flows import late_labels

    frame = pd.concat(stream_table(table, {"id": "categorical", "label": "numeric"}), ignore_index=True)
    if missing := {"id", "label"} - {str(name) for name in frame.columns}:
        raise BadInput(f"{table}: has no column {' and '.join(sorted(missing))}; it needs id and label")
    numbers = pd.to_numeric(frame["label"], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    wrong = np.flatnonzero(frame["id"].isna().to_numpy() | (numbers % 1 != 0))
    if len(wrong):
        raise BadInput(f"{table}: row {wrong[0] + 1} has no id, or a label that is no class index; correct it")
    found = late_labels.take(connect(), address, frame["id"].astype(str).tolist(), numbers.astype(np.int64), dry_run)
    line = f"{found['taken']} labels taken, in {len(found['windows'])} windows"
    unknown = f"; {found['unknown']} ids are unknown: {', '.join(found['unknown_ids'])}" if found["unknown"] else ""
    tell(json, found, line + unknown)
    if found["unknown"]:
        raise typer.Exit(Exit.FOUND)
