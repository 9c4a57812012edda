# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node image: Debian from the machine's own package sources, with systemd, ssh, Python, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import socket
import tempfile
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Dict, List, Set, Tuple
from urllib.parse import urlsplit

from ansible_collections.banking.platform.plugins.module_utils.lab.network import Target
from ansible_collections.banking.platform.plugins.module_utils.lab.shell import run
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

# What a bare server brings. Everything else is for the roles to install.
PACKAGES = (
    "systemd systemd-sysv dbus libpam-systemd python3 python3-apt openssh-server iproute2 iputils-ping procps kmod "
    "nftables ca-certificates curl sudo cron"
).split()

# The account that Ansible logs in with.
USER = "ansible"

# Runs in the new root file system. Host keys and addresses come with each node, so none is left in the image; units
# that need a console or devices of the machine are masked.
_SETUP = f"""
set -eu
useradd --create-home --shell /bin/bash {USER}
printf '{USER} ALL=(ALL:ALL) NOPASSWD: ALL\\n' > /etc/sudoers.d/{USER}
chmod 0440 /etc/sudoers.d/{USER}
rm -f /etc/ssh/ssh_host_* /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/99mmdebstrap
for file in hosts hostname resolv.conf machine-id; do rm -f /etc/$file; : > /etc/$file; done
systemctl set-default multi-user.target
systemctl mask getty.target console-getty.service getty-static.service systemd-logind-varlink.socket \\
    systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service \\
    systemd-udev-settle.service systemd-remount-fs.service sys-kernel-debug.mount sys-kernel-tracing.mount \\
    e2scrub_reap.service e2scrub_all.timer
systemctl enable ssh.service
"""

# What the lab's router runs, beside the nodes' own file system so that they stay bare.
ROUTER_PACKAGES = ["bird2"]
ROUTER_ROOT = "/usr/lib/lab-router-root"
_ROUTER_SETUP = f"""
set -eu
archives=$(mktemp -d)
mkdir $archives/partial
apt-get --yes --quiet --download-only --no-install-recommends -o Dir::Cache::archives=$archives \\
    install {shlex.join(ROUTER_PACKAGES)}
for archive in $archives/*.deb; do dpkg-deb --extract $archive {ROUTER_ROOT}; done
rm -r $archives
"""

# It comes with each node (roles/lab/files/entrypoint).
_ENTRYPOINT = 'ENTRYPOINT ["/usr/lib/lab-node/entrypoint"]'

# Settings of the machine's apt that a node needs as well to reach the same mirrors.
_APT_SETTINGS = re.compile(r"^Acquire::((https?)::Proxy(::[^ ]+)?|Check-Valid-Until|Check-Date) ", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """A source of packages: one line of a sources.list."""

    uri: str
    suite: str
    components: str
    options: str = ""

    def line(self) -> str:
        """The line of a sources.list."""
        return " ".join(
            part
            for part in ("deb", self.options and f"[{self.options}]", self.uri, self.suite, self.components)
            if part
        )


@dataclass(frozen=True)
class Apt:
    """Where packages come from: lines of sources.list and of apt.conf."""

    sources: List[Source]
    settings: List[str]

    def sources_list(self) -> str:
        """A sources.list."""
        return "".join(source.line() + "\n" for source in self.sources)

    def conf(self) -> str:
        """A file for apt.conf.d. Lookups of SRV records would lead to mirrors that the allow-list doesn't know."""
        return "".join(line + "\n" for line in [*self.settings, 'Acquire::EnableSrvRecords "false";'])

    def hosts(self) -> Set[Tuple[str, int]]:
        """Names and ports of the mirrors, or of the proxies where there are any."""
        proxies = [
            match.group(1) for line in self.settings for match in [re.search(r'Proxy.* "(http[^"]+)"', line)] if match
        ]
        urls = [urlsplit(url) for url in proxies or [source.uri for source in self.sources]]
        return {(url.hostname, url.port or (443 if url.scheme == "https" else 80)) for url in urls if url.hostname}


def parse_sources(files: Dict[str, str]) -> List[Source]:
    """Read apt's sources, in both formats.

    Args:
        files: content by path; a path that ends in .sources is deb822, any other has one source a line.
    """
    sources = []
    for path, content in sorted(files.items()):
        if path.endswith(".sources"):
            for stanza in re.split(r"\n\s*\n", content):
                sources.extend(_from_stanza(stanza))
            continue
        for line in content.splitlines():
            match = re.match(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line.strip())
            if match:
                options, uri, suite, components = match.groups()
                sources.append(Source(uri, suite, " ".join(components.split()), " ".join((options or "").split())))
    return sources


def _from_stanza(stanza: str) -> List[Source]:
    fields: Dict[str, str] = {}
    key = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace():
            fields[key] = fields.get(key, "") + "\n" + line
        elif ":" in line:
            key, value = line.split(":", 1)
            key = key.strip().lower()
            fields[key] = value.strip()
    if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in ("no", "false", "0"):
        return []
    signed_by = fields.get("signed-by", "")
    # A key within the stanza cannot be said in one line; apt then takes the keys of /etc/apt/trusted.gpg.d.
    options = [f"signed-by={signed_by}"] if signed_by.startswith("/") else []
    if fields.get("trusted", "").lower() == "yes":
        options.append("trusted=yes")
    return [
        Source(uri, suite, " ".join(fields.get("components", "").split()), " ".join(options))
        for uri in fields.get("uris", "").split()
        for suite in fields.get("suites", "").split()
    ]


def for_release(sources: List[Source], release: str, machine_release: str) -> List[Source]:
    """Those sources that bring the Debian release: the machine's own, with its code name exchanged where it differs."""
    wanted = []
    for source in sources:
        name, _dash, rest = source.suite.partition("-")
        if name in (release, machine_release) and rest in ("", "updates", "security"):
            suite = f"{release}-{rest}" if rest else release
            wanted.append(Source(source.uri, suite, source.components, source.options))
    return list(dict.fromkeys(wanted))


def machine_apt(release: str) -> Apt:
    """Read the machine's apt configuration and make of it one for nodes of a Debian release.

    Raises:
        Failure: when the machine has no source for that release.
    """
    shell = run(["apt-config", "shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"])
    found = dict(word.split("=", 1) for word in shlex.split(shell))
    paths = [found.get("LIST", "")]
    parts = found.get("PARTS", "")
    if os.path.isdir(parts):
        paths += [os.path.join(parts, name) for name in os.listdir(parts) if name.endswith((".list", ".sources"))]
    files = {}
    for path in paths:
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                files[path] = file.read()
    with open("/etc/os-release", encoding="utf-8") as file:
        os_release = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
    machine_release = os_release.get("VERSION_CODENAME", "").strip('"')
    sources = for_release(parse_sources(files), release, machine_release)
    if not any(source.suite == release for source in sources):
        raise Failure(
            f"apt on this machine ({machine_release or 'not Debian'}) has no source for Debian {release}",
            "add one to /etc/apt/sources.list.d, or set lab_release to a release that it has",
        )
    settings = [
        line for line in run(["apt-config", "dump"]).splitlines() if _APT_SETTINGS.match(line) and '""' not in line
    ]
    return Apt(sources, settings)


def resolvers() -> List[IPv4Address]:
    """The machine's resolvers that a node can reach too.

    Raises:
        Failure: when there is none but on the loopback.
    """
    found: List[IPv4Address] = []
    for path in ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"):
        if os.path.exists(path) and not found:
            with open(path, encoding="utf-8") as file:
                words = [line.split() for line in file]
            named = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver" and ":" not in line[1]]
            found = [IPv4Address(name) for name in named if not IPv4Address(name).is_loopback]
    if not found:
        raise Failure(
            "this machine's only resolvers are on its loopback, where nodes cannot reach them",
            "name one with an IPv4 address of its own in /etc/resolv.conf",
        )
    return found


def targets(apt: Apt, nameservers: List[IPv4Address]) -> List[Target]:
    """What nodes may reach outside: the resolvers, and all addresses of the package mirrors.

    Raises:
        Failure: when a mirror's name has no address.
    """
    allowed = [Target(address, protocol, 53) for address in nameservers for protocol in ("udp", "tcp")]
    for host, port in sorted(apt.hosts()):
        try:
            answers = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            raise Failure(f"the package mirror {host} of this machine's apt has no IPv4 address: {error}") from None
        allowed.extend(Target(IPv4Address(address[4][0]), "tcp", port) for address in answers)
    return list(dict.fromkeys(allowed))


def recipe(release: str, preload: List[str]) -> str:
    """Everything that the image's content depends on, as text."""
    setup = [_ROUTER_SETUP, _SETUP]
    return json.dumps({"release": release, "packages": PACKAGES, "preload": sorted(preload), "setup": setup})


def tag(release: str, preload: List[str]) -> str:
    """The image's name in Podman's store: another recipe is another image."""
    return f"localhost/platform-node:{release}-{hashlib.sha256(recipe(release, preload).encode()).hexdigest()[:12]}"


def build(release: str, preload: List[str], apt: Apt, podman: List[str], env: Dict[str, str]) -> None:
    """Make the image and put it into Podman's store.

    Args:
        release: the Debian release's code name.
        preload: packages that are downloaded into the image's apt cache, but not installed.
        apt: where packages come from.
        podman: the command that speaks to Podman.
        env: the environment of that command.
    """
    scratch = tempfile.mkdtemp(prefix="platform-node-image-")
    try:
        archive = os.path.join(scratch, "root.tar")
        commands = ["apt-get clean"]
        if preload:
            download = "apt-get --yes --quiet --download-only --no-install-recommends install"
            commands.append(f"{download} {shlex.join(preload)}")
        commands += [f"sh -c {shlex.quote(script)}" for script in (_ROUTER_SETUP, _SETUP)]
        run(
            [
                "mmdebstrap",
                "--quiet",
                "--variant=minbase",
                # The package lists stay, so that nodes start with fresh ones.
                "--skip=cleanup/apt",
                f"--include={','.join(PACKAGES)}",
                *[f"--aptopt={line.rstrip(';')}" for line in apt.settings],
                *[f'--customize-hook=chroot "$1" {command}' for command in commands],
                release,
                archive,
                "-",
            ],
            stdin=apt.sources_list(),
            env={"TMPDIR": scratch},
            timeout=900,
        )
        run(
            [*podman, "import", "--quiet", "--change", _ENTRYPOINT, archive, tag(release, preload)],
            env={**env, "TMPDIR": scratch},
            timeout=300,
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    # Images of older recipes; Podman keeps those that nodes still have.
    wanted = f"reference=localhost/platform-node:{release}-*"
    names = run([*podman, "image", "ls", "--filter", wanted, "--format", "{{.Repository}}:{{.Tag}}"], env=env).split()
    for name in sorted(set(names) - {tag(release, preload)}):
        run([*podman, "image", "rm", name], env=env, check=False)
