# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encryption at rest, as a control-plane node and as a member of etcd see it: which keys an API server has loaded, and
with which keys the objects in etcd were written. Names of keys only, nothing of what they are or hide."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from collections import Counter
from dataclasses import dataclass
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from ansible_collections.banking.platform.plugins.module_utils.node.kubeadm import COMPONENTS, own_server
from ansible_collections.banking.platform.plugins.module_utils.node.system import System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

CLEAR = "not encrypted"
_POLL = 5.0
_PAGE = 100
_MOST_NAMED = 5
_NAME = re.compile(r'"name": *"([^"]+)"')
_PROVIDER = re.compile(r"^ *- (secretbox|aescbc|aesgcm):", re.MULTILINE)
# https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/#configure-automatic-reloading
_RELOADED = re.compile(
    r"^apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds"
    r'\{[^}]*status="success"[^}]*\} (\S+)',
    re.MULTILINE,
)
_STARTED = re.compile(r"^process_start_time_seconds (\S+)", re.MULTILINE)
_WRITTEN_WITH = re.compile(rb"k8s:enc:([a-z]+):v1:([^:]+):")


@dataclass
class Places:
    """Where things are on a node. Tests put others in their place."""

    config: str = "/etc/kubernetes/apiserver/encryption.yaml"
    manifest: str = f"/etc/kubernetes/manifests/{COMPONENTS[0]}.yaml"
    admin: str = "/etc/kubernetes/admin.conf"
    kubectl: str = "/usr/local/bin/kubectl"
    etcdctl: str = "/usr/local/bin/etcdctl"
    etcd: str = "/etc/etcd/etcdctl.env"


class Loaded:
    """The keys of this node's API server.

    Args:
        system: the node.
        timeout: seconds that the server has to load a file that was changed. It looks once a minute.
    """

    def __init__(self, system: System, timeout: float, places: Optional[Places] = None) -> None:
        self.system, self.timeout, self.places = system, timeout, places or Places()
        self.clock: Callable[[], float] = time.monotonic
        self.sleep: Callable[[float], None] = time.sleep

    def look(self) -> Tuple[str, List[str]]:
        """The provider and the names of its keys in order, once the server has loaded them; nothing without a file.

        Raises:
            Failure: when the server has not loaded the file in time.
        """
        try:
            with open(self.places.config, encoding="utf-8") as file:
                text = file.read()
            written = os.stat(self.places.config).st_mtime
        except FileNotFoundError:
            return "", []
        deadline = self.clock() + self.timeout
        while True:
            said = self._metrics()
            if said is not None and any(float(when) >= written for when in said):
                break
            if self.clock() > deadline:
                trouble = "does not answer" if said is None else "has not loaded it"
                raise Failure(
                    f"{self.places.config} was changed, and the API server {trouble} after {self.timeout:g} s",
                    "its log in /var/log/pods says why; a file that it cannot read leaves it with the one before",
                )
            self.sleep(_POLL)
        provider = _PROVIDER.search(text)
        return provider[1] if provider else "", _NAME.findall(text)

    def _metrics(self) -> Optional[List[str]]:
        """When the server started, and when it last loaded the file anew; None when it does not answer."""
        with open(self.places.manifest, encoding="utf-8") as file:
            server = own_server(file.read())
        argv = [self.places.kubectl, "--kubeconfig", self.places.admin, "--server", server, "--request-timeout=20s"]
        done = self.system.run([*argv, "get", "--raw", "/metrics"])
        return [*_STARTED.findall(done.out), *_RELOADED.findall(done.out)] if done.ok else None


class Stored:
    """Objects in etcd by the key that they were written with, read through this member with a majority's consent."""

    def __init__(self, system: System, places: Optional[Places] = None) -> None:
        self.system, self.places = system, places or Places()
        self.counts: Dict[str, Dict[str, int]] = {}

    def look(self, resources: Sequence[str], wanted: str = "") -> None:
        """Count, into `counts`: by resource, and by `<provider> <key>` or CLEAR.

        Args:
            resources: as the API server's configuration names them: `secrets`, or `<resource>.<group>`.
            wanted: `<provider> <key>` that all have to have; empty for any.

        Raises:
            Failure: when some have another one, with the names of the first; or when etcd does not answer.
        """
        others: List[str] = []
        for resource in resources:
            counted: Counter = Counter()
            for prefix in prefixes(resource):
                for key, value in self._objects(prefix):
                    found = _WRITTEN_WITH.match(value)
                    how = f"{found[1].decode()} {found[2].decode()}" if found else CLEAR
                    counted[how] += 1
                    if wanted and how != wanted:
                        others.append(f"{key[len('/registry/') :]} ({how})")
            self.counts[resource] = dict(sorted(counted.items()))
        if others:
            total = sum(sum(counted.values()) for counted in self.counts.values())
            more = f" and {len(others) - _MOST_NAMED} more" if len(others) > _MOST_NAMED else ""
            raise Failure(
                f"{len(others)} of {total} objects in etcd are not written with {wanted}: "
                f"{', '.join(others[:_MOST_NAMED])}{more}",
                "write them again: run playbooks/rotate_keys.yml again, which goes on where it stopped",
            )

    def _objects(self, prefix: str) -> Iterator[Tuple[str, bytes]]:
        """Keys below a prefix with the beginnings of their values, page by page."""
        start, end = prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)
        while True:
            argv = [*etcdctl(self.places), "get", start, end, "--limit", str(_PAGE), "--write-out", "json"]
            done = self.system.run(argv, timeout=120)
            if not done.ok:
                raise Failure(f"etcd: {done.last_lines()}", "bring etcd back to a majority first")
            found = json.loads(done.out).get("kvs") or []
            for entry in found:
                value = base64.b64decode(entry.get("value", "")[:400])
                yield base64.b64decode(entry["key"]).decode(), value
            if len(found) < _PAGE:
                return
            # No name has a character below this one, so nothing is left out.
            start = base64.b64decode(found[-1]["key"]).decode() + "\x01"


def prefixes(resource: str) -> List[str]:
    """Where the API servers keep a resource in etcd: kinds of Kubernetes by their name, others below their group."""
    name, _dot, group = resource.partition(".")
    if "*" in resource:
        raise Failure(
            f"what {resource} stands for cannot be looked up in etcd",
            "name the resources in kubernetes_encrypted_resources",
        )
    return [f"/registry/{name}/", *([f"/registry/{group}/{name}/"] if group else [])]


def etcdctl(places: Places) -> List[str]:
    """etcdctl with the options that the role `etcd` leaves in a file on its members.

    Raises:
        Failure: when this is none.
    """
    try:
        with open(places.etcd, encoding="utf-8") as file:
            lines = [line.strip() for line in file if "=" in line and not line.startswith("#")]
    except FileNotFoundError as error:
        raise Failure(
            f"{places.etcd} is not there", "run it on a member of etcd, after playbooks/cluster.yml"
        ) from error
    known = {name: value.strip('"') for name, _equals, value in (line.partition("=") for line in lines)}
    options = {name: known.get(f"ETCDCTL_{name.upper()}") for name in ("endpoints", "cacert", "cert", "key")}
    return [places.etcdctl, *(f"--{name}={value}" for name, value in options.items() if value)]
