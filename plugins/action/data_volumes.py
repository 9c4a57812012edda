# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hand the escrow certificate to the node, and keep what the node encrypted to it in the controller's escrow folder."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Step
from ansible_collections.banking.platform.plugins.plugin_utils import approved


class ActionModule(ActionBase):
    """The controller's half of `banking.platform.data_volumes`."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module, then keep its escrow; say of a failure which host it is about."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        host = str(variables["inventory_hostname"])
        try:
            result.update(self._run(host, variables))
        except (Failure, AnsibleError) as error:
            result.update(failed=True, msg=str(error), next_step=getattr(error, "next_step", ""))
        except OSError as error:
            result.update(
                failed=True,
                msg=f"escrow on the controller: {error}",
                next_step="make data_volumes_escrow_dir writable and run again; the node keeps its copy until then",
            )
        if result.get("failed") and "msg" in result and "module_stdout" not in result and not result.get("unreachable"):
            next_step = result.get("next_step")
            result["msg"] = f"data_volumes on {host}: {result['msg']}" + (f" - next: {next_step}" if next_step else "")
        return result

    def _run(self, host: str, variables: dict[str, Any]) -> dict[str, Any]:
        arguments = dict(self._task.args)
        if not arguments.get("volumes"):
            return {"changed": False, "plan": [], "deferred": [], "files": {}, "units": {}, "findings": []}
        folder = Path(self._loader.path_dwim(str(arguments.get("escrow_dir", ""))))
        arguments["escrow_certificate"] = self._certificate(str(arguments.get("escrow_certificate", "")))
        arguments["escrowed"] = _escrowed(folder, host)
        arguments["approved"] = None if arguments.get("examine") else approved.steps(self, variables)
        result = self._execute_module(
            module_name="banking.platform.data_volumes", module_args=arguments, task_vars=variables
        )
        if result.get("findings"):
            result["warnings"] = [
                *result.get("warnings", []),
                *(f"{host}: {finding}" for finding in result["findings"]),
            ]
        for name, entry in result.pop("escrow", {}).items():
            if "content" in entry:
                step = self._keep(folder / f"{host}-{name}", base64.b64decode(entry["content"]))
                result["plan"].append(step.as_dict())
                result["changed"] = True
        return result

    def _certificate(self, path: str) -> str:
        try:
            found = self._find_needle("files", path)
            text = Path(found).read_text(encoding="ascii")
        except (AnsibleError, OSError, UnicodeDecodeError) as error:
            raise Failure(
                f"the escrow certificate {path!r} cannot be read: {error}",
                "set data_volumes_escrow_certificate to the bank's certificate for recovery keys, in PEM; "
                "docs/data_volumes.md says how to make one",
            ) from error
        if "PRIVATE KEY" in text:
            raise Failure(
                f"{path} holds a private key",
                "give the certificate alone; whoever has its private key can open every volume",
            )
        if "BEGIN CERTIFICATE" not in text:
            raise Failure(f"{path} is no X.509 certificate in PEM", "convert it with `openssl x509 -outform PEM`")
        return text

    def _keep(self, path: Path, content: bytes) -> Step:
        """Write a blob; one that is there already (of a disk that was replaced) is kept beside it."""
        step = Step("escrow", str(path), "update" if path.exists() else "create", note="on the controller")
        if self._task.check_mode:
            return step
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            written = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(path.stat().st_mtime))
            os.replace(path, path.with_name(f"{path.name}.{written}"))
        os.replace(beside, path)
        return step


def _escrowed(folder: Path, host: str) -> dict[str, str]:
    """SHA-256 by name of what is in escrow of a host."""
    prefix = f"{host}-"
    return {
        path.name[len(prefix) :]: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.glob("*.cms")
        if path.name.startswith(prefix)
    }
