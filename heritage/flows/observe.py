"""Take in what a deployed version saw, for those who have batches of rows rather than an agent in their server."""

from heritage.flows import windows
from heritage.flows.context import Context
from heritage.flows.networks import manifest_of, network_of, state_of
from heritage.flows.profiles import profile_of, window_of
from heritage.names import check_name
from heritage.records import ModelVersion
from heritage.rows import Rows


def observe(ctx: Context, version: ModelVersion, window: str, rows: Rows, keep: bool = True) -> str:
    """Count `rows` into a window of `version`, and keep them (labels included) for repair; the key of the counters.

    The same rows twice count once. Without `keep` only counters are stored: drift is seen, but nothing can be repaired.
    """
    check_name(window, "window")
    profile = profile_of(ctx, version)
    network = network_of(ctx, manifest_of(ctx, version), state_of(ctx, version))
    if keep:
        windows.keep_rows(ctx, version, window, rows)
    counted = window_of(profile, rows, network)
    return windows.keep_counts(ctx, version, window, counted, f"batch-{rows.digest[:16]}", 0)
