# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: declarations
short_description: What the roles declare
version_added: 0.1.0
author: banking.platform contributors (@banking-platform)
description:
  - Reads C(meta/platform.yml) of all roles, rendered with their defaults and the variables of the run over them.
  - It is what P(banking.platform.preflight#module) proves things from.
  - Policies, monitors and schedules are made from them.
  - A role that runs on servers is rendered as one of its servers, all others as the controller.
options:
  _terms:
    description: Names of roles; all of them without a name.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Show who listens where
  ansible.builtin.debug:
    msg: "{{ lookup('banking.platform.declarations').postgresql.ports }}"
"""

RETURN = r"""
_raw:
  description: One dictionary, the declarations by role; V(null) for a component that is not enabled.
  type: list
  elements: dict
"""

import functools
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.banking.platform.plugins.module_utils import declarations
from ansible_collections.banking.platform.plugins.module_utils.findings import nearest
from ansible_collections.banking.platform.plugins.module_utils.topology import ROLES_OF_NODES
from ansible_collections.banking.platform.plugins.plugin_utils.declarations import Roles, Settings, raw_variables


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, Any]]:
        self.set_options(var_options=variables, direct=kwargs)
        given = variables or {}
        roles = Roles(self._loader)
        known = [role.name for role in roles.roles if role.declaration is not None]
        for term in terms:
            if term not in known:
                raise AnsibleError(f"the role {term} declares nothing: {nearest(term, known)}")
        hostvars = given["hostvars"]
        settings = functools.cache(
            lambda host: Settings(self._templar, roles.defaults, raw_variables(hostvars, host), hostvars)
        )
        names = self._templar.template(given.get("platform_groups") or {})
        groups = {role: given["groups"].get(names.get(role, role), []) for role in ROLES_OF_NODES}
        found: dict[str, Any] = {}
        for role, render in roles.renderers(settings, groups):
            if terms and role not in terms:
                continue
            try:
                found[role] = data = render()
                if declarations.parse(role, data) is None:
                    found[role] = None
            except declarations.DeclarationError as error:
                raise AnsibleError(str(error)) from error
        return [found]
