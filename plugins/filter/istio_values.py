# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An IstioOperator document as values of Istio's charts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.banking.platform.plugins.module_utils import istio_operator


def istio_values(document: Any) -> dict[str, Any]:
    """Values by chart; what no chart would do is an error of the template."""
    try:
        return istio_operator.values(document)
    except istio_operator.OperatorError as error:
        raise AnsibleFilterError(f"banking.platform.istio_values: {error}") from error


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"istio_values": istio_values}
