# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put together what kube-bench or OpenSCAP found on nodes. Connects to no host."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import cis, record, xccdf
from ansible_collections.banking.platform.plugins.plugin_utils.run_folder import run_folder

# The file of the report, and what its figures are called.
_SCANNERS = {
    "kube-bench": ("cis.json", "CIS checks", "nodes held against CIS"),
    "openscap": ("hosts.json", "rules for hosts", "hosts scanned by OpenSCAP"),
}


class ActionModule(ActionBase):
    """The whole of `banking.platform.cis_report`."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make the report, and write it and the scans themselves where they differ from what is there."""
        result: dict[str, Any] = super().run(tmp, task_vars or {})
        _validation, arguments = self.validate_argument_spec(
            {
                "scanner": {"choices": list(_SCANNERS), "default": "kube-bench"},
                "results": {"type": "list", "elements": "dict", "default": []},
                "nodes": {"type": "list", "elements": "str", "required": True},
                "skipped": {
                    "type": "list",
                    "elements": "dict",
                    "default": [],
                    "options": {"id": {"required": True}, "reason": {"required": True}},
                },
                "dest": {"type": "path"},
            }
        )
        folder = Path(arguments["dest"]).absolute() if arguments["dest"] else self._beside_records()
        try:
            found, files = self._found(arguments, folder)
            changed = [name for name, text in files.items() if not _is(folder / name, text)]
            if changed and not self._task.check_mode:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                for name in changed:
                    record.write_whole(folder / name, files[name])
        except Failure as failure:
            return result | {
                "failed": True,
                "msg": f"{failure.cause} - next: {failure.next_step}",
                "next_step": failure.next_step,
            }
        except OSError as error:
            step = "name a folder that may be written to, with `dest`"
            return result | {"failed": True, "msg": f"the report cannot be written: {error} - next: {step}"}
        name, checks, scanned = _SCANNERS[arguments["scanner"]]
        nodes = len(arguments["nodes"])
        return result | {
            "changed": bool(changed),
            "path": str(folder / name),
            "findings": [asdict(finding) for finding in found.findings],
            "measurements": [
                {"name": f"{checks} that fail", "value": found.totals["fail"], "unit": "checks", "goal": 0},
                {"name": f"{checks} that pass", "value": found.totals["pass"], "unit": "checks"},
                {"name": scanned, "value": len(found.scanned), "unit": "nodes", "goal": f">= {nodes}"},
            ],
        }

    @staticmethod
    def _found(arguments: dict[str, Any], folder: Path) -> tuple[cis.Report, dict[str, str]]:
        """The report, and the files that it and the scans go to. Those of OpenSCAP are there already."""
        name = _SCANNERS[arguments["scanner"]][0]
        if arguments["scanner"] == "openscap":
            scans = {node: folder / f"openscap-{node}.xml.gz" for node in arguments["nodes"]}
            there = {node: path for node, path in scans.items() if path.is_file()}
            report = xccdf.report(there, arguments["nodes"], arguments["skipped"])
            return report, {name: report.text()}
        report = cis.report(arguments["results"], arguments["nodes"])
        files = {
            f"kube-bench-{scan['node']}.json": scan["result"]
            for scan in arguments["results"]
            if scan.get("node") in report.scanned
        }
        return report, {name: report.text()} | files

    @staticmethod
    def _beside_records() -> Path:
        cli = context.CLIARGS
        playbook = next(iter(cli.get("args") or ()), "")
        return run_folder(playbook, cli, os.environ.get("PLATFORM_RECORD_FOLDER")) / "compliance"


def _is(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text
