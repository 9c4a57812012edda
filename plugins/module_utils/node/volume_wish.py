# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `data_volumes` may be asked for, checked as far as that needs no node."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any, List, Mapping

from ansible_collections.banking.platform.plugins.module_utils.node.luks import TangServer, Unlock
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

# No hyphen, so that <host>-<volume>.cms names one volume only.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_MODE = re.compile(r"0?[0-7]{3,4}")
_SIZE = re.compile(r"(\d+)\s*([KMGT]?)(i?B)?")
_LABEL_LENGTH = {"ext4": 16, "xfs": 12}


@dataclass
class WantedVolume:
    """A volume as it should be. `min_size` in bytes."""

    name: str
    path: str
    device: str
    fstype: str = "ext4"
    owner: str = "root"
    group: str = "root"
    mode: str = "0755"
    options: List[str] = field(default_factory=list)
    min_size: int = 0

    @property
    def label(self) -> str:
        """The label of the LUKS2 header, which is also the name of the open volume below /dev/mapper."""
        return f"data-{self.name}"

    @property
    def mapping(self) -> str:
        """Where the open volume is."""
        return f"/dev/mapper/{self.label}"

    @property
    def fs_label(self) -> str:
        """The label of the file system: the name, as far as the file system has room for it."""
        return self.name[: _LABEL_LENGTH[self.fstype]]


@dataclass
class Wish:
    """What the module was asked for.

    Attributes:
        volumes, unlock: see there.
        certificate: X.509 certificate in PEM that escrowed keys are encrypted to.
        escrow_header: whether a backup of the header is escrowed too.
        escrowed: SHA-256 by file name of what the controller has already.
        dm_crypt: false where the inventory says that the kernel has none; only the lab may.
    """

    volumes: List[WantedVolume]
    unlock: Unlock
    certificate: str
    escrow_header: bool = True
    escrowed: Mapping[str, str] = field(default_factory=dict)
    dm_crypt: bool = True


def parse_wish(parameters: Mapping[str, Any]) -> Wish:
    """Check the module's parameters as far as that needs no node.

    Raises:
        Failure: naming everything that is wrong, and what to write instead.
    """
    problems: List[Failure] = []
    volumes = []
    environment = parameters["environment"]
    unavailable = not parameters["dm_crypt"]
    if unavailable and environment != "lab":
        raise Failure(
            f"platform_unavailable.features lists dm_crypt, but the environment is {environment!r}: "
            "data would lie unencrypted",
            "take dm_crypt off the list; only the lab may have unencrypted data volumes",
        )
    for entry in parameters["volumes"]:
        try:
            volumes.append(_volume(entry))
        except Failure as failure:
            problems.append(Failure(f"volume {entry['name']}: {failure.cause}", failure.next_step))
    for what in ("name", "path", "device"):
        seen = [getattr(volume, what) for volume in volumes]
        problems += [
            Failure(f"two volumes have the {what} {value}", "give each its own")
            for value in sorted(set(seen))
            if seen.count(value) > 1
        ]
    unlock = None
    try:
        unlock = _unlock(parameters, environment)
        if unavailable and unlock.method != "key_file":
            raise Failure(
                f"data_volumes_unlock: {unlock.method} cannot be tried where no volume can be opened (no dm-crypt)",
                "set it to key_file for this lab",
            )
    except Failure as failure:
        problems.append(failure)
    if problems or unlock is None:
        raise joined(problems)
    return Wish(
        volumes,
        unlock,
        parameters["escrow_certificate"],
        parameters["escrow_header"],
        parameters["escrowed"],
        not unavailable,
    )


def _volume(entry: Mapping[str, Any]) -> WantedVolume:
    if not _NAME.fullmatch(entry["name"]):
        raise Failure(
            "a name has up to 31 small letters, digits and underscores, and begins with a letter",
            "give it another name",
        )
    path = entry["path"]
    if path != os.path.normpath(path) or path.count("/") < 2 or not path.startswith("/"):
        raise Failure(f"{path!r} is not a place for a data volume", "give an absolute path such as /var/lib/vault")
    if not _MODE.fullmatch(entry["mode"]):
        raise Failure(f"mode {entry['mode']!r} is not octal", "write it as '0750'")
    if re.search(r"[\s,]", "".join(entry["options"])):
        raise Failure(f"mount options {entry['options']} hold a comma or a blank", "write one option an entry")
    return WantedVolume(
        name=entry["name"],
        path=path,
        device=entry["device"],
        fstype=entry["fstype"],
        owner=entry["owner"],
        group=entry["group"],
        mode=entry["mode"].zfill(4),
        options=list(entry["options"]),
        min_size=parse_size(entry["min_size"]) if entry["min_size"] else 0,
    )


def parse_size(text: str) -> int:
    """Bytes of a size such as 64M, 100G or 1T, in powers of 1024.

    Raises:
        Failure: when it is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if not match or int(match.group(1)) == 0:
        raise Failure(f"{text!r} is no size", "write it as 100G")
    return int(match.group(1)) * 1024 ** " KMGT".index(match.group(2) or " ")


def _unlock(parameters: Mapping[str, Any], environment: str) -> Unlock:
    method = parameters["unlock"]
    if method == "tang":
        return _tang(parameters["tang_servers"], parameters["tang_threshold"])
    if method == "tpm2":
        pcrs = parameters["tpm2_pcrs"]
        if not pcrs or not all(0 <= pcr <= 23 for pcr in pcrs):
            raise Failure(
                f"data_volumes_tpm2_pcrs: {pcrs} are no registers of a TPM", "7 stands for the state of secure boot"
            )
        return Unlock("tpm2", pcrs=pcrs)
    if environment != "lab":
        raise Failure(
            f"data_volumes_unlock: key_file is for the lab only, and the environment is {environment!r}",
            "use tang or tpm2",
        )
    return Unlock("key_file", key_file=parameters["key_file"])


def _tang(servers: List[Mapping[str, Any]], threshold: int) -> Unlock:
    """Tang servers of which any zone can be lost, and of which no zone alone can open a volume."""
    if not 1 <= threshold <= len(servers):
        raise Failure(
            f"data_volumes_tang_threshold: {threshold} of {len(servers)} servers cannot be had",
            "list the servers of all zones in data_volumes_tang_servers; two of three is usual",
        )
    for server in servers:
        if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", server["url"]):
            raise Failure(
                f"data_volumes_tang_servers: {server['url']!r} is no URL", "write it as http://tang.zone-a.bank.example"
            )
        if not re.fullmatch(r"[A-Za-z0-9_-]{27,}", server["thumbprint"]):
            raise Failure(
                f"data_volumes_tang_servers: {server['url']} has no thumbprint, so that anybody could pass for it",
                "run tang-show-keys on the server, and compare what it says by another way than the network",
            )
    zones = [server["zone"] for server in servers]
    for zone in sorted(set(zones)):
        left = len(servers) - zones.count(zone)
        if left < threshold:
            raise Failure(
                f"data_volumes_tang_servers: when {zone} is lost, {left} of the {threshold} needed servers are left",
                "add a server in another zone, or lower data_volumes_tang_threshold",
            )
        if zones.count(zone) >= threshold:
            raise Failure(
                f"data_volumes_tang_servers: the servers of {zone} alone can open the volumes of its nodes",
                "raise data_volumes_tang_threshold, so that disks and servers stolen from one zone stay closed",
            )
    return Unlock("tang", [TangServer(s["url"], s["thumbprint"], s["zone"]) for s in servers], threshold)


def joined(problems: List[Failure]) -> Failure:
    """Several failures as one, numbered."""
    if len(problems) == 1:
        return problems[0]
    causes = "; ".join(f"({number}) {problem.cause}" for number, problem in enumerate(problems, 1))
    steps = [f"({number}) {problem.next_step}" for number, problem in enumerate(problems, 1) if problem.next_step]
    return Failure(causes, "; ".join(steps))
