"""A small HTTP server that speaks the routes of Label Studio 1.23 which a hand-off uses, as documented.

Its tasks and annotations are plain data; `Server.annotate` is what a person does in the browser. `faults` holds status
codes (or 'hang up', 'no json') that the next requests are answered with.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

LEGACY, PERSONAL, ACCESS = "abc123", "head.personal.sign", "head.access.sign"


class Server:
    """The state behind the routes."""

    def __init__(self) -> None:
        self.projects: dict[int, dict] = {}
        self.tasks: dict[int, list[dict]] = {}
        self.faults: list[object] = []
        self.requests: list[tuple[str, str]] = []
        self.expired = False
        self.lock = threading.Lock()

    def annotate(self, project: int, labels: list[str | None], person: int = 7) -> None:
        """Somebody chooses `labels`; None skips a task."""
        for task, label in zip(self.tasks[project], labels, strict=False):
            choice = {"from_name": "label", "to_name": "data", "type": "choices", "value": {"choices": [label]}}
            task["annotations"].append(
                {
                    "id": len(task["annotations"]) + 1, "completed_by": person, "was_cancelled": label is None,
                    "result": [] if label is None else [choice], "updated_at": "2026-11-22T08:00:00.000000Z",
                }
            )  # fmt: skip

    def answer(self, method: str, path: str, query: dict, body: object) -> tuple[int, object]:
        """Status and JSON for one request."""
        if path == "/api/token/refresh":
            self.expired = False
            return (200, {"access": ACCESS}) if body == {"refresh": PERSONAL} else (401, {"detail": "Token is invalid"})
        if path == "/api/projects" and method == "GET":
            number, size = int(query["page"][0]), int(query["page_size"][0])
            found = [self.shown(p) for p in sorted(self.projects)]
            part = found[(number - 1) * size : number * size]
            return 200, {"count": len(found), "next": "more" if number * size < len(found) else None, "results": part}
        if path == "/api/projects" and method == "POST":
            assert len(body["title"]) <= 50
            project = len(self.projects) + 1
            self.projects[project], self.tasks[project] = dict(body), []
            return 201, self.shown(project)
        match = re.fullmatch(r"/api/projects/(\d+)(/import|/export)?", path)
        if match is None or int(match[1]) not in self.projects:
            return 404, {"detail": "Not found."}
        return self.of_project(int(match[1]), method, match[2], query, body)

    def of_project(self, project: int, method: str, part: str | None, query: dict, body: object) -> tuple[int, object]:
        if method == "DELETE":
            del self.projects[project]
            return 204, None
        if part == "/import":
            if not all("data" in task for task in body):
                return 400, {"validation_errors": {"non_field_errors": ["Error at item 0: data is missing"]}}
            first = len(self.tasks[project])
            self.tasks[project] += [{**t, "id": first + i, "annotations": []} for i, t in enumerate(body)]
            return 201, {"task_count": len(body), "task_ids": list(range(first, first + len(body)))}
        if part == "/export":
            assert query["exportType"] == ["JSON"]
            return 200, [t for t in self.tasks[project] if t["annotations"]]
        return 200, self.shown(project)

    def shown(self, project: int) -> dict:
        annotated = sum(bool(t["annotations"]) for t in self.tasks[project])
        counts = {"task_number": len(self.tasks[project]), "num_tasks_with_annotations": annotated}
        return {"id": project, **self.projects[project], **counts}


@contextmanager
def running() -> Iterator[tuple[Server, str]]:
    """The server's state and address while it runs on loopback."""
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with state.lock:
                state.requests.append((self.command, parts.path))
                fault = state.faults.pop(0) if state.faults else None
                if fault == "hang up":
                    self.close_connection = True
                    return
                given = self.headers.get("Authorization")
                allowed = given in (f"Token {LEGACY}", f"Bearer {ACCESS}") and not (state.expired and "Bearer" in given)
                if isinstance(fault, int):
                    status, said = fault, {"detail": "fault"}
                elif not allowed and parts.path != "/api/token/refresh":
                    status, said = 401, {"detail": "Authentication credentials were not provided."}
                else:
                    body = json.loads(data) if data else None
                    status, said = state.answer(self.command, parts.path, parse_qs(parts.query), body)
            out = b"<html>" if fault == "no json" else (b"" if said is None else json.dumps(said).encode())
            self.send_response(status)
            self.send_header("Content-Length", str(len(out)))
            self.end_headers()
            self.wfile.write(out)

        do_GET = do_POST = do_DELETE = handle_any

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
