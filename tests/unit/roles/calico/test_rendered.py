# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `calico` delivers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered

Render = Callable[..., Rendered]


def _pod(item: dict[str, Any], deployment: str) -> dict[str, Any]:
    return dict(item["spec"][deployment]["spec"]["template"]["spec"])


@pytest.mark.parametrize("release", RELEASES)
def test_what_is_delivered_is_what_is_declared(rendered: Render, release: str) -> None:
    found = rendered("calico", release)
    installation, apiserver = found.objects["Installation", "default"], found.objects["APIServer", "default"]
    assert installation["spec"]["controlPlaneReplicas"] == found.workload("apiserver").replicas
    pods = {
        "node": _pod(installation, "calicoNodeDaemonSet"),
        "controllers": _pod(installation, "calicoKubeControllersDeployment"),
        "typha": _pod(installation, "typhaDeployment"),
        "apiserver": _pod(apiserver, "apiServerDeployment"),
    }
    for name, pod in pods.items():
        wanted = found.workload(name)
        [container] = pod["containers"]
        assert set(container["resources"]) == {"requests"}, name
        assert bool(pod.get("topologySpreadConstraints")) == ("zone" in wanted.spread), name
        assert bool(pod.get("affinity")) == ("node" in wanted.spread), name
    assert found.values["tigera-operator"]["resources"]["limits"] == {"memory": "256Mi"}


@pytest.mark.parametrize("release", RELEASES)
def test_the_pool_of_tunnels_is_none_of_the_installation(rendered: Render, release: str) -> None:
    """The operator refuses a pool outside of kubeadm's network, and makes none of its own where there is one."""
    found = rendered("calico", release, calico_encapsulation="VXLAN", kubernetes_pod_cidr="10.99.0.0/16")
    installation, tunnels = found.objects["Installation", "default"], found.objects["IPPool", "tunnels"]
    [pool] = installation["spec"]["calicoNetwork"]["ipPools"]
    assert (pool["cidr"], pool["allowedUses"], pool["encapsulation"]) == ("10.99.0.0/16", ["Workload"], "VXLAN")
    assert (tunnels["spec"]["vxlanMode"], tunnels["spec"]["ipipMode"]) == ("Always", "Never")
    waves = [int(item["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]) for item in (installation, tunnels)]
    assert waves == sorted(set(waves))


def test_without_tunnels_there_is_no_pool_of_them(rendered: Render) -> None:
    plain = {"calico_encapsulation": "None", "calico_bgp": {"as_number": 64512}}
    assert ("IPPool", "tunnels") not in rendered("calico", "2024.1", **plain).objects
    encrypted = rendered("calico", "2026.2", **plain, calico_wireguard=True).objects
    assert encrypted["IPPool", "tunnels"]["spec"]["vxlanMode"] == "Never"
    assert encrypted["FelixConfiguration", "default"]["spec"]["wireguardEnabled"] is True
    assert encrypted["Installation", "default"]["spec"]["calicoNetwork"]["bgp"] == "Enabled"


def test_a_peer_of_a_zone_is_that_of_its_nodes(rendered: Render) -> None:
    peers = [
        {"name": "router-a", "address": "10.20.1.1", "as_number": 64513, "zone": "zone-a"},
        {"name": "core", "address": "10.20.0.1", "as_number": 64514},
    ]
    found = rendered("calico", "2026.2", calico_bgp={"as_number": 64512, "node_mesh": False, "peers": peers}).objects
    assert found["BGPPeer", "router-a"]["spec"] == {
        "peerIP": "10.20.1.1",
        "asNumber": 64513,
        "nodeSelector": 'topology.kubernetes.io/zone == "zone-a"',
    }
    assert "nodeSelector" not in found["BGPPeer", "core"]["spec"]
    assert found["BGPConfiguration", "default"]["spec"] == {"asNumber": 64512, "nodeToNodeMeshEnabled": False}


def test_images_come_from_the_registry_that_is_named(rendered: Render) -> None:
    found = rendered("calico", "2024.1", calico_registry="harbor.example.org/calico")
    assert found.objects["Installation", "default"]["spec"]["registry"] == "harbor.example.org/calico/"
    assert found.values["tigera-operator"]["tigeraOperator"] == {"registry": "harbor.example.org/calico"}


def test_each_release_has_its_crds_and_a_guard_of_the_api(rendered: Render) -> None:
    old, new = (rendered("calico", release) for release in RELEASES)
    assert (set(old.values), ("PodDisruptionBudget", "calico-apiserver") in old.objects) == ({"tigera-operator"}, True)
    assert set(new.values) == {"tigera-operator", "crd.projectcalico.org.v1"}
    assert new.values["tigera-operator"]["manageCRDs"] is False
    assert ("PodDisruptionBudget", "calico-apiserver") not in new.objects
