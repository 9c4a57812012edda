# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: run_folder
short_description: The folder on the controller that has the records of this inventory's runs
version_added: 0.1.0
author: banking.platform contributors (@banking-platform)
description:
  - Where the callback P(banking.platform.record#callback) keeps its records, C(runs) in it, so that what a task fetches
    from hosts can lie beside them.
options:
  _terms:
    description: A folder below it; none for itself.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Fetch what a scan found
  ansible.builtin.fetch:
    src: /root/found.xml
    dest: "{{ lookup('banking.platform.run_folder', 'compliance') }}/"
    flat: true
"""

RETURN = r"""
_raw:
  description: The folder, which need not be there yet.
  type: list
  elements: path
"""

import os
from typing import Any

from ansible import context
from ansible.plugins.lookup import LookupBase

from ansible_collections.banking.platform.plugins.plugin_utils.run_folder import run_folder


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        """The folder of the inventory of this run, or one below it."""
        self.set_options(var_options=variables, direct=kwargs)
        cli = context.CLIARGS
        playbook = next(iter(cli.get("args") or ()), "")
        return [str(run_folder(playbook, cli, os.environ.get("PLATFORM_RECORD_FOLDER")).joinpath(*terms))]
