# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fresh nodes for each file of tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ansible_collections.banking.platform.plugins.module_utils.lab import host
from ansible_collections.banking.platform.tests.e2e.running import play


@pytest.fixture(scope="module")
def fresh_lab() -> Iterator[None]:
    """The lab, just made; nothing is left of it."""
    if "lab" in host.labs():
        # In CI it can only be what an earlier run left behind.
        if not os.environ.get("CI"):
            pytest.skip("the lab is up, and these tests need fresh nodes: make lab-down")
        play("playbooks/lab_down.yml")
    try:
        play("playbooks/lab.yml")
        yield
    finally:
        play("playbooks/lab_down.yml")
    assert "lab" not in host.labs()
