#!/bin/sh
# Reads secrets from the files that NAME_FILE name, then runs the command in its place.
set -eu
umask 077

fail() {
    echo "entrypoint: $*" >&2
    exit 2
}

for name in PGPASSWORD REDIS_PASSWORD LOGS_S3_SECRET HERITAGE_S3__SECRET_KEY MLFLOW_TRACKING_PASSWORD \
    MLFLOW_HERITAGE_PASSWORD AIRFLOW__CORE__FERNET_KEY AIRFLOW__API__SECRET_KEY AIRFLOW__API_AUTH__JWT_SECRET \
    HERITAGE_API__METRICS_TOKEN; do
    file=$(printenv "${name}_FILE" || true)
    [ -n "$file" ] || continue
    [ -r "$file" ] || fail "${name}_FILE names '$file', which cannot be read"
    value=$(cat "$file")
    [ -n "$value" ] || fail "${name}_FILE names '$file', which is empty"
    export "$name=$value"
    # the settings refuse names that they do not know
    unset "${name}_FILE"
done

if [ -n "${REDIS_ADDRESS:-}" ]; then
    : "${REDIS_PASSWORD:?set REDIS_PASSWORD_FILE to the file of the secret}"
    export AIRFLOW__CELERY__BROKER_URL="redis://:$REDIS_PASSWORD@$REDIS_ADDRESS/0"
    export AIRFLOW__CELERY__RESULT_BACKEND="redis://:$REDIS_PASSWORD@$REDIS_ADDRESS/1"
    unset REDIS_PASSWORD
fi
if [ -n "${LOGS_S3_ENDPOINT:-}" ]; then
    : "${LOGS_S3_SECRET:?set LOGS_S3_SECRET_FILE to the file of the secret}"
    extra="{\"endpoint_url\": \"$LOGS_S3_ENDPOINT\", \"region_name\": \"us-east-1\"}"
    AIRFLOW_CONN_HERITAGE_LOGS="{\"conn_type\": \"aws\", \"login\": \"airflow-logs\", \"password\": \"$LOGS_S3_SECRET\", \"extra\": $extra}"
    export AIRFLOW_CONN_HERITAGE_LOGS
    unset LOGS_S3_SECRET
fi
if [ -n "${AIRFLOW_HOME:-}" ]; then
    mkdir -p "$AIRFLOW_HOME"
fi
# Airflow opens the file of passwords for writing, which a secret is not
if [ "${1:-} ${2:-}" = "airflow api-server" ]; then
    [ -r "${AIRFLOW_PASSWORDS_SECRET:-}" ] || fail "AIRFLOW_PASSWORDS_SECRET names no readable file"
    rm -f "$AIRFLOW_HOME/passwords.json"
    cp "$AIRFLOW_PASSWORDS_SECRET" "$AIRFLOW_HOME/passwords.json"
    chmod 600 "$AIRFLOW_HOME/passwords.json"
    export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE="$AIRFLOW_HOME/passwords.json"
fi
exec "$@"
