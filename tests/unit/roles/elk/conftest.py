# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The data of the redaction, as the role has it."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.banking.platform.plugins.module_utils.redaction import Redactor
from ansible_collections.banking.platform.tests.unit.action.conftest import trusted
from ansible_collections.banking.platform.tools.suites import CLONE

ROLE = CLONE / "roles" / "elk"


@cache
def redaction() -> dict[str, Any]:
    """What `__elk_redaction` is with the role's defaults."""
    variables = {
        key: trusted(value)
        for name in ("defaults", "vars")
        for key, value in yaml.safe_load((ROLE / name / "main.yml").read_text()).items()
    }
    data: dict[str, Any] = Templar(loader=DataLoader(), variables=variables).template(variables["__elk_redaction"])
    return data


@cache
def redactor() -> Redactor:
    """The reference, with that data."""
    return Redactor(redaction())
