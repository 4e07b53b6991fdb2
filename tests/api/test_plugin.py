"""heritage's application inside Airflow's own, with Airflow's users and permissions."""

import re

import pytest
from fastapi.testclient import TestClient

from heritage.local.environment import client_environment
from heritage.settings import settings

pytestmark = [pytest.mark.services, pytest.mark.airflow]

# these have a login of their own
OWN_LOGIN = {"/webhooks/mlflow"}


@pytest.fixture(scope="module")
def airflow_app(airflow_db, fleet):
    """Airflow's API server in this process, its plugin connected to the small fleet, its DAGs in its database."""
    s3, uri = fleet.ctx.settings.s3, fleet.ctx.settings.mlflow.tracking_uri
    with pytest.MonkeyPatch.context() as patch:
        for name, value in client_environment(s3, uri).items():
            patch.setenv(name, value)
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "long enough for its algorithm " * 3)
        patch.setenv("HERITAGE_WORK_DIR", str(fleet.ctx.settings.work_dir))
        settings.cache_clear()
        from airflow.api_fastapi.app import create_app
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
        from airflow.models.dagbundle import DagBundleModel
        from airflow.utils.session import create_session

        with create_session() as session:
            session.merge(DagBundleModel(name="dags-folder"))
        sync_bag_to_db(DagBag(bundle_name="dags-folder"), "dags-folder", None)
        yield create_app()
    settings.cache_clear()


def as_role(app, role: str) -> TestClient:
    """A client with the token of a user of this role; '' for nobody."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    client = TestClient(app, base_url="http://testserver")
    if role:
        user = SimpleAuthManagerUser(username=role, role=role)
        client.headers["Authorization"] = f"Bearer {get_auth_manager().generate_jwt(user)}"
    return client


def routes(app) -> list[tuple[str, str]]:
    """Method and path of every route of heritage's part, with something in the place of parameters."""
    heritage = next(route.app for route in app.routes if getattr(route, "path", "") == "/heritage")
    return [
        (method, "/heritage" + re.sub(r"\{[^}]*\}", "0123456789ab", route.path))
        for route in heritage.routes
        for method in sorted(route.methods - {"HEAD"})
        if route.path not in OWN_LOGIN
    ]


def test_nobody_gets_anything_without_a_login(airflow_app):
    anonymous = as_role(airflow_app, "")
    asked = routes(airflow_app)
    answers = {f"{method} {path}": anonymous.request(method, path).status_code for method, path in asked}
    assert len(answers) > 20
    assert set(answers.values()) == {401}, answers
    for path in ("/docs", "/redoc"):
        assert anonymous.get(f"/heritage{path}").status_code == 404


def test_a_broken_token_opens_nothing(airflow_app):
    client = as_role(airflow_app, "")
    assert client.get("/heritage/api/models", headers={"Authorization": "Bearer nonsense"}).status_code == 403


def test_a_viewer_reads_and_changes_nothing(airflow_app):
    viewer = as_role(airflow_app, "viewer")
    assert viewer.get("/heritage/api/models?query=left").json()["models"][0]["address"] == "left/1"
    changing = [(method, path) for method, path in routes(airflow_app) if method != "GET"]
    assert len(changing) >= 4
    assert {viewer.request(method, path).status_code for method, path in changing} == {403}


def test_a_user_starts_a_run_of_the_dag(airflow_app):
    from airflow.models import DagRun
    from airflow.utils.session import create_session

    answer = as_role(airflow_app, "user").post("/heritage/api/models/hand/1/reprocess")
    assert answer.status_code == 202, answer.text
    with create_session() as session:
        run = session.query(DagRun).filter_by(dag_id="heritage_ingest", run_id=answer.json()["run"]).one()
        assert (run.conf, run.triggering_user_name) == ({"address": "hand/1"}, "user")


def test_the_cookie_of_the_page_is_enough_but_not_from_another_site(airflow_app):
    client = as_role(airflow_app, "user")
    token = client.headers.pop("Authorization").removeprefix("Bearer ")
    client.cookies.set("_token", token)
    assert client.get("/heritage/api/models").status_code == 200
    foreign = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert client.post("/heritage/api/clustering/recluster", headers=foreign).status_code == 403


def test_answers_carry_the_headers_that_browsers_obey(airflow_app):
    for role in ("", "viewer"):
        headers = as_role(airflow_app, role).get("/heritage/api/models").headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"


def test_airflow_lists_the_pages_in_its_navigation(airflow_app):
    answer = as_role(airflow_app, "admin").get("/api/v2/plugins").json()
    ours = next(plugin for plugin in answer["plugins"] if plugin["name"] == "heritage")
    assert [view["url_route"] for view in ours["external_views"]] == ["heritage"]
    assert as_role(airflow_app, "viewer").get("/heritage/lineage").status_code == 200
