# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""AuthorizationPolicies of allowed edges, for pods with a sidecar: the second lock beside NetworkPolicies.

They are made of the same edges (`network_policies.edges_of`), so that the two cannot disagree. A NetworkPolicy knows a
peer by its address; a sidecar knows it by the certificate of its service account
(https://istio.io/latest/docs/reference/config/security/authorization-policy/).
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Optional, Set, Tuple

from ansible_collections.banking.platform.plugins.module_utils.declarations import Declaration
from ansible_collections.banking.platform.plugins.module_utils.findings import nearest
from ansible_collections.banking.platform.plugins.module_utils.network_policies import (
    DEFAULT_DENY,
    MERGED_METRICS,
    Edge,
    End,
    Pods,
    PolicyError,
    Port,
)

# What a sidecar leaves to itself: metrics, health, Envoy's own statistics. No policy is asked about them.
# https://istio.io/latest/docs/ops/deployment/application-requirements/#ports-used-by-istio
UNCAPTURED = (MERGED_METRICS, 15021, 15090)
# Where gateways are: proxies themselves, with an identity and without a sidecar.
GATEWAYS = "istio-system"
TRUST_DOMAIN = "cluster.local"  # Istio's own
_MOST_PORTS = 100  # that a range may have: each is written out

_Source = Tuple[str, str]


def authorization_policies(
    edges: Iterable[Edge], mesh: Iterable[str], trust_domain: str = TRUST_DOMAIN
) -> List[Dict[str, Any]]:
    """AuthorizationPolicies that let exactly these edges pass, as far as they end in a pod with a sidecar.

    Args:
        edges: all that is allowed.
        mesh: namespaces whose pods have sidecars, with strict mutual TLS. Each gets a policy that allows nothing,
            and one for each selector of pods that an edge leads to.
        trust_domain: what identities begin with.

    Returns:
        Objects in a stable order.

    Raises:
        PolicyError: an edge that a sidecar cannot be told of: only one kind of policy would let it pass.
    """
    guarded = set(mesh)
    rules: Dict[Pods, Dict[_Source, Set[int]]] = {}
    accounts: Dict[Tuple[str, str], str] = {}
    for edge in edges:
        target = edge.target
        if not isinstance(target, Pods) or target.namespace not in guarded:
            continue
        # Sidecars carry TCP alone.
        ports = _captured(edge) if edge.port.protocol == "TCP" else []
        if ports:
            source = _source(edge, guarded, trust_domain)
            _hold_apart(edge.source, accounts)
            rules.setdefault(target._replace(account=""), {}).setdefault(source, set()).update(ports)
    made = {(namespace, DEFAULT_DENY): _policy(namespace, DEFAULT_DENY, {}) for namespace in guarded}
    for pods, sources in rules.items():
        spec = {**_selector(pods), "action": "ALLOW", "rules": _rules(sources)}
        made[(pods.namespace, pods.name)] = _policy(pods.namespace, pods.name, spec)
    return [made[key] for key in sorted(made, key=lambda key: (key[0], key[1] != DEFAULT_DENY, key[1]))]


def principals(
    declared: Mapping[str, Optional[Declaration]], names: Iterable[str], trust_domain: str = TRUST_DOMAIN
) -> List[str]:
    """The identities of workloads, such as `banking_apps/banking-app`, as rules of the mesh name them.

    Args:
        declared: declarations by role; None for a component that is not enabled, whose workloads are left out.
        names: `<component>/<workload>`.
        trust_domain: what identities begin with.

    Raises:
        PolicyError: for a workload that is not there, or that the mesh would not know.
    """
    found = []
    for name in names:
        component, _slash, workload = name.partition("/")
        if component not in declared:
            raise PolicyError(f"{name}: there is no component {component!r}: {nearest(component, declared)}")
        known = {item.name: item for item in getattr(declared[component], "workloads", ())}
        if declared[component] and workload not in known:
            raise PolicyError(f"{name}: {component} has no workload {workload!r}: {nearest(workload, known)}")
        if declared[component]:
            if not known[workload].service_account:
                raise PolicyError(
                    f"{name} has no service_account, by which the mesh would know it: name it in "
                    f"roles/{component}/meta/platform.yml"
                )
            found.append(_principal(trust_domain, known[workload].namespace, known[workload].service_account))
    return sorted(set(found))


def _principal(trust_domain: str, namespace: str, account: str) -> str:
    return f"{trust_domain}/ns/{namespace}/sa/{account}"


def _captured(edge: Edge) -> List[int]:
    """The ports of an edge that come through the sidecar."""
    port: Port = edge.port
    if port.last - port.first >= _MOST_PORTS:
        raise PolicyError(
            f"{_said(edge)}: {port.last - port.first + 1} ports are too many for the mesh: name those that are used"
        )
    return [number for number in range(port.first, port.last + 1) if number not in UNCAPTURED]


def _source(edge: Edge, mesh: Set[str], trust_domain: str) -> _Source:
    """How a sidecar knows the source: the field of a `source`, and its value."""
    source = edge.source
    if isinstance(source, Pods) and source.namespace in (*mesh, GATEWAYS):
        if source.account:
            return "principals", _principal(trust_domain, source.namespace, source.account)
        if source.selector == "{}":
            return "namespaces", source.namespace
        raise PolicyError(
            f"{_said(edge)}: {source.name} has no service_account, and its target is in the mesh, which knows it by"
            " that: name it where the pods are declared"
        )
    raise PolicyError(
        f"{_said(edge)}: its target is in the mesh and takes no connection without a sidecar's certificate; "
        f"{source.namespace if isinstance(source, Pods) else 'its source'} has none: give that namespace sidecars "
        "(tenancy_namespaces, mesh: true), or let the connection come by a gateway"
    )


def _hold_apart(source: End, accounts: Dict[Tuple[str, str], str]) -> None:
    """An account that two kinds of pods share would open to both what is allowed to one."""
    if isinstance(source, Pods) and source.account:
        known = accounts.setdefault((source.namespace, source.account), source.selector)
        if known != source.selector:
            raise PolicyError(
                f"{source.namespace}: the service account {source.account!r} is of two kinds of pods, {known} and "
                f"{source.selector}: give each its own"
            )


def _selector(pods: Pods) -> Dict[str, Any]:
    """A workload selector, which knows equal labels only."""
    selector = pods.label_selector
    if selector.get("matchExpressions"):
        raise PolicyError(
            f"{pods.namespace}/{pods.name}: the mesh finds pods by matchLabels only: give them a label of their own"
        )
    return {"selector": selector} if selector else {}


def _rules(sources: Dict[_Source, Set[int]]) -> List[Dict[str, Any]]:
    """One rule for all sources with the same ports."""
    by_ports: Dict[Tuple[int, ...], Dict[str, List[str]]] = {}
    for (field, value), ports in sorted(sources.items()):
        by_ports.setdefault(tuple(sorted(ports)), {}).setdefault(field, []).append(value)
    return [
        {
            # Separately: the fields of one source have to hold together.
            "from": [{"source": {field: values}} for field, values in sorted(by_ports[ports].items())],
            "to": [{"operation": {"ports": [str(port) for port in ports]}}],
        }
        for ports in sorted(by_ports)
    ]


def _policy(namespace: str, name: str, spec: Dict[str, Any]) -> Dict[str, Any]:
    return {
        "apiVersion": "security.istio.io/v1beta1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def _said(edge: Edge) -> str:
    """An edge as errors name it."""
    ends = [
        f"{end.namespace}/{end.name}" if isinstance(end, Pods) else ", ".join(end.cidrs)
        for end in (edge.source, edge.target)
    ]
    ports = str(edge.port.first) if edge.port.first == edge.port.last else f"{edge.port.first}-{edge.port.last}"
    return f"{ends[0]} to {ends[1]}, port {ports}"
