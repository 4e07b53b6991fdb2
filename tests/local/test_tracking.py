import httpx
import pytest

from heritage.local.tracking import SERVER_ENVIRONMENT

LONG = 8001


@pytest.fixture
def api(tracking):
    with httpx.Client(base_url=f"{tracking}/api/2.0/mlflow/", trust_env=False, timeout=30) as client:
        yield client


def new_run(api: httpx.Client) -> str:
    return api.post("runs/create", json={"experiment_id": "0"}).json()["run"]["info"]["run_id"]


def test_a_long_tag_is_refused_and_not_cut(api):
    answer = api.post("runs/set-tag", json={"run_id": new_run(api), "key": "k", "value": "x" * LONG})

    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert "exceeds the maximum length" in answer.text


@pytest.mark.parametrize(
    "source", ["s3://evil/b", "file:///etc", "http://169.254.169.254/latest", "/etc", "xmodels:/m/1", "evil runs:/a"]
)
def test_a_version_from_elsewhere_is_refused(api, source):
    api.post("registered-models/create", json={"name": "m"})

    answer = api.post("model-versions/create", json={"name": "m", "source": source})

    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert "source" in answer.text.lower()


def test_a_version_of_a_run_is_taken(api):
    run = new_run(api)
    api.post("registered-models/create", json={"name": "m"})

    answer = api.post("model-versions/create", json={"name": "m", "source": f"runs:/{run}/weights", "run_id": run})

    assert answer.status_code == httpx.codes.OK


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
def test_foreign_hosts_and_origins_are_refused(api, headers):
    answer = api.post("experiments/search", json={"max_results": 1}, headers=headers)

    assert answer.status_code == httpx.codes.FORBIDDEN


def test_artifacts_go_through_the_server_into_the_storage(tracking, seaweed):
    from heritage.storage import ObjectStore

    path = f"{tracking}/api/2.0/mlflow-artifacts/artifacts/probe/a.txt"
    assert httpx.put(path, content=b"hello", trust_env=False).status_code == httpx.codes.OK

    assert ObjectStore.connect(seaweed).get("mlflow/probe/a.txt") == b"hello"
    assert httpx.get(path, trust_env=False).content == b"hello"


def test_nothing_may_be_unpickled_or_run_and_nobody_phones_home():
    assert SERVER_ENVIRONMENT["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert SERVER_ENVIRONMENT["MLFLOW_DISABLE_TELEMETRY"] == "true"
