#!/bin/sh
# Installs the Debian packages that tests use, where they are missing and apt and root are there; says so otherwise.
set -eu
missing=""
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed:$missing. The tests that need them will be skipped and say so."
    echo "As root on Debian: apt-get install --no-install-recommends$missing"
    exit 0
fi
echo "installing from Debian:$missing"
# RUNLEVEL=1 keeps the packages from starting servers of their own
# shellcheck disable=SC2086
if ! { apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends $missing >/dev/null; }; then
    echo "apt-get could not install:$missing. The tests that need them will be skipped and say so."
fi
