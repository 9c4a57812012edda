# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel modules and sysctls of a node: what runs now. Their files for the next boot are files like any other."""

from __future__ import annotations

import glob
import os
from typing import Dict, Iterable, List, Mapping

from ansible_collections.banking.platform.plugins.module_utils.node.system import System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step

_NOT_HERE = "not available on this node, as the inventory declares"


def module_lines(modules: Iterable[str]) -> bytes:
    """The content of a file below /etc/modules-load.d."""
    return "".join(f"{module}\n" for module in modules).encode()


def sysctl_lines(values: Mapping[str, str]) -> bytes:
    """The content of a file below /etc/sysctl.d."""
    return "".join(f"{key} = {value}\n" for key, value in sorted(values.items())).encode()


class Kernel:
    """Plans the kernel modules and sysctls of one run.

    Args:
        system: the node.
        modules: names to be loaded, in order.
        sysctl: values by key, in the notation of sysctl(8).
        unavailable_modules, unavailable_sysctl: what the inventory says this node cannot do.
        check: in check mode a sysctl whose module is not loaded yet is deferred.
    """

    def __init__(
        self,
        system: System,
        modules: Iterable[str],
        sysctl: Mapping[str, str],
        unavailable_modules: Iterable[str],
        unavailable_sysctl: Iterable[str],
        check: bool,
    ) -> None:
        self.system = system
        self.modules = list(modules)
        self.sysctl = dict(sysctl)
        self.unavailable_modules = {module.replace("-", "_") for module in unavailable_modules}
        self.unavailable_sysctl = set(unavailable_sysctl)
        self.check = check

    def available_modules(self) -> List[str]:
        """The wanted modules without those that the inventory declares unavailable."""
        return [module for module in self.modules if module.replace("-", "_") not in self.unavailable_modules]

    def available_sysctl(self) -> Dict[str, str]:
        """The wanted sysctls without those that the inventory declares unavailable."""
        return {key: value for key, value in self.sysctl.items() if key not in self.unavailable_sysctl}

    def plan(self, plan: Plan) -> None:
        """Compare with the running kernel and add a step for each module and each sysctl."""
        loading = False
        for module in self.modules:
            step = plan.add(self._module_step(module))
            loading = loading or step.changes
        for key in sorted(self.sysctl):
            plan.add(self._sysctl_step(key, self.sysctl[key], loading))

    def _module_step(self, module: str) -> Step:
        step = Step("module", module)
        if module not in self.available_modules():
            step.note = _NOT_HERE
            return step
        if self._is_loaded(module):
            return step
        tried = self.system.run(["modprobe", "--dry-run", module])
        if not tried.ok:
            kernel = os.path.basename(self.system.lib_modules)
            raise Failure(
                f"kernel module {module}: the running kernel {kernel} does not have it: " + tried.last_lines(1),
                "install the kernel's modules, or declare it in platform_unavailable.modules if it can be done without",
            )
        step.action, step.before, step.after = "update", {"loaded": False}, {"loaded": True}
        step.apply = lambda: self._load(module)
        return step

    def _is_loaded(self, module: str) -> bool:
        name = module.replace("-", "_")
        if os.path.isdir(os.path.join(self.system.sys_module, name)):
            return True
        # A builtin module without parameters has no folder below /sys/module.
        try:
            with open(os.path.join(self.system.lib_modules, "modules.builtin"), encoding="utf-8") as file:
                return any(os.path.basename(line.strip()).split(".")[0].replace("-", "_") == name for line in file)
        except OSError:
            return False

    def _load(self, module: str) -> None:
        done = self.system.run(["modprobe", module])
        if not done.ok:
            raise Failure(f"kernel module {module}: cannot be loaded: {done.last_lines()}", "see the kernel's log")

    def _sysctl_step(self, key: str, value: str, loading: bool) -> Step:
        step = Step("sysctl", key)
        if key in self.unavailable_sysctl:
            step.note = _NOT_HERE
            return step
        now = self._values(key)
        if now and set(now.values()) == {value}:
            return step
        if not now and not loading:
            raise Failure(f"sysctl {key}: the running kernel does not have it", _sysctl_hint(key))
        shown = ", ".join(sorted(set(now.values())))
        step.action = "update"
        step.before, step.after = ({"value": shown} if now else {"kind": "absent"}), {"value": value}
        step.diff = {
            "before_header": key,
            "after_header": key,
            "before": f"{shown}\n" if now else "",
            "after": f"{value}\n",
        }
        if not now and self.check:
            step.deferred = "comes with a kernel module that is not loaded yet"
        step.apply = lambda: self._set(key, value)
        step.undo = lambda: _put_back(now)
        return step

    def _paths(self, key: str) -> List[str]:
        """Where a key lies below /proc/sys; a `*` in it stands for any name, as for systemd-sysctl."""
        # As sysctl(8): when the first separator is a slash, dots belong to names (an interface "eth0.100").
        slashed = "/" in key and ("." not in key or key.index("/") < key.index("."))
        path = os.path.join(self.system.proc_sys, key if slashed else key.translate(str.maketrans("./", "/.")))
        return sorted(glob.glob(path)) if "*" in key else [path]

    def _values(self, key: str) -> Dict[str, str]:
        """The running values by path; empty where the kernel does not have the key."""
        values = {}
        for path in self._paths(key):
            try:
                with open(path, encoding="utf-8") as file:
                    values[path] = " ".join(file.read().split())
            except FileNotFoundError:
                continue
            except OSError as error:
                raise Failure(f"sysctl {key}: cannot be read: {error.strerror}", _sysctl_hint(key)) from error
        return values

    def _set(self, key: str, value: str) -> None:
        for path, now in self._values(key).items():
            try:
                if now != value:
                    _write(path, value)
            except OSError as error:
                raise Failure(
                    f"sysctl {key} = {value}: refused by the kernel: {error.strerror}", _sysctl_hint(key)
                ) from error
        made = set(self._values(key).values())
        if not made:
            raise Failure(f"sysctl {key}: the running kernel does not have it", _sysctl_hint(key))
        if made != {value}:
            raise Failure(f"sysctl {key} = {value}: the kernel made {', '.join(sorted(made))} of it", _sysctl_hint(key))


def _write(path: str, value: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(value)


def _put_back(values: Mapping[str, str]) -> None:
    for path, value in values.items():
        _write(path, value)


def _sysctl_hint(key: str) -> str:
    return f"add the module that brings it, or declare {key} in platform_unavailable.sysctl if this node can do without"
