# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A chart of the tests' own: hooks, a CRD, a sub-chart, a lookup, and, when asked for, random values."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

from ansible_collections.banking.platform.plugins.module_utils.catalog import Chart

NAME, VERSION = "web", "1.2.3"
FILES = {
    "Chart.yaml": "{apiVersion: v2, name: web, version: 1.2.3, dependencies: [{name: cache, version: 0.1.0}]}",
    "values.yaml": "{replicas: 1, random: false, fail: '', secret: ''}",
    "crds/widgets.yaml": """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  scope: Cluster
  names: {kind: Widget, plural: widgets}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec:
    {type: object, properties: {size: {type: integer}}}}}}}]
""",
    "templates/web.yaml": """
{{- if .Values.fail }}{{ fail .Values.fail }}{{ end }}
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-config}
data:
  replicas: {{ .Values.replicas | quote }}
  found: {{ (lookup "v1" "Namespace" "" "kube-system") | toJson | quote }}
  kubernetes: {{ .Capabilities.KubeVersion.Version }}
  monitored: {{ .Capabilities.APIVersions.Has "monitoring.coreos.com/v1" | quote }}
  password: {{ if .Values.random }}{{ randAlphaNum 12 | quote }}{{ else }}fixed{{ end }}
---
apiVersion: example.org/v1
kind: Widget
metadata: {name: {{ .Release.Name }}}
spec: {size: {{ .Values.replicas }}}
{{- if .Values.secret }}
---
apiVersion: v1
kind: Secret
metadata: {name: web-key}
stringData: {key: {{ .Values.secret | quote }}}
{{- end }}
""",
    "templates/hooks.yaml": """
{{- range $name, $hook := dict "before" "pre-install,pre-upgrade" "after" "post-install" "gone" "pre-delete" }}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $name }}
  annotations:
    helm.sh/hook: {{ $hook | quote }}
    helm.sh/hook-weight: "-5"
    helm.sh/hook-delete-policy: hook-succeeded
    kept: "yes"
spec:
  ttlSecondsAfterFinished: 10
  template: {spec: {restartPolicy: Never, containers: [{name: a, image: "a:1"}]}}
{{- end }}
""",
    "templates/tests/test.yaml": """
apiVersion: v1
kind: Pod
metadata: {name: test, annotations: {"helm.sh/hook": test}}
spec: {containers: [{name: a, image: "a:1"}]}
""",
    "charts/cache/Chart.yaml": "{apiVersion: v2, name: cache, version: 0.1.0}",
    "charts/cache/values.yaml": "{size: small}",
    "charts/cache/templates/cache.yaml": """
apiVersion: v1
kind: ConfigMap
metadata: {name: cache, namespace: elsewhere}
data: {size: {{ .Values.size }}}
""",
}


def pack(folder: Path, changes: dict[str, str] | None = None) -> Path:
    """Write the chart as an archive into a folder, and return its path."""
    source = folder / "source"
    for name, text in {**FILES, **(changes or {})}.items():
        path = source / NAME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    archive = folder / f"{NAME}-{VERSION}.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source / NAME, NAME)
    return archive


def entry(archive: Path, repository: str = "https://charts.example.org", locked: bool = True) -> Chart:
    """The chart as the catalog knows it."""
    digest = f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}"
    return Chart(
        name=NAME,
        component=NAME,
        version=VERSION,
        reference=f"{repository}/{NAME}:{VERSION}",
        repository=repository,
        filename=archive.name,
        digest=digest if locked else None,
        urls=(),
        path=None,
    )
