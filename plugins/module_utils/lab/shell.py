# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs programs and reads files of the machine that carries the lab."""

from __future__ import annotations

import os
import subprocess
from typing import Dict, List, Optional

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


def search_path() -> str:
    """Where programs are looked for: a user's PATH may lack the folders of administration."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def run(
    argv: List[str],
    stdin: Optional[str] = None,
    check: bool = True,
    env: Optional[Dict[str, str]] = None,
    timeout: int = 120,
) -> str:
    """Run a program and return its standard output.

    Raises:
        Failure: when it is missing, takes longer than timeout seconds, or (with check) exits with anything but 0.
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            env={**os.environ, "PATH": search_path(), "LC_ALL": "C.UTF-8", **(env or {})},
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise Failure(f"{argv[0]} is not installed on this machine") from None
    except subprocess.TimeoutExpired:
        raise Failure(f"'{' '.join(argv)}' did not end within {timeout} s") from None
    if check and done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-8:]
        raise Failure(f"'{' '.join(argv)}' failed with {done.returncode}: {' / '.join(said)}")
    return done.stdout


def read_text(path: str) -> str:
    """The content of a file; an empty text when it is not there or cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""
