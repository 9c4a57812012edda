#!/usr/bin/env bash
# Makes or updates the virtual environment from requirements.lock, and links the clone into it as the collection
# banking.platform. Does nothing where a stamp shows that the environment was made from this very lock.
# Usage: [VENV=.venv] [PYTHON=python3] [OPENSHIFT=1] tools/venv.sh
set -euo pipefail
cd "$(dirname "$0")/.."
clone=$PWD
venv=${VENV:-.venv}
python=${PYTHON:-python3}
locks=(requirements.lock)
[ -z "${OPENSHIFT:-}" ] || locks+=(requirements-openshift.lock)

stamp=$venv/.made-from-$(cat "${locks[@]}" requirements-programs.txt "$0" | sha256sum | cut -c1-16)
[ -e "$stamp" ] && [ -x "$venv/bin/python" ] && exit 0

if [ ! -x "$venv/bin/python" ]; then
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo "Python 3.11 or newer is needed and '$python' is not: install it, or name it (make venv PYTHON=python3.12)." >&2
        exit 1
    fi
    # Debian keeps this part of Python's standard library in a package of its own.
    "$python" -c 'import ensurepip' 2>/dev/null || tools/apt_install.sh python3-venv
    echo "Making the virtual environment $venv with $("$python" --version)"
    "$python" -m venv "$venv"
fi

pip=("$venv/bin/python" -m pip --disable-pip-version-check --quiet --quiet)
requirements=("${locks[@]/#/--requirement=}")
echo "Installing $(grep -ch '^[a-z].*==' requirements.lock) Python packages into $venv (pinned with hashes in ${locks[*]})"
# uv takes seconds where pip takes most of a minute. It is installed as the lock says, and told pip's index since it
# does not read pip's configuration. Where it cannot reach that index, pip does the work.
awk '/^[a-z]/ {ours = /^uv==/} ours' requirements.lock >"$venv/uv.lock"
"${pip[@]}" install --require-hashes --no-deps --requirement "$venv/uv.lock"
index=$("${pip[@]}" config get global.index-url 2>/dev/null || true)
UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$index}}
if [ -n "$UV_DEFAULT_INDEX" ]; then export UV_DEFAULT_INDEX; else unset UV_DEFAULT_INDEX; fi
if ! "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --require-hashes "${requirements[@]}"; then
    echo "uv could not install them; trying pip" >&2
    "${pip[@]}" install --require-hashes "${requirements[@]}"
fi

"${pip[@]}" install --require-hashes --no-deps --requirement requirements-programs.txt

# Playbooks, ansible-lint, Molecule and pytest all find the collection through this one link.
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
mkdir -p "$site/ansible_collections/banking"
ln -sfnr "$clone" "$site/ansible_collections/banking/platform"

rm -f "$venv"/.made-from-*
touch "$stamp"
