# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects for tests and the benchmark."""

from __future__ import annotations

from typing import Any


def namespace(name: str) -> dict[str, Any]:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def config_map(where: str, name: str, **data: str) -> dict[str, Any]:
    """A ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": where}, "data": data}


def secret(where: str, name: str, **data: str) -> dict[str, Any]:
    """A Secret, with texts."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": where}, "stringData": data}


def service(where: str, name: str) -> dict[str, Any]:
    """A Service with two ports, whose protocol is left to the server."""
    ports = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "metrics", "port": 9090}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": where},
        "spec": {"selector": {"app": name}, "ports": ports},
    }


def deployment(where: str, name: str, replicas: int = 2) -> dict[str, Any]:
    """A Deployment with what is listed by key, by value, and whole."""
    container = {
        "name": "main",
        "image": "registry.test/app:1",
        "args": ["serve", "--port=8080"],
        "ports": [{"containerPort": 8080}],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "resources": {"limits": {"cpu": "1000m", "memory": "1Gi"}, "requests": {}},
        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
        "securityContext": {},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": where, "labels": {"app": name}, "creationTimestamp": None},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [container], "volumes": [{"name": "scratch", "emptyDir": {}}]},
            },
        },
    }


def role(where: str, name: str) -> dict[str, Any]:
    """A Role: its rules are owned as a whole."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": name, "namespace": where},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}],
    }


def network_policy(where: str, name: str) -> dict[str, Any]:
    """A policy that lets nothing in: an empty list that must stay empty."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": where},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": []},
    }


def service_account(where: str, name: str, *finalizers: str) -> dict[str, Any]:
    """A ServiceAccount; finalizers are a set of values."""
    meta = {"name": name, "namespace": where, "finalizers": list(finalizers)}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}


def crd(kind: str, group: str = "test.banking.local", **fields: str) -> dict[str, Any]:
    """A CustomResourceDefinition with fields of these types below `spec`."""
    plural = f"{kind.lower()}s"
    spec = {"type": "object", "properties": {name: {"type": type_} for name, type_ in fields.items()}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
                }
            ],
        },
    }


def many(where: str, count: int) -> list[dict[str, Any]]:
    """So many objects of four kinds in one namespace, and the namespace."""
    makers = (
        lambda name: config_map(where, name, key="value", number=name),
        lambda name: secret(where, name, password=f"secret of {name}"),
        lambda name: service(where, name),
        lambda name: deployment(where, name),
    )
    made = [makers[number % 4](f"o{number}") for number in range(count - 1)]
    return [namespace(where), *made]


def pod(where: str, name: str, node: str = "", owner: dict[str, Any] | None = None, **labels: str) -> dict[str, Any]:
    """A pod, bound to a node by hand."""
    made: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": where, "labels": labels},
        "spec": {
            "containers": [{"name": "main", "image": "registry.test/app:1"}],
            "terminationGracePeriodSeconds": 0,
            **({"nodeName": node} if node else {}),
        },
    }
    if owner:
        made["metadata"]["ownerReferences"] = [owner]
    return made
