#!/usr/bin/env bash
# Installs the Debian packages that bindep.txt names for the given profiles and that are missing; says so first.
# Usage: tools/packages.sh PROFILE...
set -euo pipefail
cd "$(dirname "$0")/.."

# bindep prints one missing package a line, and exits 1 if there is any.
missing=$("${VENV:-.venv}/bin/bindep" --brief "$@" || true)
[ -n "$missing" ] || exit 0
mapfile -t packages <<<"$missing"
tools/apt_install.sh "${packages[@]}"
