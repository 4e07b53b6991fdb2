"""How heritage's application asks Airflow who may do what, and starts DAG runs. No plugin in this file.

`requires_access_dag` and `GetUserDep` are inside Airflow's core, not its documented interface for plugins: look at them
again whenever Airflow is upgraded (3.3.2 here; tests/dags/test_plugin.py fails where they changed).
"""

from collections.abc import Callable, Mapping
from typing import Any

from airflow.api.common.trigger_dag import trigger_dag
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.exceptions import DagNotFound, DagRunAlreadyExists, ParamValidationError
from airflow.utils.types import DagRunTriggeredByType
from fastapi import Request

from heritage.api import Guard, Run
from heritage.errors import BadInput, Conflict, NotFound

# whoever may see this DAG may see what the DAGs found
_READ = requires_access_dag("GET", param_dag_id="heritage_drift_check")


def _reader(request: Request, user: GetUserDep) -> str:
    _READ(request, user)
    return str(user.get_name())


def _starter(dag: str) -> Callable[..., str]:
    check = requires_access_dag("POST", DagAccessEntity.RUN, dag)

    def starter(request: Request, user: GetUserDep) -> str:
        check(request, user)
        return str(user.get_name())

    return starter


GUARD = Guard(_reader, _starter)


def start(dag: str, conf: Mapping[str, Any], user: str) -> Run:
    """Start a run of `dag` in the name of `user`."""
    try:
        run = trigger_dag(dag, triggered_by=DagRunTriggeredByType.REST_API, triggering_user_name=user, conf=dict(conf))
    except DagNotFound as error:
        raise NotFound(f"Airflow knows no DAG '{dag}'; is the folder dags/ in its DAG folder?") from error
    except DagRunAlreadyExists as error:
        raise Conflict(f"run of {dag}: one was started in the same moment; try again") from error
    except (ParamValidationError, ValueError) as error:
        raise BadInput(f"run of {dag}: {error}") from error
    return Run(dag, str(run.run_id), str(run.state))
