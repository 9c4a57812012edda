# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options by which a module finds Elasticsearch, and logs in."""

from __future__ import annotations


class ModuleDocFragment:
    """The options in plugins/module_utils/elasticsearch_config.py:CONNECTION."""

    DOCUMENTATION = r"""
options:
  url:
    description:
      - URLs of the nodes, or of what stands before them; also C(ELASTICSEARCH_URL), with commas in between. A node that
        is away is left for the next.
      - C(http) is for this very machine only.
    type: list
    elements: str
  ca_path:
    description:
      - File with the CAs of the server's certificate, those of the system by default; also C(ELASTICSEARCH_CACERT).
    type: path
    aliases: [ca_cert]
  client_cert:
    description: File with a client certificate, for the realm C(pki); also C(ELASTICSEARCH_CLIENT_CERT).
    type: path
  client_key:
    description: File with the key of the client certificate; also C(ELASTICSEARCH_CLIENT_KEY).
    type: path
  username:
    description: User of any realm that takes passwords; also C(ELASTICSEARCH_USERNAME).
    type: str
  password:
    description: Password of the user; also C(ELASTICSEARCH_PASSWORD).
    type: str
  api_key:
    description: API key in its encoded form, in place of a user; also C(ELASTICSEARCH_API_KEY).
    type: str
"""
