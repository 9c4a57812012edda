# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: catalog
short_description: Versions and images of the platform release
version_added: 0.1.0
author: banking.platform contributors (@banking-platform)
description:
  - Reads C(catalog/<release>.yml), the only place of the collection with a version, a URL or a digest.
  - The release is C(platform_release); C(platform_catalog_overrides) is laid over the file, and with
    C(platform_kubernetes_minor) the step of an upgrade in C(catalog/kubernetes.yml).
options:
  _terms:
    description: Names of components or artifacts.
    type: list
    elements: str
  image:
    description:
      - Return the reference of this image of the component instead of its version.
      - The name is the last part of the image's repository, such as V(pause).
    type: str
  repositories:
    description: Return the repositories of all images of the release, without tags and digests. No terms are needed.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show the version of containerd
  ansible.builtin.debug:
    msg: "{{ lookup('banking.platform.catalog', 'containerd') }}"

- name: Show the image that holds a pod's namespaces
  ansible.builtin.debug:
    msg: "{{ lookup('banking.platform.catalog', 'kubernetes', image='pause') }}"

- name: Show where images of the release may come from
  ansible.builtin.debug:
    msg: "{{ query('banking.platform.catalog', repositories=true) }}"
"""

RETURN = r"""
_raw:
  description: A version, or the reference of an image, for each term; or repositories.
  type: list
  elements: str
"""

from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.banking.platform.plugins.module_utils import catalog


class LookupModule(LookupBase):
    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)
        image = self.get_option("image")
        release = self._variable(variables or {}, "platform_release")
        if not release:
            raise AnsibleError(f"platform_release is not set: one of {', '.join(catalog.releases())}")
        try:
            overrides, minor = (
                self._variable(variables or {}, name)
                for name in ("platform_catalog_overrides", "platform_kubernetes_minor")
            )
            loaded = catalog.load(str(release), overrides, minor=minor or "")
            if self.get_option("repositories"):
                return loaded.repositories()
            return [loaded.image(term, image) if image else loaded.version(term) for term in terms]
        except catalog.CatalogError as error:
            raise AnsibleError(str(error)) from error

    def _variable(self, variables: dict[str, Any], name: str) -> Any:
        return self._templar.template(variables[name]) if name in variables else None
