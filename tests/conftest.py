# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each test belongs to one suite: its marker, or its folder's. What cannot run here is skipped with the reason."""

from __future__ import annotations

import functools
import sys
from typing import Any

import pytest
from ansible.plugins.loader import init_plugin_loader
from xdist.scheduler import LoadScopeScheduling

# Some tests load programs out of a role's tree of templates: what Python would leave beside them, nodes would get.
sys.dont_write_bytecode = True

# Ansible's importer of collections must be there before the first import of ours: it cannot be put in half way.
init_plugin_loader()

from ansible_collections.banking.platform.tools.suites import SUITES, suite_of  # noqa: E402


def _suites(item: pytest.Item) -> list[str]:
    """The suite that a test is counted in, by its first marker or its folder; and those whose needs it has as well."""
    marked = [marker.name for marker in item.iter_markers() if marker.name in SUITES]
    return marked or [suite_of(item.path.relative_to(item.config.rootpath).as_posix())]


@functools.cache
def _missing(suite: str) -> str:
    return SUITES[suite]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Write each test's suite into the JUnit file, where tools/run_tests.py reads it."""
    for item in items:
        item.user_properties.append(("suite", _suites(item)[0]))


class FolderScheduling(LoadScopeScheduling):
    """The tests of a folder run on the same worker of xdist, one after the other: they share a lab, or servers."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("::")[0].rpartition("/")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Let --dist=loadscope mean folders. (loadgroup would need no class, but pytest 9 does not see its groups.)"""
    return FolderScheduling(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests of a suite that this machine cannot run."""
    for suite in _suites(item):
        missing = _missing(suite)
        if missing:
            pytest.skip(missing)
