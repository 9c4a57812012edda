# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `metallb` delivers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered

Render = Callable[..., Rendered]
POOL = ["10.20.9.10-10.20.9.50"]
ROUTERS = {
    "as_number": 64512,
    "peers": [
        {"name": "tor-a", "address": "10.20.1.1", "as_number": 64500, "zone": "zone-a"},
        {"name": "core", "address": "2001:db8::1", "as_number": 64501},
    ],
}


def kinds(found: Rendered) -> set[str]:
    return {kind for kind, _name in found.objects} - {"Namespace"}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(
    ("announce", "wanted", "speaker", "frr"),
    [
        ("layer2", {"IPAddressPool", "L2Advertisement"}, True, False),
        ("bgp", {"IPAddressPool", "BGPAdvertisement", "BGPPeer", "BFDProfile"}, True, True),
        ("calico", {"IPAddressPool"}, False, False),
    ],
)
def test_each_way_has_its_own_objects_and_no_others(
    rendered: Render, release: str, announce: str, wanted: set[str], speaker: bool, frr: bool
) -> None:
    found = rendered("metallb", release, metallb_pool=POOL, metallb_announce=announce, metallb_bgp=ROUTERS)
    assert kinds(found) == wanted
    values = found.values["metallb"]
    assert (values["speaker"]["enabled"], values["speaker"]["frr"]["enabled"]) == (speaker, frr)
    # The default of the newer chart is another one.
    assert values["frrk8s"] == {"enabled": False}
    assert found.objects["IPAddressPool", "platform"]["spec"]["addresses"] == POOL


def test_a_router_of_a_zone_is_told_by_its_nodes(rendered: Render) -> None:
    found = rendered("metallb", "2024.1", metallb_pool=POOL, metallb_announce="bgp", metallb_bgp=ROUTERS).objects
    near, all_of_them = (found["BGPPeer", name]["spec"] for name in ("tor-a", "core"))
    assert near["nodeSelectors"] == [{"matchLabels": {"topology.kubernetes.io/zone": "zone-a"}}]
    assert "nodeSelectors" not in all_of_them
    assert all_of_them["peerAddress"] == "2001:db8::1"
    assert near["bfdProfile"] == "platform"


def test_without_addresses_nothing_is_announced(rendered: Render) -> None:
    assert kinds(rendered("metallb", "2024.1")) == set()


@pytest.mark.parametrize(
    ("release", "path"), [("2024.1", ("controller", "tlsMinVersion")), ("2026.2", ("tls", "minVersion"))]
)
def test_the_minimum_of_tls_is_the_platforms(rendered: Render, release: str, path: tuple[str, str]) -> None:
    values = rendered("metallb", release).values["metallb"]
    assert values[path[0]][path[1]] == "VersionTLS13"


def test_what_is_declared_is_asked_for(rendered: Render) -> None:
    found = rendered("metallb", "2026.2")
    values = found.values["metallb"]
    for name in ("controller", "speaker"):
        assert set(values[name]["resources"]["requests"]) == {"cpu", "memory"}
    assert values["prometheus"]["metricsPort"] == 7472
    assert {entry["port"] for entry in found.declared.metrics} == {7472}  # type: ignore[union-attr]
