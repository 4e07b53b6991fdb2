#!/bin/sh
# Makes a folder of secrets for the stack: one random secret a file. What is there already is kept.
#
#   sh docker/secrets.sh /etc/heritage/secrets
set -eu
folder=${1:?name the folder that the secrets go to}
umask 077
mkdir -p "$folder"
chmod 700 "$folder"

# containers of several users read single files of this folder; nobody else can get into it
keep() {
    if [ -s "$folder/$1" ]; then cat >/dev/null; else cat >"$folder/$1.new" && mv "$folder/$1.new" "$folder/$1"; fi
    chmod 444 "$folder/$1"
}
random() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }

for name in postgres_password airflow_database_password mlflow_database_password redis_password \
    s3_operator_secret s3_heritage_secret s3_mlflow_secret s3_logs_secret \
    mlflow_admin_password mlflow_heritage_password mlflow_flask_secret airflow_api_secret airflow_jwt_secret \
    heritage_metrics_token; do
    random 32 | keep "$name"
done
# 32 bytes in the letters that Fernet wants
for name in airflow_fernet_key mlflow_webhook_key; do
    head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n' | keep "$name"
done
printf '{"admin": "%s", "approver": "%s", "viewer": "%s"}\n' "$(random 12)" "$(random 12)" "$(random 12)" | keep airflow_passwords
echo "secrets are in $folder; the passwords of Airflow's login page in $folder/airflow_passwords"
