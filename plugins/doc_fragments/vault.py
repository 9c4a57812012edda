# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options by which a module finds Vault or OpenBao, and logs in."""

from __future__ import annotations


class ModuleDocFragment:
    """The options in plugins/module_utils/vault.py:CONNECTION."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - URLs of the members; also C(VAULT_ADDR), with commas in between. A member that is away or sealed is left for
        the next, and a standby's redirect is followed to a member of this list only.
      - C(http) is for this very machine only.
    type: list
    elements: str
  ca_path:
    description: File with the CAs of the server's certificate, those of the system by default; also C(VAULT_CACERT).
    type: path
    aliases: [ca_cert]
  client_cert:
    description: File with a client certificate; also C(VAULT_CLIENT_CERT).
    type: path
  client_key:
    description: File with the key of the client certificate; also C(VAULT_CLIENT_KEY).
    type: path
  namespace:
    description: Namespace, where there are any; also C(VAULT_NAMESPACE).
    type: str
  auth_method:
    description: How to log in. The token of a log-in is revoked at the end.
    type: str
    choices: [token, approle, cert]
    default: token
  auth_mount:
    description: Where the auth method is mounted, by default at its own name.
    type: str
  token:
    description: Token; also C(VAULT_TOKEN).
    type: str
  token_file:
    description: File with the token, read where there is no O(token); by default C(~/.vault-token).
    type: path
  role_id:
    description: Role of the AppRole; also C(VAULT_ROLE_ID).
    type: str
  secret_id:
    description: Secret of the AppRole; also C(VAULT_SECRET_ID).
    type: str
  cert_role:
    description: Role of the log-in by certificate; by default the first that fits.
    type: str
"""
