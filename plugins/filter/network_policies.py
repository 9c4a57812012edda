# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What guards a namespace, made of what the roles declare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.banking.platform.plugins.module_utils import authorization_policies as mesh_policies
from ansible_collections.banking.platform.plugins.module_utils import declarations, quotas
from ansible_collections.banking.platform.plugins.module_utils import network_policies as network
from ansible_collections.banking.platform.plugins.module_utils.declarations import Declaration, DeclarationError


def network_policies(
    declared: Mapping[str, Any],
    namespaces: Sequence[str],
    addresses: Mapping[str, Sequence[str]],
    places: Mapping[str, Any] | None = None,
    edges: Sequence[Mapping[str, Any]] = (),
    mesh: Sequence[str] = (),
    dns: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """NetworkPolicies that guard namespaces; what cannot be made a policy of is an error of the template."""
    try:
        return network.policies(_edges(declared, namespaces, addresses, places, edges, mesh, dns), namespaces)
    except (network.PolicyError, DeclarationError) as error:
        raise AnsibleFilterError(f"banking.platform.network_policies: {error}") from error


def authorization_policies(
    declared: Mapping[str, Any],
    namespaces: Sequence[str],
    addresses: Mapping[str, Sequence[str]],
    places: Mapping[str, Any] | None = None,
    edges: Sequence[Mapping[str, Any]] = (),
    mesh: Sequence[str] = (),
    dns: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """AuthorizationPolicies of the same edges, for the namespaces in the mesh."""
    try:
        allowed = _edges(declared, namespaces, addresses, places, edges, mesh, dns)
        return mesh_policies.authorization_policies(allowed, mesh)
    except (network.PolicyError, DeclarationError) as error:
        raise AnsibleFilterError(f"banking.platform.authorization_policies: {error}") from error


def mesh_principals(names: Sequence[str], declared: Mapping[str, Any]) -> list[str]:
    """The identities of workloads in the mesh."""
    try:
        return mesh_policies.principals(_parsed(declared), names)
    except (network.PolicyError, DeclarationError) as error:
        raise AnsibleFilterError(f"banking.platform.mesh_principals: {error}") from error


def _edges(
    declared: Mapping[str, Any],
    namespaces: Sequence[str],
    addresses: Mapping[str, Sequence[str]],
    places: Mapping[str, Any] | None,
    edges: Sequence[Mapping[str, Any]],
    mesh: Sequence[str],
    dns: Sequence[str],
) -> list[network.Edge]:
    surroundings = network.Surroundings(addresses, places or {}, dns, mesh)
    return network.edges_of(_parsed(declared), namespaces, surroundings, edges)


def namespace_quotas(
    declared: Mapping[str, Any],
    namespaces: Sequence[str],
    addresses: Mapping[str, Sequence[str]],
    budget: Mapping[str, Any] | None = None,
    headroom: int = 25,
    sidecar: Mapping[str, Any] | None = None,
    mesh: Sequence[str] = (),
) -> dict[str, dict[str, str]]:
    """The `hard` of a ResourceQuota by namespace; what cannot be read is an error of the template."""
    try:
        return quotas.quotas(
            _parsed(declared).values(),
            list(namespaces),
            {role: len(hosts) for role, hosts in addresses.items()},
            budget or {},
            int(headroom),
            declarations.resources("sidecar.requests", (sidecar or {}).get("requests")),
            declarations.resources("sidecar.limits", (sidecar or {}).get("limits")),
            mesh,
        )
    except ValueError as error:
        raise AnsibleFilterError(f"banking.platform.namespace_quotas: {error}") from error


def _parsed(declared: Mapping[str, Any]) -> dict[str, Declaration | None]:
    return {name: declarations.parse(name, data) if data is not None else None for name, data in declared.items()}


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {
            "network_policies": network_policies,
            "authorization_policies": authorization_policies,
            "mesh_principals": mesh_principals,
            "namespace_quotas": namespace_quotas,
        }
