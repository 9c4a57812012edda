# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the callbacks have in common: where a run leaves its files, and which failures do not count."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible.playbook.block import Block


def inventory_name(cli: Mapping[str, Any]) -> str:
    """The inventories of the command line as one name: the folder of a hosts.yml, else the file."""
    inventories = [os.path.abspath(path) if "," not in path else path for path in cli.get("inventory") or ()]
    names = [Path(path.removesuffix("/hosts.yml").replace(",", "_")).name for path in inventories]
    return "+".join(names)[:80] or "none"


def run_folder(playbook: str, cli: Mapping[str, Any], folder: str | None = None) -> Path:
    """The folder of an inventory: below `folder`, else `build` beside ansible.cfg, else the user's cache."""
    name = inventory_name(cli)
    project = os.path.dirname(C.CONFIG_FILE or "") or os.sep
    if not folder and os.path.abspath(playbook).startswith(project + os.sep):
        folder = os.path.join(project, "build")
    if not folder:
        inventories = [os.path.abspath(path) if "," not in path else path for path in cli.get("inventory") or ()]
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        folder = os.path.join(cache, "banking.platform")
        name += "-" + hashlib.sha256("\0".join(inventories).encode()).hexdigest()[:8]
    return Path(folder, name)


def rescued(task: Any) -> bool:
    """Whether a block around a task has a rescue for it, so that its failure does not fail the run."""
    while parent := getattr(task, "_parent", None):
        if isinstance(parent, Block) and parent.rescue and any(t._uuid == task._uuid for t in parent.block):
            return True
        task = parent
    return False
