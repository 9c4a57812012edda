#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cis_report
short_description: What kube-bench or OpenSCAP found on all nodes, in one report
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Puts together what a scanner found on each node, one finding a check with all nodes that it is about, and writes it
    and the scans of kube-bench to a folder; those of OpenSCAP are in it already.
  - A check that fails is an C(error) where the benchmark scores it, else a C(warning). One that somebody has to look at
    is an C(info). A node without a scan is a C(warning).
  - A rule of OpenSCAP that fails is an C(error) where its severity is high or medium, else a C(warning).
  - Its figures are kept in the record of the run. Runs on the controller and connects to no host.
attributes:
  check_mode:
    support: full
    description: The report is made, and not written.
  diff_mode:
    support: none
    description: There is nothing to show.
  platform:
    support: full
    platforms: all
    description: Runs on the controller.
options:
  scanner:
    description: Whose scans they are.
    type: str
    choices: [kube-bench, openscap]
    default: kube-bench
  results:
    description:
      - Scans of kube-bench, each C({node, time, result}), where C(result) is its JSON. Empty ones are left out.
      - Scans of OpenSCAP are the files C(openscap-<node>.xml.gz) in O(dest), XCCDF or ARF.
    type: list
    elements: dict
    default: []
  nodes:
    description: The nodes that there are.
    type: list
    elements: str
    required: true
  skipped:
    description: Rules of OpenSCAP whose failure is accepted. They are told as C(info), with the reason.
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: Its name, without what all names begin with.
        type: str
        required: true
      reason:
        description: Why.
        type: str
        required: true
  dest:
    description:
      - The folder to write C(cis.json) and C(kube-bench-<node>.json), or C(hosts.json), to.
      - By default C(compliance) beside the folder of the inventory's runs.
    type: path
"""

EXAMPLES = r"""
- name: Report on the benchmark
  banking.platform.cis_report:
    results: "{{ scans.resources | map(attribute='data', default={}) | list }}"
    nodes: "{{ groups['node'] }}"
    dest: build/prod/compliance
"""

RETURN = r"""
path:
  description: The report.
  returned: success
  type: str
  sample: /srv/platform/build/prod/compliance/cis.json
findings:
  description: What was found, the worst first.
  returned: success
  type: list
  elements: dict
  sample:
    - severity: error
      subject: cp-a1, cp-b1
      variable: API Server
      cause: "1.2.1 Ensure that the --anonymous-auth argument is set to false: found true"
      next_step: set it in the manifest of the API server
      rule: cis-1.9-1.2.1
measurements:
  description: How many checks fail and pass, and how many nodes were scanned.
  returned: success
  type: list
  elements: dict
  sample:
    - {name: CIS checks that fail, value: 3, unit: checks, goal: 0}
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
  sample: see the last job kube-bench-cp-a1 in banking-security, and have it run again
"""
