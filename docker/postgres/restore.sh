#!/bin/sh
# Reads the databases of Airflow and MLflow from a folder that backup.sh wrote, into empty databases.
set -eu
folder=${1:?name the folder of the backup}
for database in airflow mlflow mlflow_users; do
    [ -s "$folder/$database.dump" ] || { echo "restore: $folder/$database.dump is missing" >&2; exit 2; }
    tables=$(psql --username postgres --no-psqlrc --tuples-only --no-align --dbname "$database" \
        --command "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    [ "$tables" = 0 ] || { echo "restore: the database $database has $tables tables; restore into an empty one" >&2; exit 2; }
done
for database in airflow mlflow mlflow_users; do
    owner=${database%_users}
    pg_restore --username postgres --exit-on-error --single-transaction --no-owner --role "$owner" \
        --dbname "$database" "$folder/$database.dump"
done
echo "databases are restored from $folder"
