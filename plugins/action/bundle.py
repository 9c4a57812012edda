# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make, verify and lock on the controller. Connects to no host of the inventory."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.banking.platform.plugins.module_utils import catalog
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan
from ansible_collections.banking.platform.plugins.plugin_utils import bundle
from ansible_collections.banking.platform.plugins.plugin_utils.digest_lock import Lock
from ansible_collections.banking.platform.plugins.plugin_utils.registries import Registry

_SHOWN = 5  # of what is missing, in a message; the rest is in the result and in the index
_OPTIONS: dict[str, dict[str, Any]] = {
    "state": {"type": "str", "choices": ["present", "verified", "locked"], "default": "present"},
    "dest": {"type": "path"},
    "release": {"type": "str", "required": True},
    "overrides": {"type": "dict"},
    "kubernetes_from": {"type": "str"},
    "architectures": {"type": "list", "elements": "str", "default": ["amd64"]},
    "parts": {"type": "list", "elements": "str", "choices": list(bundle.PARTS), "default": list(bundle.PARTS)},
    "components": {"type": "list", "elements": "str"},
    "mirrors": {"type": "list", "elements": "str", "default": []},
    "allow_missing": {"type": "bool", "default": False},
    "parallel": {"type": "int", "default": 4},
    "skopeo": {"type": "path", "default": "skopeo"},
}


class ActionModule(ActionBase):
    """The whole of `banking.platform.bundle`."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do what `state` says."""
        result: dict[str, Any] = super().run(tmp, task_vars or {})
        _validation, options = self.validate_argument_spec(
            _OPTIONS, required_if=[("state", "present", ["dest"]), ("state", "verified", ["dest"])]
        )
        states = {"present": self._present, "verified": self._verified, "locked": self._locked}
        try:
            if options["parallel"] < 1:
                raise Failure("parallel is below 1", "set it to the number of downloads side by side")
            return result | states[options["state"]](options)
        except Failure as failure:
            return result | _failed(failure.cause, failure.next_step)
        except catalog.CatalogError as error:
            return result | _failed(str(error), "")
        except OSError as error:
            where = error.filename or options["dest"] or catalog.FOLDER
            return result | _failed(
                f"{where}: {error.strerror or error}", "make room, or the folder writable, and run again: it goes on"
            )

    def _present(self, options: dict[str, Any]) -> dict[str, Any]:
        catalogs = _catalogs(options)
        wanted = bundle.items(
            catalogs,
            options["architectures"],
            options["mirrors"],
            options["parts"],
            options["components"],
            Registry(options["skopeo"]),
        )
        made = bundle.Bundle(options["dest"], options["release"], wanted, [step.kubernetes for step in catalogs])
        plan = made.plan()
        shown = self._shown(plan)
        there = sum(step.kind != "bundle file" and not step.changes for step in plan.steps)
        shown |= {"files": len(wanted), "there": there, "bytes_there": made.bytes_there, "missing": made.missing()}
        if self._task.check_mode:
            return shown
        shown["changed"] = made.fetch(options["parallel"], Display().v)
        shown["missing"] = made.missing()
        return shown | _lacks(shown["missing"], f"the bundle {options['dest']} lacks", len(wanted), options)

    def _verified(self, options: dict[str, Any]) -> dict[str, Any]:
        findings = bundle.verify(options["dest"], options["release"])
        result = {"changed": False, "findings": findings, "missing": bundle.stated_missing(options["dest"])}
        if not findings:
            return result
        return result | _failed(
            f"{options['dest']}: {len(findings)} files are not as they were made: " + _some(findings),
            "carry these over again, or make the bundle again: only these are fetched",
        )

    def _locked(self, options: dict[str, Any]) -> dict[str, Any]:
        lock = Lock(
            options["dest"] or catalog.FOLDER, _catalogs(options), Registry(options["skopeo"]), options["components"]
        )
        shown = self._shown(lock.plan())
        if self._task.check_mode:
            return shown
        found = lock.read(options["parallel"])
        lock.write(found)
        shown |= {"changed": any(found.values()), "locked": found, "missing": lock.missing}
        return shown | _lacks(lock.missing, "no digest for", len(shown["plan"]), options)

    def _shown(self, plan: Plan) -> dict[str, Any]:
        shown = plan.result(with_diff=bool(self._task.diff))
        shown["plan"] = [step for step in shown["plan"] if step["action"] != "none"]
        return shown


def _catalogs(options: dict[str, Any]) -> list[catalog.Catalog]:
    loaded = catalog.load(options["release"], options["overrides"])
    if not options["kubernetes_from"]:
        return [loaded]
    return [*loaded.kubernetes_path(options["kubernetes_from"])[:-1], loaded]


def _lacks(missing: list[dict[str, str]], what: str, of: int, options: dict[str, Any]) -> dict[str, Any]:
    if not missing or options["allow_missing"]:
        return {}
    return _failed(
        f"{what} {len(missing)} of {of}: " + _some([f"{item['name']} ({item['reason']})" for item in missing]),
        "see to it that they can be reached and run again, or accept it with allow_missing",
    )


def _failed(cause: str, next_step: str) -> dict[str, Any]:
    return {"failed": True, "msg": f"{cause} - next: {next_step}" if next_step else cause, "next_step": next_step}


def _some(texts: list[str]) -> str:
    more = f", and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more
