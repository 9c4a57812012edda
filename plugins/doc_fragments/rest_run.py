# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of every module on the engine of HTTP APIs."""

from __future__ import annotations


class ModuleDocFragment:
    """The options in plugins/module_utils/rest_run.py:OPTIONS; what is pruned, each module says itself."""

    DOCUMENTATION = r"""
options:
  update_secrets:
    description:
      - Whether to write what the server never gives back although the thing is there. This is a change each time.
    type: bool
    default: false
  approved:
    description: The part of the approved plan that nothing may differ from. Made by the action plugin.
    type: dict
  packed:
    description: What is declared, as one value. Made by the action plugin.
    type: str
"""
