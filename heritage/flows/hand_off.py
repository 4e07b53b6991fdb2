"""Who is told of a label request beside those who read its files or open its page: nobody, or Label Studio."""

from typing import Any

from heritage.errors import Unavailable
from heritage.flows import label, label_studio
from heritage.flows.context import Context

LABEL_STUDIO = "label-studio"


def send(ctx: Context, request_id: str) -> None:
    """Hand the request over as the settings say; again changes nothing."""
    if ctx.settings.labels.hand_off == LABEL_STUDIO:
        label_studio.push(ctx, request_id)


def poll(ctx: Context, request_id: str) -> dict[str, Any]:
    """The request's `status`, after taking in what was answered elsewhere.

    `problem` says why that could not be had just now; the answers that are here count all the same.
    """
    status = label.status(ctx, request_id)
    if ctx.settings.labels.hand_off != LABEL_STUDIO or status["done"]:
        return status
    try:
        return label_studio.pull(ctx, request_id)
    except Unavailable as error:
        return {**status, "problem": str(error)}
