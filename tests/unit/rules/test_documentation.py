# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/rules.md names every rule and no other, and every rule is tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ansible_collections.banking.platform.plugins.module_utils.rules import data, servers
from ansible_collections.banking.platform.plugins.module_utils.rules.platform import RULES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/rules.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([a-z-]+)` \| (.+?) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)


def test_the_page_names_each_rule_once_and_no_other():
    assert sorted(name for name, *_rest in ROWS) == sorted(RULES)


def test_rules_are_of_these_modules():
    assert {function.__module__ for function in RULES.values()} <= {data.__name__, servers.__name__}


@pytest.mark.parametrize("name", RULES)
def test_a_test_of_its_own_refuses_and_lets_pass(name):
    """Each rule's name stands at least twice, in quotes, in the tests of its module: once refused, once passed."""
    module = RULES[name].__module__.rpartition(".")[2]
    tests = (ROOT / f"tests/unit/rules/test_{module}.py").read_text(encoding="utf-8")
    assert tests.count(f'"{name}"') >= 2
