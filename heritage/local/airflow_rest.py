"""A small client of Airflow's REST API: start runs, wait for them, answer approvals."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from heritage.errors import Conflict, HeritageError, Misconfigured, Unavailable

_T = TypeVar("_T")
_DONE = frozenset(["success", "failed"])
_PARKED = frozenset(["awaiting_input", "deferred"])
_ENDED = frozenset(["success", "failed", "skipped", "upstream_failed", "removed"])
# An answer that comes before the scheduler has seen the task's process end is lost (apache/airflow #66374, for one); a
# worker may see that end only at its next heartbeat. So is one to a task whose DAG file cannot be read just then. The
# task asks again, so the answer is given again, after a longer pause each time. Can go when Airflow keeps such answers.
_PAUSES_S = (5.0, 10.0, 15.0)


@dataclass
class AirflowApi:
    """One user's session; `url` without a trailing slash. Raises `Unavailable` where Airflow does not answer."""

    url: str
    user: str
    password: str = field(repr=False)
    _client: httpx.Client | None = field(default=None, repr=False)

    def start(self, dag: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run of `dag` with `conf` as its parameters and return its id."""
        body = {"logical_date": None, "conf": dict(conf or {})}
        return str(self._call("POST", f"/dags/{dag}/dagRuns", body)["dag_run_id"])

    def knows(self, dag: str) -> bool:
        """Whether Airflow has read `dag`."""
        return any(d["dag_id"] == dag for d in self._call("GET", f"/dags?limit=100&dag_id_pattern={dag}")["dags"])

    def version(self, dag: str) -> int:
        """Number of the newest version of `dag` that Airflow has read; every change of its steps makes one."""
        found = self._call("GET", f"/dags/{dag}/dagVersions?limit=1&order_by=-version_number")["dag_versions"]
        return int(found[0]["version_number"]) if found else 0

    def runs(self, dag: str) -> list[dict[str, Any]]:
        """Runs of `dag`, oldest first, at most 100."""
        found = self._call("GET", f"/dags/{dag}/dagRuns?limit=100&order_by=-run_after")["dag_runs"]
        return list(reversed(found))

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        """Task instances of a run."""
        return list(self._call("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances?limit=1000")["task_instances"])

    def result(self, dag: str, run: str, task: str, map_index: int = -1) -> Any:
        """What a task returned."""
        path = f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value?map_index={map_index}"
        return self._call("GET", f"{path}&deserialize=true")["value"]

    def failures(self, dag: str, run: str) -> list[str]:
        """A line for each failed task of a run: its name and the last error in its log, or the log's last line."""
        return [
            f"{t['task_id']}: {self._last_words(dag, run, t)}" for t in self.tasks(dag, run) if t["state"] == "failed"
        ]

    def wait(self, dag: str, run: str, timeout_s: float, told: Callable[[str], None] = lambda _: None) -> str:
        """The run's final state, 'success' or 'failed'; `told` hears each task that has ended."""
        heard: set[str] = set()

        def ended() -> str | None:
            for t in self.tasks(dag, run):
                name = t["task_id"] if t["map_index"] < 0 else f"{t['task_id']}[{t['map_index']}]"
                if t["state"] in {"success", "failed", "skipped", "upstream_failed"} and name not in heard:
                    heard.add(name)
                    told(f"{name}: {t['state']}")
            state = self._call("GET", f"/dags/{dag}/dagRuns/{run}")["state"]
            return str(state) if state in _DONE else None

        return self._until(ended, timeout_s, f"run {run} of {dag}")

    def run_after(self, dag: str, known: set[str], timeout_s: float) -> str:
        """Id of the first run of `dag` that is not in `known`: what an asset event started."""

        def appeared() -> str | None:
            return next((r["dag_run_id"] for r in self.runs(dag) if r["dag_run_id"] not in known), None)

        return self._until(appeared, timeout_s, f"a new run of {dag}")

    def approval(self, dag: str, run: str, task: str, timeout_s: float) -> dict[str, Any]:
        """Subject, body and options that wait for a person's answer."""

        def asked() -> dict[str, Any] | None:
            found = self._call("GET", f"/dags/{dag}/dagRuns/{run}/hitlDetails")["hitl_details"]
            return found[0] if found and self._instance(dag, run, task)["state"] in _PARKED else None

        return self._until(asked, timeout_s, f"the approval of run {run} of {dag}")

    def answer(self, dag: str, run: str, task: str, option: str, timeout_s: float) -> None:
        """Answer an approval that waits, and wait until Airflow has taken the answer; see `_PAUSES_S`."""
        body = {"chosen_options": [option], "params_input": {}}
        path = f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/-1/hitlDetails"

        def ended_or_asked_again() -> str | None:
            state = str(self._instance(dag, run, task)["state"])
            # asked anew, by a retry or by the same try, the task has no answer any more
            again = state in _PARKED and not self._call("GET", path)["response_received"]
            return state if again or state in _ENDED else None

        for pause_s in _PAUSES_S:
            time.sleep(pause_s)
            self._call("PATCH", path, body)
            if self._until(ended_or_asked_again, timeout_s, f"the end of {task} of run {run} of {dag}") in _ENDED:
                return
        raise Unavailable(f"Airflow at {self.url} lost {len(_PAUSES_S)} answers to {task} of run {run} of {dag}")

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()

    def _instance(self, dag: str, run: str, task: str) -> dict[str, Any]:
        """A task of a run that is not mapped."""
        return self._call("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}")

    def _last_words(self, dag: str, run: str, task: Mapping[str, Any]) -> str:
        path = f"/dags/{dag}/dagRuns/{run}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
        lines = self._call("GET", f"{path}?map_index={task['map_index']}&full_content=true")["content"]
        errors = [line for line in lines if line.get("level") in ("error", "critical")]
        said = (errors or lines or [{"event": "no log"}])[-1]
        details = said.get("error_detail") or [{}]
        return " ".join([said["event"], str(details[0].get("exc_value", ""))]).strip()

    def _until(self, look: Callable[[], _T | None], timeout_s: float, what: str) -> _T:
        deadline = time.monotonic() + timeout_s
        while (found := look()) is None:
            if time.monotonic() > deadline:
                raise Unavailable(f"Airflow at {self.url}: {what} did not come within {timeout_s:.0f} s; see its logs")
            time.sleep(0.5)
        return found

    def _session(self) -> httpx.Client:
        if self._client is None:
            self._client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
            reply = self._send("POST", "/auth/token", {"username": self.user, "password": self.password})
            self._client.headers["Authorization"] = f"Bearer {reply.json()['access_token']}"
        return self._client

    def _send(self, method: str, path: str, body: Any) -> httpx.Response:
        assert self._client is not None
        try:
            reply = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise Unavailable(f"Airflow at {self.url} does not answer ({error}); is it running?") from error
        if reply.is_success:
            return reply
        raise _refusal(reply)(f"Airflow at {self.url}: {method} {path} gave {reply.status_code}: {reply.text[:500]}")

    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        self._session()
        reply = self._send(method, f"/api/v2{path}", body)
        return dict(reply.json()) if reply.content else {}


def _refusal(reply: httpx.Response) -> type[HeritageError]:
    if reply.status_code in (401, 403):
        return Misconfigured
    if reply.status_code >= 500:
        return Unavailable
    return Conflict
