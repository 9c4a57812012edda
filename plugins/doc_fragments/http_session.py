# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How patiently a module talks to a service."""

from __future__ import annotations


class ModuleDocFragment:
    """The options in plugins/module_utils/http_session.py:PACE."""

    DOCUMENTATION = r"""
options:
  timeout:
    description: How long an answer may take, in seconds.
    type: float
    default: 65
  retry_for:
    description: How long a request is tried again when the server is away or busy, in seconds.
    type: float
    default: 60
  parallel:
    description: How many requests at a time.
    type: int
    default: 8
"""
