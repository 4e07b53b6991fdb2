"""What every router is given."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query

from heritage.api.answers import StartedRun
from heritage.api.follow import Follower
from heritage.api.guard import Guard
from heritage.api.links import Links
from heritage.api.runs import Trigger
from heritage.flows.context import Context

# a text that stands in an answer or a query, never in a path of files
Text = Annotated[str, Query(max_length=500)]
Cursor = Annotated[str, Query(max_length=2000, description="`next` of the page before")]


@dataclass(frozen=True)
class Services:
    """Catalogue, login, Airflow. `airflow_url` is Airflow's address where the settings name none."""

    follower: Follower
    guard: Guard
    trigger: Trigger
    airflow_url: str = ""

    @property
    def context(self) -> Context:
        """Connections of this process."""
        return self.follower.context

    @property
    def links(self) -> Links:
        """Addresses for people."""
        return Links.of(self.context.settings, self.airflow_url)

    def start(self, dag: str, conf: Mapping[str, Any], user: str) -> StartedRun:
        """Start a run of `dag`, asked for by `user`."""
        run = self.trigger(dag, conf, user)
        return StartedRun(dag=run.dag, run=run.run, state=run.state, url=run.url or self.links.run(run.dag, run.run))
