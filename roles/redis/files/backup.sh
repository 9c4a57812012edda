#!/bin/sh
# A backup of a data set: the RDB of each primary, and which slots each has. Usage: backup.sh <host:port> <folder> <how many are kept>
# The password is in REDISCLI_AUTH, the authority in TLS_CA. What is there under its own name is whole: it is moved there at the end.
set -eu
umask 077
host=$1 folder=$2 keep=$3
stamp=$(date -u +%Y%m%dT%H%M%SZ)
new=$folder/.$stamp

# What an earlier run left unfinished, and the oldest ones where there is no room for one more like the last; that one stays.
rm -rf "$folder"/.[0-9]*
set -- "$folder"/[0-9]*T[0-9]*Z
while [ $# -gt 1 ]; do
    for last; do :; done
    wanted=$(($(du -sk "$last" | cut -f 1) * 5 / 4))
    [ "$(df -Pk "$folder" | awk 'NR == 2 {print $4}')" -lt "$wanted" ] || break
    rm -rf "${1:?}"
    shift
done
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
# The image has no program of this name; the server is it when it is called so.
ln -s "$(command -v redis-server)" "$new/redis-check-rdb"
files=0
for file in "$new"/*.rdb; do
    "$new/redis-check-rdb" "$file" >/dev/null || { echo "$file is no whole RDB - next: look at the log of its server" >&2; exit 1; }
    files=$((files + 1))
done
rm "$new/redis-check-rdb"
mv "$new" "$folder/$stamp"
echo "$stamp: $files shards"

# Names are times: the shell sorts them, the oldest first.
set -- "$folder"/[0-9]*T[0-9]*Z
while [ $# -gt "$keep" ]; do
    rm -rf "${1:?}"
    shift
done
