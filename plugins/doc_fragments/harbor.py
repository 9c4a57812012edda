# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options by which a module finds Harbor, and logs in."""

from __future__ import annotations


class ModuleDocFragment:
    """The options in plugins/module_utils/harbor_config.py:CONNECTION."""

    DOCUMENTATION = r"""
options:
  url:
    description: URL of Harbor, without C(/api/v2.0); also C(HARBOR_URL). C(http) is for this very machine only.
    type: str
  ca_path:
    description: File with the CAs of the server's certificate, those of the system by default; also C(HARBOR_CACERT).
    type: path
    aliases: [ca_cert]
  username:
    description: An administrator, or a robot account with its prefix; also C(HARBOR_USERNAME).
    type: str
  password:
    description: Password of the user, or secret of the robot account; also C(HARBOR_PASSWORD).
    type: str
"""
