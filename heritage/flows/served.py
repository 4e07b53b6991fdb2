"""Does the server that people use give the new champion's answers? Asked over HTTP, as they ask it."""

import time
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput, Unavailable
from heritage.names import printable
from heritage.records import ModelVersion
from heritage.rows import Rows

ROWS = 16  # what is sent counts as seen by the model, so it is little
_EVERY_S = 0.5
# float32 sums in another order, and their way through JSON
_TOLERANCE = 1e-4


def ask(url: str, champion: ModelVersion, rows: Rows, expected: NDArray[np.float64], wait_s: float) -> int:
    """Number of rows that the server at `url` (`heritage serve`) answers as `expected` (n, classes), the probabilities
    of `champion`.

    Waits until the server follows the alias. Raises `Unavailable` where it does not within `wait_s`, and `BadInput`
    where its answers are others.
    """
    with httpx.Client(base_url=url.rstrip("/"), timeout=min(wait_s, 30.0), trust_env=False) as client:
        _wait(client, champion, wait_s)
        some = min(ROWS, len(rows))
        said = _call(client, "POST", "/predict", {"instances": rows.x[:some].tolist()})
    given = np.asarray(said.get("probabilities", []), np.float64)
    if said.get("version") != champion.version or given.shape != expected[:some].shape:
        raise BadInput(
            f"{url}: answered as version {printable(str(said.get('version')), 20)} with values of shape {given.shape}; "
            f"expected are version {champion.version} and {expected[:some].shape}"
        )
    away = float(np.abs(given - expected[:some]).max())
    if not away <= _TOLERANCE:  # also refuses NaN
        raise BadInput(f"{url}: its probabilities are up to {away:.2g} away from those of {champion.address}")
    return some


def _wait(client: httpx.Client, champion: ModelVersion, wait_s: float) -> None:
    until, seen = time.monotonic() + wait_s, "nothing"
    while True:
        try:
            health = _call(client, "GET", "/healthz")
            seen = f"{health.get('model')}/{health.get('version')} ({health.get('status')})"
            if (health.get("model"), health.get("version")) == (champion.name, champion.version):
                return
        except Unavailable as error:
            seen = str(error)
        if time.monotonic() >= until:
            raise Unavailable(
                f"{client.base_url}: does not serve {champion.address} after {wait_s:g} s; it said "
                f"{printable(seen, 200)}"
            )
        time.sleep(_EVERY_S)


def _call(client: httpx.Client, method: str, path: str, body: Any = None) -> dict[str, Any]:
    where = f"{client.base_url}{path}"
    try:
        answer = client.request(method, path, json=body)
        found = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise Unavailable(f"{where}: {printable(str(error) or type(error).__name__, 200)}") from error
    if answer.status_code >= 500 or not isinstance(found, dict):
        raise Unavailable(f"{where}: answered {answer.status_code}")
    if answer.status_code >= 400:
        raise BadInput(f"{where}: answered {answer.status_code}: {printable(answer.text, 200)}")
    return found
