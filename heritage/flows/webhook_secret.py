"""The secret with which MLflow signs its webhooks: that of the settings, else one kept in the working folder."""

import os
import secrets
from pathlib import Path

from heritage.errors import Unavailable
from heritage.settings import Settings

FILE = "webhook.secret"


def secret_of(settings: Settings) -> str:
    """The secret; `Unavailable` where none was set or made."""
    if told := settings.api.webhook_secret.get_secret_value():
        return told
    try:
        kept = _file(settings).read_text().strip()
    except OSError:
        kept = ""
    if not kept:
        raise Unavailable("no secret for webhooks is set; run `heritage webhook register`")
    return kept


def made_secret(settings: Settings) -> str:
    """The secret; made, for this user's eyes only, where there is none."""
    file = _file(settings)
    if not settings.api.webhook_secret.get_secret_value() and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(secrets.token_urlsafe(32) + "\n")
    return secret_of(settings)


def _file(settings: Settings) -> Path:
    return settings.work_dir / FILE
