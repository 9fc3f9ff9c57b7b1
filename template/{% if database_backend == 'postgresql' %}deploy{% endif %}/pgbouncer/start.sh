#!/bin/bash
# PgBouncer reads passwords from a file of its own form alone, so it is made of the secret, in memory.
set -euo pipefail
password=$(cat /run/secrets/database_password)
umask 077
printf '"app" "%s"\n' "${password//\"/\"\"}" >/tmp/users.txt
exec pgbouncer /etc/pgbouncer/pgbouncer.ini
