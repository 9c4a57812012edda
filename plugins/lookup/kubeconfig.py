# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: kubeconfig
short_description: A kubeconfig for this run, with a client certificate that is soon over
version_added: 0.1.0
author: banking.platform contributors (@banking-platform)
description:
  - Makes a key and signs a certificate for it with the authority C(kubernetes) in C(platform_ca_dir), of the group
    C(system:masters). So the playbooks that build the cluster need no C(admin.conf) from a node, and the audit log has
    the name of whoever runs them.
  - Only for an option that takes a kubeconfig and is never logged, as O(banking.platform.drain#module:kubeconfig). Each
    use makes another certificate.
  - In check mode, before there is such an authority, it has no certificate.
options:
  _terms:
    description:
      - URLs of API servers. The kubeconfig is for the first one that takes a connection.
      - By default port 8443 of C(api_lb_virtual_ip), where there is one, and of the control-plane nodes.
    type: list
    elements: str
    default: []
  minutes:
    description: How long the certificate is valid.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Take a node out of service
  banking.platform.drain:
    kubeconfig: "{{ lookup('banking.platform.kubeconfig') }}"
    name: worker-a1
  delegate_to: localhost
"""

RETURN = r"""
_raw:
  description: The kubeconfig.
  type: list
  elements: dict
"""

import base64
import getpass
import socket
from typing import Any
from urllib.parse import urlsplit

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils.authorities import store_of

_AUTHORITY = "kubernetes"
_GROUP = "system:masters"
_PATIENCE = 2.0  # seconds for a connection
_PORT = 8443


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        """A kubeconfig for one of these API servers."""
        self.set_options(var_options=variables, direct=kwargs)
        known = variables or {}
        servers = terms or self._servers(known)
        if not servers:
            raise AnsibleError("kubeconfig: no API server is named - next: put a host into the control plane's group")
        server = next((url for url in servers if _answers(url)), servers[0])
        try:
            store = store_of(self, known)
            if known.get("ansible_check_mode") and not store.has(_AUTHORITY):
                return [_kubeconfig({"server": server}, "nobody", {})]
            user = f"platform:{getpass.getuser()}"
            key, certificate = store.issue(_AUTHORITY, user, [_GROUP], self.get_option("minutes") / 1440)
            trusted = _data(store.authority(_AUTHORITY).bundle)
        except Failure as failure:
            raise AnsibleError(f"{failure.cause} - next: {failure.next_step}") from None
        return [
            _kubeconfig(
                {"server": server, "certificate-authority-data": trusted},
                user,
                {"client-certificate-data": _data(certificate), "client-key-data": _data(key)},
            )
        ]

    def _servers(self, known: dict[str, Any]) -> list[str]:
        """Where HAProxy takes clients (role api_lb)."""

        def variable(name: str, of: Any = known) -> Any:
            return self._templar.template(of[name]) if name in of else ""

        group = (variable("platform_groups") or {}).get("control_plane", "")
        hosts = known.get("groups", {}).get(group, [])
        addresses = [variable("platform_address", known["hostvars"][host]) for host in hosts]
        return [
            f"https://{f'[{address}]' if ':' in address else address}:{_PORT}"
            for address in [variable("api_lb_virtual_ip"), *addresses]
            if address
        ]


def _answers(url: str) -> bool:
    where = urlsplit(url)
    try:
        socket.create_connection((where.hostname, where.port or 443), timeout=_PATIENCE).close()
    except (OSError, ValueError):
        return False
    return True


def _data(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _kubeconfig(cluster: dict[str, str], user: str, credentials: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "platform", "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": "platform", "context": {"cluster": "platform", "user": user}}],
        "current-context": "platform",
    }
