# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What AuthorizationPolicies let pass at a sidecar with strict mutual TLS, by the words of the API and of nothing else.

Source: https://istio.io/latest/docs/reference/config/security/authorization-policy/
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ansible_collections.banking.platform.tests.unit.roles.tenancy.simulator import Pod

ROOT = "istio-system"  # policies there hold for the whole mesh


class Sidecars:
    """A mesh's policies, asked about one connection at a time.

    Args:
        policies: objects of the kind AuthorizationPolicy, of the fields that are ours: a source's principals and
            namespaces, an operation's ports.
    """

    def __init__(self, policies: Iterable[Mapping[str, Any]]) -> None:
        self._policies = list(policies)

    def passing(self, identity: str | None, target: Pod, ports: Collection[int]) -> set[int]:
        """Which ports somebody reaches.

        Args:
            identity: `<trust domain>/ns/<namespace>/sa/<account>` of who connects; None for whoever has no certificate.
            target: a pod with a sidecar.
            ports: those of the pod that are asked for.
        """
        if identity is None:
            return set()  # strict
        specs = [item.get("spec") or {} for item in self._policies if _selects(item, target)]
        allowing = [spec for spec in specs if spec.get("action", "ALLOW") == "ALLOW"]
        denying = [spec for spec in specs if spec.get("action") == "DENY"]
        assert len(allowing) + len(denying) == len(specs)
        return {
            port
            for port in ports
            if not any(_matches(spec, identity, port) for spec in denying)
            and (not allowing or any(_matches(spec, identity, port) for spec in allowing))
        }


def _selects(policy: Mapping[str, Any], target: Pod) -> bool:
    labels = ((policy.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return policy["metadata"]["namespace"] in (ROOT, target.namespace) and all(
        target.labels.get(key) == value for key, value in labels.items()
    )


def _matches(spec: Mapping[str, Any], identity: str, port: int) -> bool:
    """Whether a rule holds; without any, none does. A rule needs a source and an operation where it names some."""
    return any(
        _any(rule.get("from"), "source", lambda source: _is_source(source, identity))
        and _any(rule.get("to"), "operation", lambda operation: _is_operation(operation, port))
        for rule in spec.get("rules") or ()
    )


def _any(listed: Any, key: str, holds: Any) -> bool:
    return listed is None or any(holds(entry[key]) for entry in listed)


def _is_source(source: Mapping[str, Any], identity: str) -> bool:
    assert set(source) <= {"principals", "namespaces"}
    namespace = identity.split("/")[2]
    return ("principals" not in source or identity in source["principals"]) and (
        "namespaces" not in source or namespace in source["namespaces"]
    )


def _is_operation(operation: Mapping[str, Any], port: int) -> bool:
    assert set(operation) == {"ports"}
    return str(port) in operation["ports"]
