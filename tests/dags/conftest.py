"""The DAGs as Airflow reads them, and an environment in which their tasks find the stage."""

import pytest
from dag_runs import ROOT

from heritage.settings import settings


@pytest.fixture(scope="module")
def bag(airflow_db):
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(dag_folder=str(ROOT / "dags"))


@pytest.fixture
def on_stage(stage, monkeypatch):
    for name, value in stage.environment().items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    yield stage
    settings.cache_clear()
