#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: component
short_description: Render, validate and deliver a component of the cluster
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - Renders the manifests of a role (C(templates/manifests)) and its charts on the controller, and validates every
    object strictly. Built-in kinds are checked against the schemas of the release's Kubernetes version, custom
    resources against their CRDs. All errors come at once, and nothing is changed then.
  - What is rendered is delivered as the variable C(platform_delivery) says. With V(render) it is written to a tree of
    files, C(<platform_build_dir>/tree/components/<wave>-<component>/<namespace>/<kind>-<name>.yaml). With V(direct)
    it is applied by M(banking.platform.k8s_apply).
  - C(overlay/<role>/<folder>) beside the inventory is laid over the role's manifests by path,
    C(overlay/<role>/<values>) over the values of a chart.
  - An object with the annotation C(argocd.argoproj.io/sync-wave) comes in that sub-wave; the next one begins when the
    earlier ones are ready. Hooks of a chart become sub-waves.
attributes:
  check_mode:
    support: full
    description: Renders and validates, and shows what would differ in the tree or the cluster.
  diff_mode:
    support: full
    description: One difference an object; values of Secrets are masked.
  platform:
    support: full
    platforms: all
    description: Runs on the controller.
options:
  name:
    description: Name of the component, that of the role by default (with C(-) for C(_)).
    type: str
  wave:
    description: When the component is installed; what C(meta/platform.yml) of the role declares by default.
    type: int
  manifests:
    description: Folders below the role's C(templates) whose files are manifests. The last one wins by path.
    type: list
    elements: str
    default: [manifests]
  kinds_from:
    description:
      - Folders like those of O(manifests) that another component delivers. Kinds that their CRDs and
        ConstraintTemplates bring are known here.
    type: list
    elements: str
    default: []
  charts:
    description: Charts of the catalog that belong to the component.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name in the catalog.
        type: str
        required: true
      release:
        description: Name of the release, the chart's by default.
        type: str
      namespace:
        description: Namespace for objects that name none.
        type: str
        required: true
      values:
        description: Template of the chart's values, below the role's C(templates).
        type: str
      api_versions:
        description: What the cluster will have beyond Kubernetes' own, such as
          V(monitoring.coreos.com/v1/ServiceMonitor).
        type: list
        elements: str
        default: []
      crds:
        description: Whether the CRDs in the chart's folder C(crds) belong to the component.
        type: bool
        default: true
      leave_out:
        description:
          - Objects of the chart, each C(<kind>/<name>), that come from elsewhere, such as a Secret that an
            ExternalSecret makes. One that the chart does not have is an error.
          - With a path behind it, C(<kind>/<name>:spec.conversion.webhook.clientConfig.caBundle), a field alone,
            which the product itself fills in, and which each run would take back.
        type: list
        elements: str
        default: []
  artifacts:
    description:
      - Manifests that a project releases as one file, by the name of their artifact in the catalog (C(kind=manifest)).
        They are held to the catalog's digest, and come from upstream, a mirror or the bundle as charts do.
    type: list
    elements: str
    default: []
  leave_out:
    description:
      - Objects of O(artifacts), or fields of them, that come from elsewhere, as in C(leave_out) of a chart.
    type: list
    elements: str
    default: []
  take_over:
    description: Whether to take fields from other managers, and objects from other components.
    type: bool
    default: false
  prune_protected:
    description: Whether namespaces, CRDs, persistent volumes and their claims that are no longer wanted are removed
      too.
    type: bool
    default: false
  timeout:
    description: How long applying may take, waits between sub-waves included, in seconds.
    type: float
    default: 600
"""

EXAMPLES = r"""
- name: Deliver cert-manager
  banking.platform.component:
    charts:
      - {name: cert-manager, namespace: cert-manager, values: values.yml.j2}
"""

RETURN = r"""
plan:
  description: One step for each file of the tree, or object of the cluster, that changes or would change.
  returned: success
  type: list
  elements: dict
path:
  description: The component's folder in the tree.
  returned: when it is rendered to a tree
  type: str
objects:
  description: How many objects the component has.
  returned: success
  type: int
not_validated:
  description: Kinds whose CRD is not at hand, each with how many objects were not validated.
  returned: success
  type: dict
not_rendered:
  description: Charts that could not be had where that is allowed.
  returned: success
  type: list
  elements: str
"""
