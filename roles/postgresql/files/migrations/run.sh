#!/usr/bin/env bash
# Bring databases and migrations to a server, as psql's environment (PGHOST, PGUSER, ...) names it. A second run changes nothing.
#
#   run.sh <folder of migrations> <database of the applications> [<database>=<owner>...]
#
# A migration is a file <number>-<name>.sql, run once, in one transaction, in the order of names; what ran is in platform.migrations, with its
# digest: a file that has changed since is an error. Its first lines may say
#   -- transaction: no            each statement by itself (CREATE INDEX CONCURRENTLY)
#   -- needs: <schema>.<table>    left for a later run as long as there is no such table
set -euo pipefail
folder=$1 application=$2
shift 2
psql() { command psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 "$@"; }

for wish in "$@"; do
  # CREATE DATABASE knows no IF NOT EXISTS, and no transaction.
  psql --dbname=postgres --set=name="${wish%%=*}" --set=owner="${wish#*=}" <<'SQL'
SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'owner')
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
SQL
done

export PGDATABASE=$application
psql <<'SQL'
SET client_min_messages = warning;
CREATE SCHEMA IF NOT EXISTS platform;
CREATE TABLE IF NOT EXISTS platform.migrations (
  name text PRIMARY KEY,
  digest text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
SQL

said() { sed -n "s/^-- $1: *//p" "$2" | head -n 1; }
record="INSERT INTO platform.migrations (name, digest) VALUES (:'name', :'digest');"

for file in "$folder"/[0-9]*.sql; do
  name=$(basename "$file" .sql)
  digest=$(sha256sum "$file" | cut -d ' ' -f 1)
  known=$(psql --set=name="$name" <<<"SELECT digest FROM platform.migrations WHERE name = :'name'")
  needs=$(said needs "$file")
  if [ "$known" = "$digest" ]; then
    continue
  elif [ -n "$known" ]; then
    echo "$name: has changed since it ran: put its file back, and what is to change into a new one" >&2
    exit 1
  elif [ -n "$needs" ] && [ -z "$(psql --set=table="$needs" <<<"SELECT to_regclass(:'table')")" ]; then
    echo "$name: waits for $needs"
  elif [ "$(said transaction "$file")" = no ]; then
    psql --file="$file"
    psql --set=name="$name" --set=digest="$digest" <<<"$record"
    echo "$name: done"
  else
    { cat "$file"; echo "$record"; } | psql --single-transaction --set=name="$name" --set=digest="$digest"
    echo "$name: done"
  fi
done

# Of this month and the three behind it: what has no partition is refused.
psql <<<'SELECT audit.make_partitions(3);' >/dev/null
