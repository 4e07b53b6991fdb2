"""Take in what a deployed version saw, for those who have batches of rows rather than an agent in their server."""

from heritage.drift.columns import as_frame
from heritage.drift.window import Window
from heritage.errors import BadInput
from heritage.flows import windows
from heritage.flows.context import Context
from heritage.flows.networks import manifest_of, network_of, state_of
from heritage.flows.profiles import profile_of
from heritage.names import check_name
from heritage.records import ModelVersion
from heritage.rows import Rows


def observe(ctx: Context, version: ModelVersion, window: str, rows: Rows, keep: bool = True) -> str:
    """Count `rows` into a window of `version`, and keep them (labels included) for repair; the key of the counters.

    The same rows twice count once. Without `keep` only counters are stored: drift is seen, but nothing can be repaired.
    Raises `BadInput`, before anything is stored, for rows that the network does not take and labels that are no class.
    """
    from heritage.weights.network import probabilities

    check_name(window, "window")
    profile = profile_of(ctx, version)
    said = probabilities(network_of(ctx, manifest_of(ctx, version), state_of(ctx, version)), rows.x)
    _check_labels(rows, said.shape[1])
    counted = Window.empty(profile).update(*as_frame(rows.x, said))
    if keep:
        windows.keep_rows(ctx, version, window, rows)
    return windows.keep_counts(ctx, version, window, counted, f"batch-{rows.digest[:16]}", 0)


def _check_labels(rows: Rows, classes: int) -> None:
    wrong = [] if rows.y is None else rows.y[(rows.y < 0) | (rows.y >= classes)].tolist()
    if wrong:
        raise BadInput(f"label {wrong[0]} is no class; the model has classes 0 to {classes - 1}")
