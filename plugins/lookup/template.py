# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: template
short_description: A rendered template, without a copy of all variables
version_added: 0.1.0
author: banking.platform contributors (@banking-platform)
description:
  - Renders a file with the variables of the task, as P(ansible.builtin.template#lookup) does.
  - That one makes a deep copy of every variable of the run first, at each call.
    A value of a role that is made of a template is rendered each time it is used, so that the copies took
    two fifths of the time in which the platform is rendered.
  - A template sees the variables of the task, and not those that the calling template sets; pass these as
    O(template_vars).
options:
  _terms:
    description: Files, below C(templates) of the role or with their whole path.
    type: list
    elements: path
    required: true
  template_vars:
    description: Variables for these files only.
    type: dict
    default: {}
seealso:
  - plugin: ansible.builtin.template
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Show what a role declares about itself
  ansible.builtin.debug:
    msg: "{{ lookup('banking.platform.template', role_path ~ '/meta/platform.yml') | from_yaml }}"
"""

RETURN = r"""
_raw:
  description: The texts.
  type: list
  elements: str
"""

import os
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.template import trust_as_template


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)
        given = {**(variables or {}), **self.get_option("template_vars")}
        return [self._rendered(term, given) for term in terms]

    def _rendered(self, term: str, variables: dict[str, Any]) -> str:
        path = self.find_file_in_search_path(variables, "templates", term)
        if not path:
            raise AnsibleError(f"the template {term} is not there - next: put it below templates of the role")
        # `include` and `import` look beside the file first, as they do for a task's templates.
        roles = variables.get("ansible_search_path", [])
        searchpath = [os.path.dirname(path), *(part for top in roles for part in (os.path.join(top, "templates"), top))]
        engine = self._templar.copy_with_new_env(searchpath=searchpath, available_variables=variables)
        text = trust_as_template(self._loader.get_text_file_contents(path))
        return engine.template(text, escape_backslashes=False, overrides={"trim_blocks": True})
