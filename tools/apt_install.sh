#!/usr/bin/env bash
# Installs Debian packages after saying so. Not root or not Debian: says what to install instead.
# Usage: tools/apt_install.sh PACKAGE...
set -euo pipefail

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Missing on this machine: $*" >&2
    echo "Install them with the system's package manager (on Debian, as root: apt-get install $*), then run this again." >&2
    exit 1
fi
echo "Installing Debian packages: $*"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt-get update && apt-get install --yes --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    echo "apt-get failed; its output is above." >&2
    exit 1
fi
