#!/bin/sh
# Writes what a backup holds back into a data set, over what is there under the same keys; other keys stay.
# Usage: restore.sh <host:port> <folder of the backup> <folder for work>
# The password is in REDISCLI_AUTH, the authority in TLS_CA, a certificate and its key in TLS_CERT and TLS_KEY.
set -eu
umask 077
host=$1 backup=$2 work=$3
source=127.0.0.1:6390

if [ ! -e "$backup/nodes.json" ]; then
    echo "$backup is no backup - next: name one of:" "${backup%/*}"/*Z >&2
    exit 1
fi

for file in "$backup"/*.rdb; do
    # A server with the data of a shard, which only this pod reaches; it brings each key to the primary that has its slot now.
    mkdir -p "$work"
    cp "$file" "$work/dump.rdb"
    redis-server --bind 127.0.0.1 --port "${source#*:}" --dir "$work" --save "" --appendonly no \
        --tls-cluster yes --tls-cert-file "$TLS_CERT" --tls-key-file "$TLS_KEY" --tls-ca-cert-file "$TLS_CA" >/dev/null &
    server=$!
    trap 'kill "$server" 2>/dev/null || true' EXIT
    until [ "$(REDISCLI_AUTH='' redis-cli -p "${source#*:}" PING 2>/dev/null)" = PONG ]; do
        kill -0 "$server" || { echo "$file cannot be read" >&2; exit 1; }
        sleep 0.2
    done
    # What it says names keys, which are tokens and sessions: it stays here.
    if ! redis-cli --tls --cacert "$TLS_CA" --cluster import "$host" --cluster-from "$source" \
        --cluster-copy --cluster-replace >"$work/said" 2>&1; then
        echo "${file##*/}: not all of it was taken: $(grep -v Migrating "$work/said" | tail -n 1)" >&2
        exit 1
    fi
    there=$(REDISCLI_AUTH='' redis-cli -p "${source#*:}" DBSIZE)
    kill "$server"
    wait "$server" || true
    echo "${file##*/}: $there keys"
done
