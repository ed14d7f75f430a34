#!/usr/bin/env bash
# As in the official image: POSTGRES_PASSWORD, _USER, _DB, _INITDB_ARGS and _HOST_AUTH_METHOD, each of the first three
# also as the name of a file (…_FILE); *.sql, *.sql.gz and *.sh of /docker-entrypoint-initdb.d are run in a new database.
set -euo pipefail
[ $# -gt 0 ] && [ "${1#-}" = "$1" ] || set -- postgres "$@"
[ "$1" = postgres ] || exec "$@"
for word in "$@"; do
  case "$word" in
    --version | -V | --help | '-?' | --describe-config | -C) exec "$@" ;;
  esac
done
if [ "$(id -u)" = 0 ]; then
  install -d -m 700 -o postgres "$PGDATA"
  find "$PGDATA" ! -user postgres -exec chown postgres:postgres {} +
  chown postgres:postgres /var/run/postgresql
  exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
fi

told() {
  local name="$1" file="$1_FILE"
  if [ -n "${!file:-}" ]; then cat "${!file}"; else echo "${!name:-}"; fi
}

# shellcheck disable=SC2086
make_cluster() { initdb --username="$user" --auth-local=trust "$@" ${POSTGRES_INITDB_ARGS:-} "$PGDATA"; }

fill() {
  for file in /docker-entrypoint-initdb.d/*; do
    case "$file" in
      *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
      *.sql) psql -v ON_ERROR_STOP=1 -f "$file" ;;
      *.sql.gz) gunzip -c "$file" | psql -v ON_ERROR_STOP=1 ;;
    esac
  done
}

if [ ! -s "$PGDATA/PG_VERSION" ]; then
  password="$(told POSTGRES_PASSWORD)"
  user="$(told POSTGRES_USER)"
  user="${user:-postgres}"
  database="$(told POSTGRES_DB)"
  database="${database:-$user}"
  method="${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}"
  if [ -z "$password" ] && [ "$method" != trust ]; then
    echo "error: no password for $user; set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust to let everybody in" >&2
    exit 1
  fi
  if [ -n "$password" ]; then
    make_cluster --pwfile=<(printf '%s\n' "$password")
  else
    make_cluster
  fi
  printf '\nhost all all all %s\n' "$method" >>"$PGDATA/pg_hba.conf"
  # Nobody from outside gets in before all is there.
  pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
  export PGUSER="$user" PGDATABASE=postgres
  [ "$database" = postgres ] || createdb "$database"
  PGDATABASE="$database" POSTGRES_USER="$user" POSTGRES_DB="$database" fill
  unset PGUSER PGDATABASE
  pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec "$@"
