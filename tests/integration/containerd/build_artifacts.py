#!/usr/bin/env python3
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make files like the projects' own releases from Debian's packages, where the projects' are out of reach.

    build_artifacts.py OUTPUT CRI

runs on a Debian node. It fetches packages of several Debian releases with apt, without installing them, and writes

    OUTPUT/files/<artifact>/<version>/<arch>/<file>   a mirror, as artifacts_mirror wants it
    OUTPUT/programs/                                  static programs, for build_images.py
    OUTPUT/overrides.json                             platform_catalog_overrides for each platform release

containerd is another one for each platform release, as in the catalog: 1.7 for the first, 2.x for the second. There is
no package of crictl: the artifact of that name holds the script CRI, which asks the same questions.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

# Platform release: suite of Debian that has containerd in the same major version.
CONTAINERD = {"2024.1": "trixie", "2026.2": "sid"}
HERE = ""  # the node's own release
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Apt:
    """Packages of a suite, in a world of their own: the node's package lists stay as they are."""

    def __init__(self, folder: Path, suite: str) -> None:
        self.folder = folder / (suite or "own")
        self.options: list[str] = []
        if suite:
            for below in ("lists/partial", "cache/archives/partial"):
                (self.folder / below).mkdir(parents=True, exist_ok=True)
            (self.folder / "status").touch()
            (self.folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {_mirror()} {suite} main\n")
            options = {
                "Dir::Etc::sourcelist": self.folder / "sources.list",
                "Dir::Etc::sourceparts": "-",
                "Dir::State::lists": self.folder / "lists",
                "Dir::State::status": self.folder / "status",
                "Dir::Cache": self.folder / "cache",
                "APT::Sandbox::User": "root",
            }
            self.options = [f"--option={key}={value}" for key, value in options.items()]
            run("apt-get", *self.options, "--quiet", "update")
        self.folder.mkdir(parents=True, exist_ok=True)

    def unpack(self, package: str) -> tuple[Path, str]:
        """Fetch and unpack a package: where to, and its upstream version."""
        place = self.folder / package
        place.mkdir(exist_ok=True)
        run("apt-get", *self.options, "--quiet", "download", package, cwd=place)
        archive = next(place.glob("*.deb"))
        run("dpkg-deb", "--extract", str(archive), str(place))
        version = run("dpkg-deb", "--field", str(archive), "Version")
        return place, re.sub(r"^\d+:", "", re.split(r"[~+-]", version)[0]).strip()


def run(*command: str, cwd: Path | None = None) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=cwd).stdout


def tar(members: dict[str, Path]) -> bytes:
    """A .tar.gz of some files, all executable: the same bytes for the same files."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, path in sorted(members.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = path.stat().st_size, 0o755
            with path.open("rb") as stream:
                archive.addfile(info, stream)
    return buffer.getvalue()


def _mirror() -> str:
    """The address of the node's own package mirror."""
    return next(
        word for word in run("apt-get", "indextargets", "--format", "$(SITE)").split() if "security" not in word
    )


def main() -> None:
    output, cri = Path(sys.argv[1]), Path(sys.argv[2])
    arch = run("dpkg", "--print-architecture").strip()
    own = Apt(output / "apt", HERE)
    overrides: dict[str, Any] = {release: {"components": {}} for release in CONTAINERD}

    def publish(release: str, name: str, version: str, file: str, content: bytes) -> None:
        path = output / "files" / name / version / arch / file.format(version=version, arch=arch)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        digest = {arch: hashlib.sha256(content).hexdigest()}
        overrides[release]["components"][name] = {"version": version, "artifacts": {name: {"sha256": digest}}}

    runc, runc_version = own.unpack("runc")
    cni, cni_version = own.unpack("containernetworking-plugins")
    for release, suite in CONTAINERD.items():
        containerd, version = Apt(output / "apt", suite).unpack("containerd")
        programs = {f"bin/{p.name}": p for p in (containerd / "usr" / "bin").iterdir() if not p.is_symlink()}
        run(str(programs["bin/containerd"]), "--version")  # linked against a C library that this node has
        publish(release, "containerd", version, "containerd-{version}-linux-{arch}.tar.gz", tar(programs))
        publish(release, "runc", runc_version, "runc.{arch}", (runc / "usr" / "sbin" / "runc").read_bytes())
        plugins = {p.name: p for p in (cni / "usr" / "lib" / "cni").iterdir()}
        publish(release, "cni-plugins", cni_version, "cni-plugins-linux-{arch}-v{version}.tgz", tar(plugins))
        publish(release, "crictl", "0.0.1", "crictl-v{version}-linux-{arch}.tar.gz", tar({"crictl": cri}))

    (output / "programs").mkdir(exist_ok=True)
    for package, program in {"busybox-static": "bin/busybox", "catatonit": "usr/bin/catatonit"}.items():
        content = (own.unpack(package)[0] / program).read_bytes()
        (output / "programs" / Path(program).name).write_bytes(content)
    (output / "overrides.json").write_text(json.dumps(overrides, indent=2))


if __name__ == "__main__":
    main()
