# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Amounts as numbers, so that declarations can compute with what a user wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.banking.platform.plugins.module_utils import quantities


def size(amount: quantities.Amount) -> int:
    """Bytes of an amount such as `32Gi`; what cannot be read is an error of the template."""
    try:
        return quantities.size(amount)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"size": size}
