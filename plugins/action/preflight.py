# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prove on the controller what can be proved from the inventory alone. Connects to no host and changes nothing."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils.topology import check_topology, read_inventory


class ActionModule(ActionBase):
    """The whole of `banking.platform.preflight`."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Report every finding at once, and fail when one of them is an error."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        _validation, arguments = self.validate_argument_spec(
            {
                "groups": {"type": "dict", "required": True},
                "zones": {"type": "list", "elements": "str", "required": True},
                "environment": {"type": "str", "required": True},
            }
        )
        nodes, members = read_inventory(variables["hostvars"], variables["groups"], arguments["groups"])
        findings = check_topology(nodes, arguments["zones"], members, arguments["environment"])
        errors = [finding for finding in findings if finding.severity == "error"]
        result.update(changed=False, findings=[vars(finding) for finding in findings])
        if errors:
            result.update(
                failed=True,
                msg=f"{len(errors)} error(s) in the inventory, nothing was changed:\n"
                + "\n".join(f"  {finding}" for finding in errors),
            )
        return result
