#!/bin/bash
# PgBouncer reads passwords only from a file in its own format. This script creates the file from the secret.
set -euo pipefail
password=$(cat /run/secrets/database_password)
umask 077
printf '"app" "%s"\n' "${password//\"/\"\"}" >/tmp/users.txt
exec pgbouncer /etc/pgbouncer/pgbouncer.ini
