"""Makes heritage's own account on the tracking server, or gives it its password anew; safe to run again.

The account is an administrator's: heritage reads, tags and ingests the versions of everybody. People get accounts of
their own with the permissions that they need.
"""

import os

from mlflow.exceptions import MlflowException
from mlflow.server import get_app_client

NAME = "heritage"


def main() -> None:
    """Ask the server at MLFLOW_TRACKING_URI, as its first administrator."""
    client = get_app_client("basic-auth", tracking_uri=os.environ["MLFLOW_TRACKING_URI"])
    password = os.environ["MLFLOW_HERITAGE_PASSWORD"]
    try:
        client.create_user(NAME, password)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        client.update_user_password(NAME, password)
    client.update_user_admin(NAME, True)
    print(f"account '{NAME}' is ready")


if __name__ == "__main__":
    main()
