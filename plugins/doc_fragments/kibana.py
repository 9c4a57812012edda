# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options by which a module finds Kibana, and logs in."""

from __future__ import annotations


class ModuleDocFragment:
    """The options in plugins/module_utils/kibana_config.py:CONNECTION."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - URL of Kibana, with its base path where it has one, and without a space; also C(KIBANA_URL).
      - C(http) is for this very machine only.
    type: str
  ca_path:
    description: File with the CAs of the server's certificate, those of the system by default; also C(KIBANA_CACERT).
    type: path
    aliases: [ca_cert]
  client_cert:
    description: File with a client certificate, for a log-in by PKI; also C(KIBANA_CLIENT_CERT).
    type: path
  client_key:
    description: File with the key of the client certificate; also C(KIBANA_CLIENT_KEY).
    type: path
  username:
    description: User of any realm that takes passwords; also C(KIBANA_USERNAME).
    type: str
  password:
    description: Password of the user; also C(KIBANA_PASSWORD).
    type: str
  api_key:
    description: API key of Elasticsearch in its encoded form, in place of a user; also C(KIBANA_API_KEY).
    type: str
"""
