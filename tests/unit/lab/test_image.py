# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node image: package sources of the machine, and what its name depends on."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.lab import image
from ansible_collections.banking.platform.plugins.module_utils.lab.image import Apt, Source, for_release, parse_sources
from ansible_collections.banking.platform.plugins.module_utils.lab.network import Target
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

DEB822 = """\
Types: deb deb-src
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian.gpg

Types: deb
URIs: https://mirror.example:8443/security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main
"""
ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://other.example/debian  bookworm   main  # why
deb https://tools.example node_20.x main
deb-src http://source.example/debian bookworm main
"""


def test_both_formats_are_read():
    found = parse_sources({"/etc/apt/sources.list.d/debian.sources": DEB822, "/etc/apt/sources.list": ONE_LINE})
    assert [source.line() for source in found] == [
        "deb [arch=amd64 signed-by=/k.gpg] http://other.example/debian bookworm main",
        "deb https://tools.example node_20.x main",
        "deb [signed-by=/usr/share/keyrings/debian.gpg] http://mirror.example/debian bookworm main contrib",
        "deb [signed-by=/usr/share/keyrings/debian.gpg] http://mirror.example/debian bookworm-updates main contrib",
        "deb https://mirror.example:8443/security bookworm-security main",
    ]


def test_another_release_comes_from_the_same_mirrors():
    found = [
        Source("http://a", suite, "main")
        for suite in ("bookworm", "bookworm-security", "bookworm-backports", "cloud-sdk-bookworm", "node_20.x")
    ]
    assert [source.suite for source in for_release(found, "trixie", "bookworm")] == ["trixie", "trixie-security"]
    assert [source.suite for source in for_release(found, "bookworm", "bookworm")] == ["bookworm", "bookworm-security"]


def test_sources_of_the_release_itself_are_taken_too():
    found = [Source("http://a", "bookworm", "main"), Source("http://a", "trixie", "main")]
    assert for_release(found, "trixie", "bookworm") == [Source("http://a", "trixie", "main")]


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ([], {("mirror.example", 80), ("secure.example", 443), ("odd.example", 8080)}),
        (['Acquire::http::Proxy "http://proxy.example:3128/";'], {("proxy.example", 3128)}),
        (['Acquire::Check-Date "false";'], {("mirror.example", 80), ("secure.example", 443), ("odd.example", 8080)}),
    ],
    ids=["direct", "proxy", "other-setting"],
)
def test_nodes_reach_the_mirrors_or_the_proxy(settings: list[str], wanted: set[tuple[str, int]]):
    uris = ["http://mirror.example/debian", "https://secure.example/debian", "http://odd.example:8080/x"]
    apt = Apt([Source(uri, "bookworm", "main") for uri in uris], settings)
    assert apt.hosts() == wanted


def test_targets_are_all_addresses_of_a_mirror(monkeypatch: pytest.MonkeyPatch):
    def resolve(host: str, port: int, *_kind: Any) -> list[Any]:
        return [(0, 0, 0, "", (f"192.0.2.{last}", port)) for last in (1, 2)] * 2

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    apt = Apt([Source("http://mirror.example", "bookworm", "main")], [])
    assert image.targets(apt, [IPv4Address("192.0.2.53")]) == [
        Target(IPv4Address("192.0.2.53"), "udp", 53),
        Target(IPv4Address("192.0.2.53"), "tcp", 53),
        Target(IPv4Address("192.0.2.1"), "tcp", 80),
        Target(IPv4Address("192.0.2.2"), "tcp", 80),
    ]


def test_mirror_without_an_address_is_named(monkeypatch: pytest.MonkeyPatch):
    def resolve(*_what: Any) -> list[Any]:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    with pytest.raises(Failure, match=r"mirror\.example .* Name or service not known"):
        image.targets(Apt([Source("http://mirror.example", "bookworm", "main")], []), [])


def test_machine_without_the_release_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(image, "run", lambda _argv: "LIST='/nowhere'\nPARTS='/nowhere.d'\n")
    with pytest.raises(Failure) as caught:
        image.machine_apt("bookworm")
    assert "no source for Debian bookworm" in caught.value.cause
    assert "lab_release" in caught.value.next_step


def test_another_recipe_is_another_image():
    tags = {image.tag("bookworm", []), image.tag("trixie", []), image.tag("bookworm", ["jq"])}
    assert len(tags) == 3
    assert image.tag("bookworm", ["a", "b"]) == image.tag("bookworm", ["b", "a"])
