# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter `size`, as a template uses it."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template


def render(amount: str) -> int:
    """What a template makes of it."""
    templar = Templar(loader=DataLoader(), variables={"amount": amount})
    return templar.template(trust_as_template("{{ amount | banking.platform.size * 2 }}"))


def test_it_is_bytes_to_compute_with():
    assert render("1Ti") == 2 * 1024**4
    assert render("1 TB") == 2 * 1000**4


def test_what_cannot_be_read_is_an_error_that_says_how_to_write_it():
    with pytest.raises(AnsibleError, match="'1 Tera' is no amount of bytes: write it such as 512Mi"):
        render("1 Tera")
