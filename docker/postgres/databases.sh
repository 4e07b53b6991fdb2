#!/bin/sh
# Makes the accounts and databases of Airflow and MLflow; the image of PostgreSQL runs it once, over an empty folder.
set -eu
airflow=$(cat "${AIRFLOW_DATABASE_PASSWORD_FILE:?set it to the file of the secret}")
mlflow=$(cat "${MLFLOW_DATABASE_PASSWORD_FILE:?set it to the file of the secret}")
for password in "$airflow" "$mlflow"; do
    case $password in
    '' | *[!A-Za-z0-9]*) echo "databases: a password must be letters and digits; see docker/secrets.sh" >&2; exit 2 ;;
    esac
done
psql -v ON_ERROR_STOP=1 --no-psqlrc --quiet --username "$POSTGRES_USER" --dbname postgres <<END
CREATE ROLE airflow LOGIN PASSWORD '$airflow';
CREATE ROLE mlflow LOGIN PASSWORD '$mlflow';
CREATE DATABASE airflow OWNER airflow;
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE mlflow_users OWNER mlflow;
REVOKE CONNECT ON DATABASE airflow, mlflow, mlflow_users FROM PUBLIC;
END
