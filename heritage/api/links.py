"""Addresses that people open in their browser: pages of MLflow and of Airflow."""

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from heritage.records import MadeBy
from heritage.settings import Settings


@dataclass(frozen=True, slots=True)
class Links:
    """The two servers' addresses, without a slash at the end; '' where people cannot open it."""

    mlflow: str = ""
    airflow: str = ""

    @classmethod
    def of(cls, settings: Settings, airflow: str = "") -> "Links":
        """What the settings say, else the tracking server's address and `airflow`."""
        own = settings.api.mlflow_url or _web_address(settings.mlflow.tracking_uri)
        return cls(own.rstrip("/"), (settings.api.airflow_url or airflow).rstrip("/"))

    def version(self, name: str, version: str) -> str:
        """The page of a model version in MLflow."""
        return f"{self.mlflow}/#/models/{_part(name)}/versions/{_part(version)}" if self.mlflow else ""

    def artifact(self, run_id: str, path: str) -> str:
        """A file of a run in MLflow."""
        return f"{self.mlflow}/get-artifact?run_uuid={_part(run_id)}&path={quote(path)}" if self.mlflow else ""

    def run(self, dag: str, run: str) -> str:
        """The page of a DAG run in Airflow."""
        return f"{self.airflow}/dags/{_part(dag)}/runs/{_part(run)}" if self.airflow and dag and run else ""

    def dag(self, dag: str) -> str:
        """The page of a DAG in Airflow."""
        return f"{self.airflow}/dags/{_part(dag)}" if self.airflow else ""

    def made_by(self, made_by: MadeBy) -> str:
        """The page of the DAG run that made a version."""
        return self.run(made_by.dag, made_by.run)


def _web_address(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _part(text: str) -> str:
    return quote(text, safe="")
