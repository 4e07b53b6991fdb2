#!/bin/sh
# Writes the databases of Airflow and MLflow to a folder, each as of one moment. Buckets come after it, never before:
# what a database names must be in the copy of its bucket.
#
#   PGHOST=... PGPORT=... PGPASSWORD=... sh backup.sh /backups/2026-11-22
set -eu
folder=${1:?name the folder that the backup goes to}
umask 077
mkdir -p "$folder"
for database in airflow mlflow mlflow_users; do
    pg_dump --username postgres --format custom --file "$folder/$database.new" --dbname "$database"
    mv "$folder/$database.new" "$folder/$database.dump"
done
echo "databases are in $folder"
