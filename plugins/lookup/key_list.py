# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: key_list
short_description: Symmetric keys of the platform, for a template of a sensitive file
version_added: 0.1.0
author: banking.platform contributors (@banking-platform)
description:
  - Decrypts a list of keys that M(banking.platform.authorities) has made in C(platform_ca_dir).
  - Only for templates of files that M(banking.platform.converge) knows as C(sensitive). A variable or a task that uses
    it would show the keys.
  - In check mode a list that is still to be made is empty.
options:
  _terms:
    description: Names of lists.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: In a template
  ansible.builtin.debug:
    msg: "{{ query('banking.platform.key_list', 'secrets') | map(attribute='name') }}"
"""

RETURN = r"""
_raw:
  description: The keys of all lists, each C({name, secret}) with the secret in Base64. New data takes the first.
  type: list
  elements: dict
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils.authorities import store_of


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, str]]:
        """The keys of these lists."""
        self.set_options(var_options=variables, direct=kwargs)
        known = variables or {}
        try:
            store = store_of(self, known)
            wanted = [name for name in terms if store.has(name) or not known.get("ansible_check_mode")]
            keys = [key for name in wanted for key in store.keys(name)]
            return [{part: key[part] for part in ("name", "secret")} for key in keys]
        except Failure as failure:
            raise AnsibleError(f"{failure.cause} - next: {failure.next_step}") from None
