"""What a monitoring server reads."""

import dataclasses

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from heritage.api import Guard, create_app
from tests.api.small_fleet import HOSTILE, Started, login, may_start

TOKEN = "a token of the scraper"


@pytest.fixture
def scraped(fleet) -> TestClient:
    own = fleet.ctx.settings.api.model_copy(update={"metrics_token": type(fleet.ctx.settings.api.token)(TOKEN)})
    ctx = dataclasses.replace(fleet.ctx, settings=fleet.ctx.settings.model_copy(update={"api": own}))
    return TestClient(create_app(Guard(login, may_start), Started(), lambda: ctx))


def samples(client) -> dict[tuple, float]:
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    return {(s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples}


def test_only_the_scraper_reads_the_figures(scraped, client):
    for headers in ({}, {"Authorization": "Bearer x"}, {"x-user": "ana"}):
        assert scraped.get("/metrics", headers=headers).status_code == 401
    # no token is set here, and an empty one opens nothing
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 401


def test_health_repairs_and_backlog_are_told(scraped):
    found = samples(scraped)
    assert found["heritage_versions", "drift"] == 1
    assert found["heritage_versions", "unknown"] == 4
    assert found["heritage_deployed_versions", "drift"] == 1
    assert found["heritage_deployed_versions", "ok"] == 0
    assert found["heritage_repairs", "accept", "hull"] == 1
    assert found["heritage_backlog", "ingest"] == 2
    assert found["heritage_backlog", "labels"] == 0
    assert 0 <= found["heritage_index_age_seconds",] < 600


def test_requests_are_counted_by_route_and_not_by_what_people_ask_for(scraped):
    for path in ("/api/models/left/1", "/api/models/both/1", "/nowhere/42", "/api/models/../../etc"):
        scraped.get(path, headers={"x-user": "ana"})
    scraped.post("/webhooks/mlflow", content=b"{}")
    found = samples(scraped)
    assert found["heritage_request_seconds_count", "/api/models/{id:path}", "2xx", "GET"] == 2
    assert found["heritage_request_seconds_count", "4xx", "GET", "other"] >= 1
    assert found["heritage_webhooks_total", "refused"] == 1
    told = {label for name, *labels in found for label in labels}
    assert not any(HOSTILE in label or "42" in label or "left" in label for label in told)
