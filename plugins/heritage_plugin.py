"""The Airflow plugin: registers what heritage adds to Airflow. No logic in this file."""

from functools import cached_property
from typing import Any

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

_HOME = f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/heritage"


class HeritagePlugin(AirflowPlugin):
    """What Airflow lists under Admin > Plugins."""

    name = "heritage"
    external_views = [  # noqa: RUF012 the attribute is Airflow's
        {
            "name": "Heritage",
            "href": f"{_HOME}/lineage",
            "url_route": "heritage",
            "destination": "nav",
            "category": "browse",
            "icon": f"{_HOME}/static/icon.svg",
        }
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """The application; only the API server asks for it, so only there it is imported."""
        from heritage_access import GUARD, start

        from heritage.api import create_app

        app = create_app(GUARD, start, airflow_url=conf.get("api", "base_url", fallback=""))
        return [{"app": app, "url_prefix": "/heritage", "name": "heritage"}]
