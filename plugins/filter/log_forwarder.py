# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ClusterLogForwarder document as routes of Logstash, and as OpenShift's object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.banking.platform.plugins.module_utils import log_forwarder as translation


def log_forwarder(document: Any, openshift: str = "") -> Any:
    """Routes of Logstash, or the object of that API version; what neither would heed is an error of the template."""
    try:
        return translation.for_openshift(document, openshift) if openshift else translation.routes(document)
    except translation.ForwarderError as error:
        raise AnsibleFilterError(f"banking.platform.log_forwarder: {error}") from error


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"log_forwarder": log_forwarder}
