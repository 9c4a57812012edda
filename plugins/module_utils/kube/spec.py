# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the modules that talk to an API server."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.plan import APPROVED

# The names are kubernetes.core's, so that one `module_defaults` serves both.
CONNECTION: dict[str, dict[str, Any]] = {
    "kubeconfig": {"type": "raw", "no_log": True},
    "context": {"type": "str"},
    "host": {"type": "str"},
    "api_key": {"type": "str", "no_log": True},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "validate_certs": {"type": "bool", "aliases": ["verify_ssl"]},
    "ca_cert": {"type": "path", "aliases": ["ssl_ca_cert"]},
    "client_cert": {"type": "path", "aliases": ["cert_file"]},
    "client_key": {"type": "path", "aliases": ["key_file"]},
    "proxy": {"type": "str"},
    "no_proxy": {"type": "str"},
    "proxy_headers": {
        "type": "dict",
        "options": {
            "proxy_basic_auth": {"type": "str", "no_log": True},
            "basic_auth": {"type": "str", "no_log": True},
            "user_agent": {"type": "str"},
        },
    },
    "persist_config": {"type": "bool"},
    "impersonate_user": {"type": "str"},
    "impersonate_groups": {"type": "list", "elements": "str"},
    "retry_for": {"type": "float", "default": 60},
}

APPLY: dict[str, dict[str, Any]] = {
    **CONNECTION,
    "component": {"type": "str", "required": True},
    "objects": {"type": "list", "elements": "dict", "default": []},
    "state": {"type": "str", "choices": ["present", "absent", "ready", "handed_over"], "default": "present"},
    "wait": {"type": "bool", "default": False},
    "timeout": {"type": "float", "default": 300},
    "prune": {"type": "bool", "default": True},
    "prune_protected": {"type": "bool", "default": False},
    "take_over": {"type": "bool", "default": False},
    "take_over_from": {"type": "list", "elements": "str", "default": []},
    "hand_over_to": {"type": "str", "default": "argocd-controller"},
    "unless": {"type": "str"},
    "create_only": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "apiVersion": {"type": "str", "required": True},
            "kind": {"type": "str", "required": True},
            "namespace": {"type": "str"},
            "name": {"type": "str", "required": True},
        },
    },
    "inventory_namespace": {"type": "str", "default": "kube-system"},
    "packed": {"type": "str", "no_log": True},
    **APPROVED,
    "waiting": {"type": "bool", "default": False},
    "wait_slice": {"type": "float", "default": 0},
}

DRAIN: dict[str, dict[str, Any]] = {
    **CONNECTION,
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["drained", "cordoned", "uncordoned"], "default": "drained"},
    "timeout": {"type": "float", "default": 300},
    "grace_period": {"type": "int"},
    "delete_emptydir_data": {"type": "bool", "default": False},
    "delete_unmanaged": {"type": "bool", "default": False},
    "leave": {"type": "str", "default": ""},
}

NODES: dict[str, dict[str, Any]] = {
    **CONNECTION,
    "nodes": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "labels": {"type": "dict", "default": {}},
            "taints": {"type": "list", "elements": "dict", "default": []},
        },
    },
}

NODE_GATE: dict[str, dict[str, Any]] = {
    **CONNECTION,
    "nodes": {"type": "list", "elements": "str", "required": True},
    "version": {"type": "str", "default": ""},
    "budgets": {"type": "bool", "default": True},
    "ignored_budgets": {"type": "list", "elements": "str", "default": []},
    "timeout": {"type": "float", "default": 600},
}

REWRITE: dict[str, dict[str, Any]] = {
    **CONNECTION,
    "resources": {"type": "list", "elements": "str", "default": ["secrets"]},
}


def pack(objects: Sequence[Mapping[str, Any]]) -> str:
    """Make one value of the objects, which a module masks as a whole, and never logs.

    Args:
        objects: of JSON types.
    """
    text = json.dumps(objects, separators=(",", ":")).encode()
    return base64.b64encode(gzip.compress(text, compresslevel=1, mtime=0)).decode()


def unpack(packed: str) -> list[dict[str, Any]]:
    """The objects again."""
    return json.loads(gzip.decompress(base64.b64decode(packed)))
