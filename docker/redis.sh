#!/bin/sh
# Starts Redis with its password, which comes by standard input and so is no argument that everybody can list.
set -eu
password=$(cat "${REDIS_PASSWORD_FILE:?set it to the file of the secret}")
[ -n "$password" ] || { echo "redis: the secret in $REDIS_PASSWORD_FILE is empty" >&2; exit 2; }
exec redis-server - <<END
bind ${REDIS_BIND:?set it to the address to listen on}
port ${REDIS_PORT:?set it to the port to listen on}
dir ${REDIS_DIR:?set it to the folder of the data}
requirepass $password
appendonly yes
maxmemory-policy noeviction
END
