# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each test belongs to one suite: its marker, or its folder's. What cannot run here is skipped with the reason."""

from __future__ import annotations

import functools
import sys

import pytest
from ansible.plugins.loader import init_plugin_loader

# Some tests load programs out of a role's tree of templates: what Python would leave beside them, nodes would get.
sys.dont_write_bytecode = True

# Ansible's importer of collections must be there before the first import of ours: it cannot be put in half way.
init_plugin_loader()

from ansible_collections.banking.platform.tools.suites import SUITES, suite_of  # noqa: E402


def _suite(item: pytest.Item) -> str:
    markers = [marker.name for marker in item.iter_markers() if marker.name in SUITES]
    return markers[0] if markers else suite_of(item.path.relative_to(item.config.rootpath).as_posix())


@functools.cache
def _missing(suite: str) -> str:
    return SUITES[suite]()


@pytest.hookimpl(tryfirst=True)  # xdist looks for the groups in a hook of the same name
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Write each test's suite into the JUnit file, where tools/run_tests.py reads it; keep a folder's tests together.

    Folders of tests/integration share their labs and servers, so each runs whole on one of xdist's workers.
    """
    for item in items:
        item.user_properties.append(("suite", _suite(item)))
        item.add_marker(pytest.mark.xdist_group(item.path.parent.name))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests of a suite that this machine cannot run."""
    missing = _missing(_suite(item))
    if missing:
        pytest.skip(missing)
