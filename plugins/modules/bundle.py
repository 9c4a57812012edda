#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle
short_description: Make or verify the air-gap bundle of a release, and lock the digests of its images and charts
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Fetches the artifacts, charts and images of a release's catalog into one folder, with an index, checksums and a bill
    of materials (CycloneDX).
  - What is there already and has the right digest is not fetched again; an interrupted bundle is gone on with.
  - Images, and charts in registries, are fetched with skopeo, with whatever it is configured for (mirrors, proxies,
    credentials).
  - Runs on the controller and connects to no host of the inventory.
attributes:
  check_mode:
    support: full
    description: Says what it would fetch, and how much is there already. Asks nobody on the network.
  diff_mode:
    support: full
    description: Shows each file that would be fetched.
  platform:
    support: full
    platforms: all
    description: Runs on the controller.
options:
  state:
    description:
      - V(present) makes the bundle, or completes it.
      - V(verified) names each file of it that is damaged, missing or surplus, and changes nothing.
      - V(locked) reads the digests of images and charts that have none yet and adds them to C(images.lock.yml) and
        C(charts.lock.yml). What is locked already stays as it is.
    type: str
    choices: [present, verified, locked]
    default: present
  dest:
    description: Folder of the bundle. For O(state=locked), the folder of the lock files; by default the catalog's own.
    type: path
  release:
    description: The release of the platform; the variable C(platform_release).
    type: str
    required: true
  overrides:
    description: Laid over the release's catalog; the variable C(platform_catalog_overrides).
    type: dict
  kubernetes_from:
    description: A version of Kubernetes such as V(1.28.15). The minors from there to the release's are taken as well.
    type: str
  architectures:
    description: Architectures of the servers, as the kernel or Debian call them.
    type: list
    elements: str
    default: [amd64]
  parts:
    description: What to fetch.
    type: list
    elements: str
    choices: [artifacts, charts, images]
    default: [artifacts, charts, images]
  components:
    description: Only of these components of the catalog. By default of all.
    type: list
    elements: str
  mirrors:
    description: Base addresses of mirrors for artifacts and charts, tried in order in place of upstream.
    type: list
    elements: str
    default: []
  allow_missing:
    description: What cannot be fetched is no error. It is listed in the index either way.
    type: bool
    default: false
  parallel:
    description: How many files are fetched side by side.
    type: int
    default: 4
  skopeo:
    description: The program skopeo.
    type: path
    default: skopeo
"""

EXAMPLES = r"""
- name: Make the bundle
  banking.platform.bundle:
    dest: /srv/bundle
    release: "{{ platform_release }}"
    architectures: [amd64, arm64]

- name: Verify it where it was carried to
  banking.platform.bundle:
    state: verified
    dest: /srv/bundle
    release: "{{ platform_release }}"

- name: Lock the digests
  banking.platform.bundle:
    state: locked
    release: "{{ platform_release }}"
"""

RETURN = r"""
plan:
  description: What is fetched, or would be.
  returned: present and locked
  type: list
  elements: dict
files:
  description: How many files belong to the bundle.
  returned: present
  type: int
  sample: 230
there:
  description: How many of them were there before.
  returned: present
  type: int
  sample: 120
bytes_there:
  description: Their size in bytes.
  returned: present
  type: int
  sample: 734003200
missing:
  description:
    - What could not be fetched or locked, each with kind, name, path and reason.
    - For O(state=verified), what the index of the bundle says.
  returned: always
  type: list
  elements: dict
findings:
  description: What is wrong with the bundle, a line a file.
  returned: verified
  type: list
  elements: str
  sample: ["damaged: runc/1.2.9/amd64/runc.amd64: its SHA-256 is not 5de2..."]
locked:
  description: The digests that were found, by kind (images, charts) and reference.
  returned: locked
  type: dict
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
"""
