#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Have packages of the distribution installed
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Asks dpkg which packages are missing, and has M(ansible.builtin.apt) install those. Where none is, which is nearly
    always, apt does not run at all, and the task takes a tenth of the time.
  - A package that is installed is not upgraded.
attributes:
  check_mode:
    support: full
    description: By apt's own dry run.
  diff_mode:
    support: full
    description: What apt shows.
  platform:
    support: full
    platforms: debian
    description: Debian and what is derived from it.
options:
  name:
    description: Names of packages, without versions.
    type: list
    elements: str
    required: true
  recommends:
    description: Whether what they recommend is installed with them; by default as the node's apt is set.
    type: bool
  update_cache:
    description:
      - Whether lists of packages that are older than a day are fetched anew before something is installed, in check
        mode too.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Install HAProxy
  banking.platform.packages:
    name: [haproxy]
    recommends: false
"""

RETURN = r"""
missing:
  description: Those that were missing.
  returned: success
  type: list
  elements: str
  sample: [haproxy]
"""
