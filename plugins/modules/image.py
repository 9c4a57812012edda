#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image
short_description: Build, scan, push and sign images
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Renders the Containerfile of each image and refuses what the platform refuses in one; builds it with buildah or
    podman; writes its bill of materials; scans it with Trivy; pushes it with skopeo; signs it and the bill of materials
    by its digest with cosign.
  - All images are built and scanned before the first one is pushed. What the gate keeps back is neither pushed nor
    signed.
  - An image whose inputs are the same, and that is signed by the same key, is not built again, but scanned each time.
  - Runs on the controller and connects to no host of the inventory.
attributes:
  check_mode:
    support: full
    description: Asks the registry, and says what would be pushed and signed. Builds and scans nothing.
  diff_mode:
    support: none
    description: Images have no text to compare.
  platform:
    support: full
    platforms: all
    description: Runs on the controller.
options:
  builds:
    description: The images.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Its name below the registry.
        type: str
        required: true
      version:
        description: Its tag. One that is moved by custom, such as V(latest), is refused.
        type: str
        required: true
      template:
        description: A template of the role P(banking.platform.image#role), V(banking-app) or V(keycloak-custom).
        type: str
      containerfile:
        description: A Containerfile, or with the suffix C(.j2) a template of one.
        type: path
      context:
        description: The folder that it copies from.
        type: path
      settings:
        description: What the template reads as C(image), with name and version.
        type: dict
        default: {}
      args:
        description: Build arguments. They stay readable in the image, so nothing secret.
        type: dict
        default: {}
      platforms:
        description: Its platforms. With several, an index of images is pushed.
        type: list
        elements: str
        default: [linux/amd64]
      labels:
        description: Labels, beside title and version.
        type: dict
        default: {}
      timestamp:
        description: The time of the image and of all files in it, in seconds of the epoch.
        type: int
        default: 0
  registry:
    description: What stands before their names, registry and project.
    type: str
    required: true
  folder:
    description:
      - Folder for images, bills of materials and reports.
      - By default C(images) in the inventory's folder of C(build).
    type: path
  severity:
    description: Severities that keep an image back.
    type: list
    elements: str
    choices: [CRITICAL, HIGH, MEDIUM, LOW, UNKNOWN]
    default: [CRITICAL, HIGH]
  accepted:
    description:
      - Findings that somebody has accepted, each C({id, reason, approved_by, until, images}).
      - One that has expired is an error.
    type: list
    elements: dict
    default: []
  scanners:
    description: What Trivy looks for.
    type: list
    elements: str
    choices: [vuln, secret]
    default: [vuln, secret]
  database_days:
    description: How many days old the vulnerabilities that Trivy knows may be.
    type: float
    default: 7
  sbom:
    description: The format of bills of materials.
    type: str
    choices: [spdx-json, cyclonedx-json]
    default: spdx-json
  signing:
    description: What signs.
    type: dict
    default: {}
    suboptions:
      key:
        description: The key, V(hashivault://<name>), a file, V(env://<variable>).
        type: str
      password:
        description: Its password.
        type: str
      public_key:
        description: The public key, by default made of the key.
        type: str
      identity:
        description: Without a key, who signs, as the certificate of Sigstore will say.
        type: str
      issuer:
        description: Without a key, who says so.
        type: str
      transparency_log:
        description: Whether signatures with a key go to a public log.
        type: bool
        default: false
  logins:
    description:
      - Logins by host of a registry, each C({username, password}).
      - They are written to a file that is gone after the run.
    type: dict
    default: {}
  environment:
    description: Variables for some of the programs, by name. Their values are kept secret.
    type: dict
    default: {}
  ca_path:
    description: A file with the authorities of the registry's certificate.
    type: path
  programs:
    description: Paths of programs that are not in E(PATH), by name.
    type: dict
    default: {}
  replace:
    description: Whether a version that is in the registry may become another image.
    type: bool
    default: false
  optional:
    description: Whether a program may be missing. What it would have done is left out then, with a warning.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: An image of a jar that the pipeline has built
  banking.platform.image:
    registry: harbor.bank.example/banking
    builds:
      - name: banking-app
        version: 1.0.0
        template: banking-app
        context: build/libs
        settings: {jar: banking-app-1.0.0.jar}
    signing: {key: "hashivault://images"}
    environment:
      cosign:
        VAULT_ADDR: https://vault.bank.example:8200
        VAULT_TOKEN: "{{ lookup('banking.platform.secret', 'env:VAULT_TOKEN') }}"
"""

RETURN = r"""
images:
  description: Each image, its reference, its digest, its inputs, and for each platform bill of materials and scan.
  returned: success
  type: list
  elements: dict
  sample:
    - reference: harbor.bank.example/banking/banking-app:1.0.0
      by_digest: harbor.bank.example/banking/banking-app@sha256:0c58...
      digest: sha256:0c58...
      inputs: 5b1c...
      platforms:
        linux/amd64:
          digest: sha256:0c58...
          sbom: {path: build/prod/images/banking-app/1.0.0/linux-amd64.spdx.json, sha256: 77aa...}
          scan: {counts: {CRITICAL: 0, HIGH: 0, MEDIUM: 3, LOW: 8, UNKNOWN: 0}, refused: 0, accepted: []}
plan:
  description: One step for each image, its signature and its bill of materials.
  returned: success
  type: list
  elements: dict
programs:
  description: The programs that were at hand, with their versions.
  returned: success
  type: dict
measurements:
  description: How many findings kept each image back, for the record of the run.
  returned: success
  type: list
  elements: dict
"""
