# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What data_volumes may be asked for: every refusal names what is wrong and what to write instead."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.node.volume_wish import parse_size, parse_wish
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

THUMBPRINT = "4Bl2Sv4ScXnjAtVAuxG9RrHFgzR0XKUWCuKqvDnhmpE"
SERVERS = [{"zone": f"zone-{zone}", "url": f"http://tang-{zone}", "thumbprint": THUMBPRINT} for zone in "abc"]
VOLUME: dict[str, Any] = {
    "name": "vault",
    "device": "/dev/disk/by-id/x",
    "path": "/var/lib/vault",
    "fstype": "ext4",
    "owner": "root",
    "group": "root",
    "mode": "700",
    "options": ["nodev"],
    "min_size": "100G",
}


def wish(volume: dict[str, Any] | None = None, *more: dict[str, Any], **parameters: Any) -> Any:
    known: dict[str, Any] = {
        "volumes": [{**VOLUME, **(volume or {})}, *more],
        "unlock": "tang",
        "tang_servers": SERVERS,
        "tang_threshold": 2,
        "tpm2_pcrs": [7],
        "key_file": "/run/key",
        "escrow_certificate": "PEM",
        "escrow_header": True,
        "escrowed": {},
        "environment": "prod",
        "dm_crypt": True,
    }
    return parse_wish(copy.deepcopy({**known, **parameters}))


def test_a_good_wish_is_completed() -> None:
    parsed = wish()
    volume = parsed.volumes[0]
    assert (volume.mode, volume.min_size, volume.label, volume.mapping) == (
        "0700",
        100 << 30,
        "data-vault",
        "/dev/mapper/data-vault",
    )
    assert parsed.dm_crypt
    assert json.loads(parsed.unlock.clevis_config()) == {
        "t": 2,
        "pins": {"tang": [{"url": f"http://tang-{zone}", "thp": THUMBPRINT} for zone in "abc"]},
    }


@pytest.mark.parametrize(
    ("volume", "said"),
    [
        ({"name": "Vault"}, "small letters"),
        ({"name": "va-ult"}, "small letters"),
        ({"name": "v" * 32}, "31"),
        ({"path": "var/lib/vault"}, "absolute path"),
        ({"path": "/var/lib/../vault"}, "absolute path"),
        ({"path": "/"}, "absolute path"),
        ({"path": "/var"}, "not a place"),
        ({"mode": "rwx"}, "octal"),
        ({"options": ["nodev,suid"]}, "one option an entry"),
        ({"min_size": "lots"}, "100G"),
    ],
)
def test_a_bad_volume_is_refused_by_name(volume: dict[str, Any], said: str) -> None:
    with pytest.raises(Failure) as refused:
        wish(volume)
    assert said in f"{refused.value.cause} {refused.value.next_step}"
    assert f"volume {volume.get('name', 'vault')}: " in refused.value.cause


@pytest.mark.parametrize("what", ["name", "path", "device"])
def test_two_volumes_cannot_share(what: str) -> None:
    other = {**VOLUME, "name": "etcd", "path": "/var/lib/etcd", "device": "/dev/disk/by-id/y", what: VOLUME[what]}
    with pytest.raises(Failure, match=f"two volumes have the {what} {VOLUME[what]}"):
        wish({}, other)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(Failure) as refused:
        wish(
            {"mode": "rwx"},
            {**VOLUME, "name": "Etcd", "device": "/dev/disk/by-id/y", "path": "/srv/etcd"},
            tang_servers=[],
        )
    assert all(part in refused.value.cause for part in ("(1) volume vault", "(2) volume Etcd", "(3) data_volumes_tang"))


@pytest.mark.parametrize(
    ("servers", "threshold", "said"),
    [
        (SERVERS, 4, "4 of 3 servers"),
        (SERVERS, 0, "0 of 3 servers"),
        ([{**SERVERS[0], "url": "tang-a"}, *SERVERS[1:]], 2, "no URL"),
        ([{**SERVERS[0], "thumbprint": ""}, *SERVERS[1:]], 2, "no thumbprint"),
        (SERVERS, 3, "when zone-a is lost, 2 of the 3 needed servers are left"),
        ([*SERVERS, {**SERVERS[0], "url": "http://tang-a2"}], 2, "the servers of zone-a alone can open"),
        (SERVERS, 1, "the servers of zone-a alone can open"),
    ],
)
def test_tang_servers_outlive_any_zone_and_none_has_enough_alone(
    servers: list[dict[str, str]], threshold: int, said: str
) -> None:
    with pytest.raises(Failure, match=said):
        wish(tang_servers=servers, tang_threshold=threshold)


@pytest.mark.parametrize("pcrs", [[], [24], [-1]])
def test_registers_of_the_tpm(pcrs: list[int]) -> None:
    with pytest.raises(Failure, match="no registers"):
        wish(unlock="tpm2", tpm2_pcrs=pcrs)
    assert wish(unlock="tpm2").unlock.described() == {"method": "tpm2", "pcrs": [7]}


def test_a_key_file_is_for_the_lab() -> None:
    with pytest.raises(Failure, match="for the lab only"):
        wish(unlock="key_file")
    assert wish(unlock="key_file", environment="lab").unlock.method == "key_file"


@pytest.mark.parametrize("environment", ["development", "staging", "prod"])
def test_unencrypted_volumes_are_for_the_lab(environment: str) -> None:
    with pytest.raises(Failure, match="unencrypted"):
        wish(unlock="key_file", environment=environment, dm_crypt=False)


def test_without_dm_crypt_only_a_key_file_can_be_tried() -> None:
    with pytest.raises(Failure, match="tang cannot be tried"):
        wish(environment="lab", dm_crypt=False)
    assert not wish(unlock="key_file", environment="lab", dm_crypt=False).dm_crypt


@pytest.mark.parametrize(
    ("text", "size"), [("512", 512), ("64M", 64 << 20), ("100GiB", 100 << 30), ("1 TB", 1 << 40), ("2K", 2048)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "G", "1P", "-1G", "1.5G"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(Failure):
        parse_size(text)
