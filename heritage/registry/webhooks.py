"""Subscribing to what happens in the registry: one webhook of MLflow, known by its name."""

from typing import Any

from heritage.registry.connect import Connection

NAME = "heritage"
EVENTS = ("model_version.created", "model_version_alias.created", "model_version_alias.deleted")


def subscribe(connection: Connection, url: str, secret: str) -> str:
    """Have MLflow tell `url` of registrations and moved aliases, signed with `secret`; the webhook's id.

    Called again it changes the webhook that is there. Raises `BadInput` where the server does not send to such an
    address, `Misconfigured` where this user may not.
    """
    known = find(connection)
    if known is not None:
        connection.mlflow.update_webhook(known.webhook_id, url=url, events=list(EVENTS), secret=secret, status="ACTIVE")
        return str(known.webhook_id)
    return str(connection.mlflow.create_webhook(NAME, url, list(EVENTS), secret=secret).webhook_id)


def unsubscribe(connection: Connection) -> bool:
    """Remove the webhook; whether there was one."""
    known = find(connection)
    if known is not None:
        connection.mlflow.delete_webhook(known.webhook_id)
    return known is not None


def find(connection: Connection) -> Any:
    """MLflow's record of the webhook; None where there is none."""
    token = None
    while True:
        page = connection.mlflow.list_webhooks(100, token)
        for hook in page:
            if hook.name == NAME:
                return hook
        token = page.token
        if not token:
            return None


def tried(connection: Connection, webhook_id: str) -> str:
    """What came of a test delivery: '' where it was taken, else what the server says."""
    result = connection.mlflow.test_webhook(webhook_id)
    # 409: the server tried again because the first answer came too late, and that first one was taken
    if result.success or result.response_status == 409:
        return ""
    return str(result.error_message or f"it answered {result.response_status}: {result.response_body}")
