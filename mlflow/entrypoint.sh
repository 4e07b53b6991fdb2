#!/bin/sh
# Starts the tracking server with heritage's settings and basic-auth. See README.md for the variables.
set -eu
umask 077
here=$(cd "$(dirname "$0")" && pwd)

fail() {
    echo "entrypoint: $*" >&2
    exit 2
}

# server.env is a list of plain NAME=value lines (the form that docker reads), not a shell script; what is set wins
while IFS= read -r line || [ -n "$line" ]; do
    case $line in '' | '#'*) continue ;; esac
    name=${line%%=*}
    printenv "$name" >/dev/null || export "$line"
done <"$here/server.env"

# a secret may be given as the name of a file, as Docker and Kubernetes mount it
secret() {
    file=$(printenv "$1_FILE" || true)
    if [ -n "$file" ]; then
        [ -r "$file" ] || fail "$1_FILE names '$file', which cannot be read"
        export "$1=$(cat "$file")"
    fi
    [ -n "$(printenv "$1" || true)" ] || fail "set $1, or $1_FILE to a file that holds it"
}

# these need not be set: the addresses may hold the password, AWS knows other ways to find keys, and only webhooks
# need a key for their secrets
for name in PGPASSWORD AWS_SECRET_ACCESS_KEY MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY; do
    [ -z "$(printenv "${name}_FILE" || true)" ] || secret "$name"
done
secret MLFLOW_BACKEND_STORE_URI
secret MLFLOW_AUTH_DATABASE_URI
secret MLFLOW_AUTH_ADMIN_PASSWORD
secret MLFLOW_FLASK_SERVER_SECRET_KEY
: "${MLFLOW_ARTIFACTS_DESTINATION:?set it to the storage for artifacts, such as s3://heritage/mlflow}"
: "${MLFLOW_SERVER_ALLOWED_HOSTS:?set it to the names that clients use for this server, separated by commas}"

case $MLFLOW_BACKEND_STORE_URI in
postgresql*://* | mysql*://* | sqlite:///*) ;;
*) fail "MLFLOW_BACKEND_STORE_URI must be a database (postgresql://...), not a folder" ;;
esac

runtime=$(mktemp -d)
MLFLOW_AUTH_CONFIG_PATH=$runtime/basic-auth.ini
export MLFLOW_AUTH_CONFIG_PATH
# a percent sign is doubled, as the format of the file asks
awk 'BEGIN { uri = ENVIRON["MLFLOW_AUTH_DATABASE_URI"]; gsub(/%/, "%%", uri) }
     (i = index($0, "@DATABASE_URI@")) && !/^#/ { print substr($0, 1, i - 1) uri substr($0, i + 14); next }
     { print }' "$here/basic-auth.ini.template" >"$MLFLOW_AUTH_CONFIG_PATH"

# away from this folder, where `python -m` would find it in the place of the library
cd "$runtime"
exec mlflow server --host "${MLFLOW_HOST:-0.0.0.0}" --port "${MLFLOW_PORT:-5000}" --workers "${MLFLOW_WORKERS:-2}" \
    --app-name basic-auth --serve-artifacts "$@"
