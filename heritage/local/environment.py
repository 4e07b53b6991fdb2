"""What a process must have in its environment to work with the servers of this machine."""

from heritage.local.tracking import CLIENT_ENVIRONMENT, s3_environment
from heritage.settings import S3Settings


def client_environment(s3: S3Settings, tracking_uri: str) -> dict[str, str]:
    """Variables for clients, DAG processes and tests: where S3 and MLflow are, and that nobody phones home."""
    return {
        **CLIENT_ENVIRONMENT,
        **s3_environment(s3),
        "MLFLOW_TRACKING_URI": tracking_uri,
        "HERITAGE_MLFLOW__TRACKING_URI": tracking_uri,
        "HERITAGE_S3__ENDPOINT_URL": s3.endpoint_url or "",
        "HERITAGE_S3__BUCKET": s3.bucket,
        "HERITAGE_S3__REGION": s3.region,
        "HERITAGE_S3__ACCESS_KEY": s3.access_key or "",
        "HERITAGE_S3__SECRET_KEY": s3.secret_key.get_secret_value() if s3.secret_key else "",
    }
