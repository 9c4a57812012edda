#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: evidence
short_description: The record of a run as one HTML page
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Renders what the callback C(banking.platform.record) kept of a run as one page that needs no network and no scripts,
    with zones, proofs, timeline, plan, findings and versions.
  - Runs on the controller and connects to no host. The same record always makes the same page.
attributes:
  check_mode:
    support: full
    description: The page is made, and not written.
  diff_mode:
    support: none
    description: There is nothing to show.
  platform:
    support: full
    platforms: all
    description: Runs on the controller.
options:
  run:
    description:
      - Folder of a run, which holds C(run.json) or C(events.jsonl). A relative one is looked for below the working
        directory.
      - By default the last run of the inventory, leaving out the runs of the playbook that asks.
    type: path
  dest:
    description: The file to write. By default C(report.html) in the folder of the run.
    type: path
"""

EXAMPLES = r"""
- name: Render the last run
  banking.platform.evidence:

- name: Render one run for the auditors
  banking.platform.evidence:
    run: build/prod/runs/20261123T112000Z
    dest: /srv/evidence/2026-11-23.html
"""

RETURN = r"""
run:
  description: Folder of the run.
  returned: success
  type: str
  sample: /srv/platform/build/prod/runs/20261123T112000Z
path:
  description: The page.
  returned: success
  type: str
  sample: /srv/platform/build/prod/runs/20261123T112000Z/report.html
size:
  description: Size of the page in bytes.
  returned: success
  type: int
  sample: 88181
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
  sample: name a run's folder
"""
