"""What is refused: strangers, other origins, large bodies, long lists, odd addresses."""

import base64

import pytest
from fastapi import Request
from fastapi.testclient import TestClient

from heritage.api import create_app, token_guard
from heritage.api.headers import MAX_BODY_BYTES
from heritage.errors import Misconfigured, Unavailable

TOKEN = "a token of this test"


def alone(token: str = "", **kwargs) -> TestClient:
    """The application outside Airflow, on which nobody has looked at the registry yet."""

    def connect():
        raise Unavailable("MLflow is away")

    return TestClient(create_app(token_guard(token), connect=connect), base_url="http://127.0.0.1", **kwargs)


def test_a_token_opens_what_a_wrong_one_does_not():
    client = alone(TOKEN)
    for header in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer"},
    ):
        assert client.get("/openapi.json", headers=header).status_code == 401
    assert client.get("/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_browser_logs_in_with_the_token_as_password():
    client = alone(TOKEN)
    asked = client.get("/lineage")
    assert (asked.status_code, asked.headers["www-authenticate"][:6]) == (401, "Basic ")
    assert client.get("/lineage", auth=("ana", TOKEN)).headers["content-type"].startswith("text/html")
    for wrong in (("ana", "wrong"), (TOKEN, ""), ("", "")):
        assert client.get("/openapi.json", auth=wrong).status_code == 401
    for broken in ("Basic", "Basic ====", "Basic /w==", f"Basic {TOKEN}"):
        assert client.get("/openapi.json", headers={"Authorization": broken}).status_code == 401


@pytest.mark.parametrize(("name", "user"), [("ana", "ana"), ("Ana Ó", "Ana Ó"), ("", "token")])
def test_the_name_of_a_login_is_the_annotators(name, user):
    given = base64.b64encode(f"{name}:{TOKEN}".encode()).decode()
    scope = {"type": "http", "headers": [(b"authorization", f"Basic {given}".encode())]}
    assert token_guard(TOKEN).read(Request(scope)) == user


def test_without_a_token_only_this_machine_is_served_and_only_by_its_own_name():
    with pytest.raises(Misconfigured, match="HERITAGE_API__TOKEN"):
        token_guard("", "0.0.0.0")
    with pytest.raises(Misconfigured, match="16"):
        token_guard("short")
    for host, status in (("127.0.0.1:8000", 200), ("localhost", 200), ("[::1]:8000", 200), ("rebound.example", 403)):
        assert alone().get("/openapi.json", headers={"Host": host}).status_code == status


def test_a_page_of_another_site_changes_nothing():
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = alone(TOKEN).post("/api/clustering/recluster", headers=headers)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


def test_a_large_body_is_not_read():
    client = alone()
    declared = client.post("/api/labels/r/answers", content=b"", headers={"Content-Length": str(10**8)})
    streamed = client.post("/api/labels/r/answers", content=(b" " * 2**16 for _ in range(2 * MAX_BODY_BYTES // 2**16)))
    assert (declared.status_code, streamed.status_code) == (413, 413)


def test_an_outage_is_told_as_one_and_an_unknown_airflow_too():
    answer = alone().get("/api/models")
    assert (answer.status_code, answer.json()["error"]) == (503, "Unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert alone().post("/api/clustering/recluster").status_code == 503


@pytest.mark.parametrize(
    "path", ["../app.py", "%2e%2e/app.py", "..%2fapp.py", "/etc/passwd", "js/../../app.py", "a%00b", "a" * 290, ""]
)
def test_only_files_below_static_are_served(path):
    assert alone().get(f"/static/{path}").status_code == 404


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=100000", "limit=x", "health=broken", f"query={'x' * 501}", "cursor=%00", "cursor=W10"]
)
def test_arguments_out_of_range_are_refused(client, query):
    assert client.get(f"/api/models?{query}").status_code in (400, 422)


def test_a_cursor_made_by_hand_asks_nothing_else(client):
    from heritage.api.cursor import encode

    for place in (["' OR 1=1 --", 1], ["x", 2**70], [1, "x"], [["x"], 1]):
        answer = client.get("/api/models", params={"cursor": encode(place)})
        assert answer.status_code in (200, 400)
        assert len(answer.json().get("models", [])) <= 6


def test_each_error_says_what_and_why(client):
    for path, status in (("/api/models/nobody/1", 404), ("/api/models/nobody", 400), ("/api/models?limit=0", 422)):
        answer = client.get(path)
        assert answer.status_code == status
        assert set(answer.json()) == {"error", "detail"}
        assert answer.json()["detail"]


@pytest.mark.parametrize(
    "path", ["/api/models/a forged%1b%5b31m%e2%80%ae/1", "/api/moves?model=a%0aERROR forged%1b%5b31m"]
)
def test_outside_text_forges_no_line_of_a_log_or_terminal(client, path):
    detail = client.get(path).json()["detail"]
    assert "forged" in detail
    assert detail.isprintable()
