#!/bin/sh
# Starts SeaweedFS with its accounts, each for its own bucket.
set -eu
umask 077

secret() {
    file=$(printenv "$1") || { echo "seaweedfs: set $1 to the file of the secret" >&2; exit 2; }
    [ -s "$file" ] || { echo "seaweedfs: $1 names '$file', which is missing or empty" >&2; exit 2; }
    cat "$file"
}
# the last two let an account lock what it writes; nothing unlocks it
verbs='Read Write List Tagging GetBucketObjectLockConfiguration PutObjectRetention'
# name, secret, the buckets that it may use (none: all of them, and it may make new ones)
account() {
    name=$1 key=$2
    shift 2
    actions='"Admin", "Read", "Write", "List", "Tagging"'
    if [ $# -gt 0 ]; then
        actions=
        for bucket in "$@"; do
            for verb in $verbs; do actions="$actions${actions:+, }\"$verb:$bucket\""; done
        done
    fi
    printf '{"name": "%s", "credentials": [{"accessKey": "%s", "secretKey": "%s"}], "actions": [%s]}' \
        "$name" "$name" "$key" "$actions"
}

operator=$(secret S3_OPERATOR_SECRET_FILE)
heritage=$(secret S3_HERITAGE_SECRET_FILE)
mlflow=$(secret S3_MLFLOW_SECRET_FILE)
logs=$(secret S3_LOGS_SECRET_FILE)
mkdir -p "$WEED_DIR/data"
{
    printf '{"identities": ['
    account operator "$operator"
    printf ', '
    account heritage "$heritage" heritage heritage-audit
    printf ', '
    account mlflow "$mlflow" mlflow
    printf ', '
    account airflow-logs "$logs" airflow-logs
    printf ']}\n'
} >"$WEED_DIR/accounts.json"

exec weed -logtostderr=true server -dir="$WEED_DIR/data" -ip="$WEED_IP" -ip.bind="$WEED_BIND" \
    -master.port="$WEED_MASTER_PORT" -master.volumeSizeLimitMB="$WEED_VOLUME_SIZE_MB" -master.telemetry=false \
    -volume.port="$WEED_VOLUME_PORT" -volume.max="$WEED_VOLUMES" -metricsPort="$WEED_METRICS_PORT" \
    -filer -filer.port="$WEED_FILER_PORT" \
    -s3 -s3.port="$S3_PORT" -s3.config="$WEED_DIR/accounts.json" -s3.iam=false -s3.autoCreateBucket=false \
    -s3.port.iceberg=0 -s3.port.lance=0
