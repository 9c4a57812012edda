# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options by which a module finds an API server. The names are those of kubernetes.core."""

from __future__ import annotations


class ModuleDocFragment:
    """The options in plugins/module_utils/kube/spec.py:CONNECTION."""

    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - Path of a kubeconfig, or several with C(:) in between, or its content as a dictionary.
      - In a pod its service account, elsewhere C(~/.kube/config) by default; also C(K8S_AUTH_KUBECONFIG).
    type: raw
  context:
    description: The kubeconfig's context, its current one by default; also C(K8S_AUTH_CONTEXT).
    type: str
  host:
    description: URL of the API server; also C(K8S_AUTH_HOST).
    type: str
  api_key:
    description: Bearer token; also C(K8S_AUTH_API_KEY).
    type: str
  username:
    description: Name for basic authentication; also C(K8S_AUTH_USERNAME).
    type: str
  password:
    description: Password for basic authentication; also C(K8S_AUTH_PASSWORD).
    type: str
  validate_certs:
    description: Whether the server's certificate is verified; also C(K8S_AUTH_VERIFY_SSL).
    type: bool
    aliases: [verify_ssl]
  ca_cert:
    description: File with the CA of the server's certificate; also C(K8S_AUTH_SSL_CA_CERT).
    type: path
    aliases: [ssl_ca_cert]
  client_cert:
    description: File with a client certificate; also C(K8S_AUTH_CERT_FILE).
    type: path
    aliases: [cert_file]
  client_key:
    description: File with the key of the client certificate; also C(K8S_AUTH_KEY_FILE).
    type: path
    aliases: [key_file]
  proxy:
    description: URL of an HTTP or SOCKS proxy; also C(K8S_AUTH_PROXY).
    type: str
  no_proxy:
    description: Hosts, domains, networks reached directly, with commas in between; also C(K8S_AUTH_NO_PROXY).
    type: str
  proxy_headers:
    description: Headers for the proxy.
    type: dict
    suboptions:
      proxy_basic_auth:
        description: Name and password for the proxy, with a colon in between.
        type: str
      basic_auth:
        description: Name and password, with a colon in between.
        type: str
      user_agent:
        description: What the client calls itself.
        type: str
  persist_config:
    description: Taken so that defaults for kubernetes.core fit; renewed tokens are never written into the kubeconfig.
    type: bool
  impersonate_user:
    description: User to act as; also C(K8S_AUTH_IMPERSONATE_USER).
    type: str
  impersonate_groups:
    description: Groups to act as; also C(K8S_AUTH_IMPERSONATE_GROUPS), with commas in between.
    type: list
    elements: str
  retry_for:
    description: How long a request is tried again when the server is away or busy, in seconds.
    type: float
    default: 60
"""
