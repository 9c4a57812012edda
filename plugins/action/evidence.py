# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Render the record of a run as a page. Connects to no host."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import evidence, record
from ansible_collections.banking.platform.plugins.plugin_utils.run_folder import run_folder


class ActionModule(ActionBase):
    """The whole of `banking.platform.evidence`."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Find the run, render it, and write the page where it differs from the one that is there."""
        result: dict[str, Any] = super().run(tmp, task_vars or {})
        _validation, arguments = self.validate_argument_spec({"run": {"type": "path"}, "dest": {"type": "path"}})
        try:
            folder = Path(arguments["run"]).absolute() if arguments["run"] else self._last()
            if folder.name in record.FILES:
                folder = folder.parent
            page = evidence.render(evidence.load(folder))
            path = Path(arguments["dest"]).absolute() if arguments["dest"] else folder / record.FILES[2]
            changed = not path.is_file() or path.read_text(encoding="utf-8") != page
            if changed and not self._task.check_mode:
                record.write_whole(path, page)
        except Failure as failure:
            return result | {
                "failed": True,
                "msg": f"{failure.cause} - next: {failure.next_step}",
                "next_step": failure.next_step,
            }
        except OSError as error:
            return result | {
                "failed": True,
                "msg": f"the page cannot be written: {error}",
                "next_step": "name a file in a folder that is there and may be written to, with `dest`",
            }
        return result | {"changed": changed, "run": str(folder), "path": str(path), "size": len(page.encode())}

    @staticmethod
    def _last() -> Path:
        cli = context.CLIARGS
        playbook = next(iter(cli.get("args") or ()), "")
        runs = run_folder(playbook, cli, os.environ.get("PLATFORM_RECORD_FOLDER")) / "runs"
        return evidence.last(runs, without=os.path.basename(playbook))
