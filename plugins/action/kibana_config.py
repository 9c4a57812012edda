# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hand what is declared to one module run, as one value that is masked and never logged."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils.kibana_config import DECLARED, SECRETS
from ansible_collections.banking.platform.plugins.plugin_utils import declared


class ActionModule(ActionBase):
    """The controller's half of `banking.platform.kibana_config`."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Configure, and say of a failure what to do next."""
        result: dict[str, Any] = super().run(tmp, task_vars or {})
        result.update(declared.run(self, "kibana_config", DECLARED, SECRETS, task_vars or {}))
        return result
