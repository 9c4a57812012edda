#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_images
short_description: Import images from archives into containerd, where they are missing
version_added: 0.1.0
author: banking.platform contributors (@banking-platform)
description:
  - Reads which images the archives hold, asks containerd once for the images that it has, and imports only the archives
    that name an image which is missing or has another digest.
  - After an import it asks again, so that an archive for another architecture is an error here, not at the first pod.
options:
  archives:
    description:
      - Archives in the OCI image layout or as written by C(docker save), uncompressed or with gzip.
      - A path that does not end in C(.tar), C(.tar.gz) or C(.tgz) is a folder, and stands for all such files in it.
    type: list
    elements: path
    required: true
  namespace:
    description: The namespace of containerd. The kubelet sees C(k8s.io) only.
    type: str
    default: k8s.io
  ctr:
    description: The program C(ctr) to call.
    type: path
    default: ctr
  timeout:
    description: Seconds that the import of one archive may take.
    type: int
    default: 600
  approved:
    description: The part of the approved plan that nothing may differ from. Made by the action plugin.
    type: dict
attributes:
  check_mode:
    description: Says what it would import. Where containerd or an archive is not there yet, says so in RV(deferred).
    support: full
  diff_mode:
    description: Shows the images before and after.
    support: full
"""

EXAMPLES = r"""
- name: Import the images that are missing
  banking.platform.containerd_images:
    archives: [/var/lib/platform/images]
"""

RETURN = r"""
plan:
  description: A step for each archive, with the images before and after, by name and digest.
  returned: success
  type: list
  elements: dict
deferred:
  description: What could not be looked at in check mode, because an earlier step provides it.
  returned: success
  type: list
  elements: str
"""

import json
import os
import subprocess
from typing import Dict, List, Optional

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils import image_archive
from ansible_collections.banking.platform.plugins.module_utils.image_archive import ArchivedImage
from ansible_collections.banking.platform.plugins.module_utils.plan import APPROVED, Failure, Plan, Step

SUFFIXES = (".tar", ".tar.gz", ".tgz")


class Ctr:
    """The few things that are asked of containerd, through its own client."""

    def __init__(self, program: str, namespace: str, timeout: int) -> None:
        self.command = [program, "--namespace", namespace, "--connect-timeout", "10s"]
        self.timeout = timeout

    def images(self) -> Dict[str, str]:
        """The digest that each name points to."""
        lines = self._run("images", "ls").splitlines()[1:]  # REF TYPE DIGEST SIZE PLATFORMS LABELS
        return {fields[0]: fields[2] for fields in (line.split() for line in lines) if len(fields) > 2}

    def config_digest(self, target: str) -> Optional[str]:
        """The digest of the configuration that the manifest ``target`` names; None for an index."""
        config = json.loads(self._run("content", "get", target)).get("config") or {}
        return config.get("digest")

    def load(self, path: str) -> None:
        """Import an archive."""
        self._run("images", "import", path)

    def has(self, image: ArchivedImage, present: Dict[str, str]) -> bool:
        """Whether the name of the image points to exactly this image."""
        target = present.get(image.name)
        if target is None:
            return False
        return target == image.target if image.target else self.config_digest(target) == image.config

    def _run(self, *arguments: str) -> str:
        command = [*self.command, *arguments]
        shown = " ".join(command)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=self.timeout, check=False)
        except OSError as error:
            raise Failure(f"{command[0]}: {error.strerror}", "Install containerd first") from error
        except subprocess.TimeoutExpired as error:
            raise Failure(f"`{shown}` was not done after {self.timeout} s") from error
        if done.returncode != 0:
            raise Failure(f"`{shown}`: {done.stderr.strip() or done.stdout.strip()}", "See `journalctl -u containerd`")
        return done.stdout


def find(paths: List[str], check_mode: bool) -> List[str]:
    """The archives that ``paths`` stand for, each once. In check mode a folder may still be missing: it holds none."""
    found: List[str] = []
    for path in paths:
        if path.endswith(SUFFIXES):
            found.append(path)
        elif os.path.isdir(path) or not check_mode:
            found += [os.path.join(path, name) for name in sorted(os.listdir(path)) if name.endswith(SUFFIXES)]
    return list(dict.fromkeys(found))


def make_plan(paths: List[str], ctr: Ctr, check_mode: bool) -> Plan:
    """One step for each archive. In check mode, what is not there yet is deferred."""
    plan = Plan()
    archives = find(paths, check_mode)
    if not archives:
        return plan  # containerd is not even asked
    present: Dict[str, str] = {}
    unanswered = ""
    try:
        present = ctr.images()
    except Failure as failure:
        if not check_mode:
            raise
        unanswered = failure.cause
    owners: Dict[str, str] = {}
    for path in archives:
        if check_mode and not os.path.exists(path):
            plan.add(Step("image archive", path, "create", deferred="the archive is not there yet"))
            continue
        images = image_archive.read(path)
        for image in images:
            if owners.setdefault(image.name, path) != path:
                # Each run would import both, one over the other.
                raise Failure(
                    f"{image.name} is in both {owners[image.name]} and {path}", "Remove one of the two archives"
                )
        plan.add(_step(path, images, present, ctr, unanswered))
    return plan


def _step(path: str, images: List[ArchivedImage], present: Dict[str, str], ctr: Ctr, unanswered: str) -> Step:
    missing = [image for image in images if not ctr.has(image, present)]
    if not missing:
        return Step("image archive", path)
    before = {image.name: present[image.name] for image in missing if image.name in present}
    after = {image.name: image.target or f"config {image.config}" for image in missing}

    def apply() -> None:
        ctr.load(path)
        now = ctr.images()
        for image in images:
            if not ctr.has(image, now):
                raise Failure(
                    f"{path} was imported, but {image.name} is not there", "Is the archive for another architecture?"
                )

    return Step(
        "image archive",
        path,
        "update" if before else "create",
        before=before or None,
        after=after,
        deferred=unanswered,
        diff={"before_header": path, "after_header": path, "before": _lines(before), "after": _lines(after)},
        apply=apply,
    )


def _lines(images: Dict[str, str]) -> str:
    return "".join(f"{name} {digest}\n" for name, digest in sorted(images.items()))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "archives": {"type": "list", "elements": "path", "required": True},
            "namespace": {"type": "str", "default": "k8s.io"},
            "ctr": {"type": "path", "default": "ctr"},
            "timeout": {"type": "int", "default": 600},
            **APPROVED,
        },
        supports_check_mode=True,
    )
    ctr = Ctr(module.params["ctr"], module.params["namespace"], module.params["timeout"])
    try:
        plan = make_plan(module.params["archives"], ctr, module.check_mode)
        if not module.check_mode:
            plan.hold_to(module.params["approved"])
            plan.apply()
    except Failure as failure:
        next_step = f". {failure.next_step}" if failure.next_step else ""
        module.fail_json(msg=f"images of containerd: {failure}{next_step}")
    except OSError as error:
        module.fail_json(msg=f"images of containerd: {error}")
    module.exit_json(**plan.result(with_diff=True))


if __name__ == "__main__":
    main()
