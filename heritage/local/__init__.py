"""Real servers on this machine (S3, MLflow, Airflow): on loopback only, started and stopped together."""
