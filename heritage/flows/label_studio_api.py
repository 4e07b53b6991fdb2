"""The few calls of Label Studio's HTTP API that a hand-off needs, with heritage's errors and a deadline each."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import stamina

from heritage.errors import BadInput, HeritageError, Misconfigured, NotFound, Unavailable
from heritage.names import printable
from heritage.settings import LabelStudioSettings

MAX_BYTES = 256 * 2**20
_PAGE = 100
_DENIED = "check HERITAGE_LABEL_STUDIO__TOKEN; legacy tokens must be enabled in the organisation's settings"


class LabelStudio:
    """A Label Studio server. Reading is tried again within the deadline; writing is not, since it may have worked."""

    def __init__(self, settings: LabelStudioSettings) -> None:
        if not settings.url or settings.token is None:
            raise Misconfigured(
                "Label Studio is not set up; give HERITAGE_LABEL_STUDIO__URL and HERITAGE_LABEL_STUDIO__TOKEN"
            )
        self.url = settings.url.rstrip("/")
        self._token = settings.token.get_secret_value()
        self._deadline_s = settings.deadline_s
        # trust_env off: a proxy from the environment would be shown the token
        self._http = httpx.Client(base_url=self.url, timeout=settings.deadline_s, trust_env=False)
        self._authorization = "" if _is_personal(self._token) else f"Token {self._token}"

    def __enter__(self) -> "LabelStudio":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def projects(self) -> Iterator[dict[str, Any]]:
        """All projects that the user may see: id, title and so on."""
        number = 1
        while True:
            page = self._get("/api/projects", {"page": number, "page_size": _PAGE})
            yield from page["results"]
            if not page.get("next"):
                return
            number += 1

    def create_project(self, title: str, config: str, description: str) -> int:
        """Id of a new project."""
        made = self._send("POST", "/api/projects", {"title": title, "label_config": config, "description": description})
        return int(made["id"])

    def delete_project(self, project: int) -> None:
        """Remove a project with its tasks."""
        self._send("DELETE", f"/api/projects/{project}")

    def project(self, project: int) -> dict[str, Any]:
        """The project: title, task_number, num_tasks_with_annotations and so on."""
        return dict(self._get(f"/api/projects/{project}"))

    def import_tasks(self, project: int, tasks: list[dict[str, Any]]) -> int:
        """Number of tasks that were added; all or none."""
        answer = self._send("POST", f"/api/projects/{project}/import?return_task_ids=true", tasks)
        return int(answer["task_count"])

    def export(self, project: int) -> bytes:
        """The annotated tasks with their annotations, as JSON."""
        return self._raw(f"/api/projects/{project}/export", {"exportType": "JSON"})

    def _get(self, path: str, query: dict[str, Any] | None = None) -> Any:
        return _parsed(self._raw(path, query), f"{self.url}{path}")

    def _raw(self, path: str, query: dict[str, Any] | None = None) -> bytes:
        for attempt in stamina.retry_context(on=Unavailable, attempts=4, timeout=self._deadline_s, wait_initial=0.2):
            with attempt:
                return self._call("GET", path, query=query)
        raise AssertionError("stamina tries until it returns or raises")

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        data = self._call(method, path, body=body)
        return _parsed(data, f"{self.url}{path}") if data else {}

    def _call(self, method: str, path: str, query: dict[str, Any] | None = None, body: Any = None) -> bytes:
        status, data = self._once(method, path, query, body)
        if status == httpx.codes.UNAUTHORIZED and _is_personal(self._token):
            self._authorization = ""  # access tokens live for some minutes
            status, data = self._once(method, path, query, body)
        if status >= 400:
            raise _error(status, f"{self.url}{path}", data)
        return data

    def _once(self, method: str, path: str, query: dict[str, Any] | None, body: Any) -> tuple[int, bytes]:
        headers = {"Authorization": self._authorization or self._fresh()}
        with (
            _translated(f"{self.url}{path}"),
            self._http.stream(method, path, params=query, json=body, headers=headers) as answer,
        ):
            return answer.status_code, _bounded(answer, f"{self.url}{path}")

    def _fresh(self) -> str:
        """A short-lived access token for a personal token, which itself opens nothing else."""
        path = "/api/token/refresh"
        with _translated(f"{self.url}{path}"), self._http.stream("POST", path, json={"refresh": self._token}) as answer:
            data = _bounded(answer, f"{self.url}{path}")
        if answer.status_code >= 400:
            raise _error(answer.status_code, f"{self.url}{path}", data)
        self._authorization = f"Bearer {_parsed(data, f'{self.url}{path}')['access']}"
        return self._authorization


def _is_personal(token: str) -> bool:
    """Personal access tokens are JSON web tokens: three parts; legacy ones are one word."""
    return token.count(".") == 2


def _bounded(answer: httpx.Response, where: str) -> bytes:
    data = bytearray()
    for piece in answer.iter_bytes():
        data += piece
        if len(data) > MAX_BYTES:
            raise BadInput(f"{where}: the answer is larger than {MAX_BYTES} bytes; export smaller projects")
    return bytes(data)


def _parsed(data: bytes, where: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unavailable(f"{where}: the answer is no JSON; is this a Label Studio server, and is it up?") from error


@contextmanager
def _translated(where: str) -> Iterator[None]:
    try:
        yield
    except httpx.HTTPError as error:
        raise Unavailable(
            f"{where}: {printable(str(error) or type(error).__name__, 200)}; is the server up?"
        ) from error


def _error(status: int, where: str, data: bytes) -> HeritageError:
    said = f"{where}: Label Studio answered {status}: {printable(data[:300].decode(errors='replace'), 300)}"
    if status in (401, 403):
        return Misconfigured(f"{said}; {_DENIED}")
    if status == 404:
        return NotFound(said)
    if status in (408, 425, 429) or status >= 500:
        return Unavailable(said)
    return BadInput(said)
