#!/bin/sh
# A backup of a data set: the RDB of each primary, and which slots each has. Usage: backup.sh <host:port> <folder> <how many are kept>
# The password is in REDISCLI_AUTH, the authority in TLS_CA. What is there under its own name is whole: it is moved there at the end.
set -eu
umask 077
host=$1 folder=$2 keep=$3
stamp=$(date -u +%Y%m%dT%H%M%SZ)
new=$folder/.$stamp

# What an earlier run left unfinished.
rm -rf "$folder"/.[0-9]*
mkdir "$new"
if ! redis-cli --tls --cacert "$TLS_CA" --cluster backup "$host" "$new" >"$new/said" 2>&1; then
    tail -n 5 "$new/said" >&2
    exit 1
fi
rm "$new/said"

# redis-cli takes what it finds; where a shard has nobody, that is not everything.
slots=$(awk '/"slots_count":/ {sum += $2} END {print sum + 0}' "$new/nodes.json")
if [ "$slots" != 16384 ]; then
    echo "$slots of 16384 slots have a primary - next: redis-cli --cluster check $host" >&2
    exit 1
fi
files=0
for file in "$new"/*.rdb; do
    redis-check-rdb "$file" >/dev/null || { echo "$file is no whole RDB - next: look at the log of its server" >&2; exit 1; }
    files=$((files + 1))
done
mv "$new" "$folder/$stamp"
echo "$stamp: $files shards"

# Names are times: the shell sorts them, the oldest first.
set -- "$folder"/[0-9]*T[0-9]*Z
while [ $# -gt "$keep" ]; do
    rm -rf "${1:?}"
    shift
done
