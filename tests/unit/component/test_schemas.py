# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strict validation: each of these errors is found, and correct objects are left alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import manifests
from ansible_collections.banking.platform.plugins.plugin_utils.schemas import Schemas, crd_of
from ansible_collections.banking.platform.tools.suites import crds_folder

VERSIONS = ["1.28.15", "1.35.6"]
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:1", resources: {limits: {cpu: 1, memory: 64Mi}}}]}
"""
WIDGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              required: [size]
              properties:
                size: {type: integer, minimum: 0, exclusiveMinimum: true}
                port: {x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}
                note: {type: string, nullable: true}
                mode: {type: string, enum: [fast, slow], nullable: true}
                free: {type: object, x-kubernetes-preserve-unknown-fields: true}
                labels: {type: object, additionalProperties: {type: string}}
                either:
                  type: object
                  properties: {a: {type: string}, b: {type: string}}
                  oneOf: [{required: [a]}, {required: [b]}]
                template:
                  type: object
                  x-kubernetes-embedded-resource: true
                  x-kubernetes-preserve-unknown-fields: true
    - {name: v1alpha1, served: false, storage: false, schema: {openAPIV3Schema: {type: object}}}
"""
TEMPLATE = """
apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: goodnames}
spec:
  crd:
    spec:
      names: {kind: GoodNames}
      validation:
        openAPIV3Schema: {type: object, required: [names], properties: {names: {type: array, items: {type: string}}}}
  targets: [{target: admission.k8s.gatekeeper.sh, rego: ""}]
"""
CONSTRAINT = "{apiVersion: constraints.gatekeeper.sh/v1beta1, kind: GoodNames, metadata: {name: a}, spec: %s}"
WIDGET = "{apiVersion: example.org/v1, kind: Widget, metadata: {name: a, namespace: b}, spec: %s}"


def problems(text: str, version: str = VERSIONS[0]) -> list[str]:
    return Schemas(version).check(manifests.load(text, "demo.yml")).problems


def widget(spec: str) -> list[str]:
    return problems(WIDGETS + "---\n" + WIDGET % spec)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_correct_object_has_no_problems(version: str) -> None:
    assert problems(DEPLOYMENT, version) == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("replicas: 3", "replicas: '3'"), 'spec.replicas: "3" is not of type'),
        (("replicas: 3", "replica: 3"), "spec: unknown field 'replica'"),
        (("image: ", "imag: "), "spec.template.spec.containers.0: unknown field 'imag'"),
        (("namespace: shop", "labels: {}"), "has no namespace, and needs one"),
        (("name: web, n", "name: Web, n"), "metadata.name: 'Web' is no DNS name"),
        (("name: web, n", f"name: {'w' * 64}, n"), "has 64 characters, at most 63"),
        (("name: web, n", "labels: {a: 'b c'}, name: web, n"), "metadata.labels.a: 'b c' is no value of a label"),
        (("name: web, n", "labels: {'a b': c}, name: web, n"), "metadata.labels: 'a b' is no key of a label"),
        (("namespace: shop", "namespace: Shop"), "'Shop' is no name of a namespace"),
    ],
)
def test_each_error_is_named_with_file_object_and_path(wrong: tuple[str, str], said: str, version: str) -> None:
    assert wrong[0] in DEPLOYMENT
    (problem,) = problems(DEPLOYMENT.replace(*wrong), version)
    assert problem.startswith("demo.yml: apps/v1 Deployment ")
    assert said in problem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "{apiVersion: v1, kind: Namespace, metadata: {name: a, namespace: b}}",
            "is no object of a namespace, and has b",
        ),
        ("{apiVersion: v1, kind: Service, metadata: {name: a.b, namespace: b}}", "is no DNS label"),
        ("{apiVersion: batch/v1, kind: CronJob, metadata: {name: %s, namespace: b}}" % ("c" * 53), "at most 52"),
        ("{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: a/b}}", "holds / or %"),
    ],
)
def test_names_follow_the_rules_of_their_kind(text: str, said: str) -> None:
    assert any(said in problem for problem in problems(text))


def test_the_names_that_kubernetes_itself_uses_are_good() -> None:
    role = "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: 'system:node'}, rules: []}"
    assert problems(role) == []


def test_an_object_that_is_there_twice_is_found() -> None:
    (problem,) = problems(DEPLOYMENT + "---" + DEPLOYMENT)
    assert problem.endswith("is also in demo.yml")


@pytest.mark.parametrize(
    "spec",
    [
        "{size: 1}",
        "{size: 1, port: 80}",
        "{size: 1, port: http}",
        "{size: 1, note: null, mode: null}",
        "{size: 1, free: {any: [1, {thing: 2}]}}",
        "{size: 1, labels: {any: text}}",
        "{size: 1, either: {a: x}}",
        "{size: 1, template: {apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {}}}",
    ],
)
def test_a_resource_that_its_crd_allows_is_good(spec: str) -> None:
    assert widget(spec) == []


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("{size: one}", "spec.size"),
        ("{size: 0}", "spec.size"),
        ("{}", '"size" is a required property'),
        ("{size: 1, sise: 2}", "spec: unknown field 'sise'"),
        ("{size: 1, port: [80]}", "spec.port"),
        ("{size: 1, mode: medium}", "spec.mode"),
        ("{size: 1, labels: {any: 1}}", "spec.labels.any"),
        ("{size: 1, either: {a: x, c: y}}", "spec.either: unknown field 'c'"),
        ("{size: 1, either: {a: x, b: y}}", "spec.either"),
    ],
)
def test_a_resource_that_its_crd_refuses_is_named(spec: str, said: str) -> None:
    found = widget(spec)
    assert found
    assert any(said in problem for problem in found), found


def test_metadata_of_a_custom_resource_is_strict_too() -> None:
    text = WIDGETS + "---\n" + (WIDGET % "{size: 1}").replace("name: a,", "name: a, label: {},")
    assert problems(text) == ["demo.yml: example.org/v1 Widget b/a: metadata: unknown field 'label'"]


@pytest.mark.parametrize("version", ["v1alpha1", "v2"])
def test_a_version_that_is_not_served_is_not_known(version: str) -> None:
    text = WIDGETS + "---\n" + (WIDGET % "{}").replace("/v1", f"/{version}")
    verdict = Schemas(VERSIONS[0]).check(manifests.load(text, "demo.yml"))
    assert verdict.unknown == {f"example.org/{version} Widget": 1}
    assert verdict.problems == []


def test_crds_are_found_in_folders(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "widgets.yaml").write_text(WIDGETS)
    (tmp_path / "broken.yaml").write_text("a: [")  # of no interest: it names neither group nor kind
    schemas = Schemas(VERSIONS[0], [str(tmp_path)])
    assert schemas.namespaced("example.org/v1", "Widget") is True
    assert schemas.namespaced("example.org/v1", "Gadget") is None
    assert len(schemas.check(manifests.load(WIDGET % "{size: x}", "demo.yml")).problems) == 1


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("{enforcementAction: deny, parameters: {names: [a]}, match: {excludedNamespaces: [kube-*]}}", ""),
        ("{parameters: {names: [a], name: b}}", "spec.parameters: unknown field 'name'"),
        ("{parameters: {names: a}}", 'spec.parameters.names: "a" is not of type "array"'),
        ("{parameters: {}}", 'spec.parameters: "names" is a required property'),
        ("{match: {namespace: [a]}}", "spec.match: unknown field 'namespace'"),
        ("{match: {kinds: [{groups: [apps]}]}}", "spec.match.kinds.0: unknown field 'groups'"),
        ("{match: {namespaces: [a_b]}}", "spec.match.namespaces.0: "),
        ("{enforcement: deny}", "spec: unknown field 'enforcement'"),
    ],
)
def test_a_constraint_is_held_to_its_template(spec: str, said: str) -> None:
    found = problems(TEMPLATE + "---\n" + CONSTRAINT % spec)
    assert len(found) == bool(said)
    assert all(f"GoodNames a: {said}" in problem for problem in found)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("items: {type: string}", "item: {type: string}"), "the CRD that is made of it: .*unknown field 'item'"),
        (("name: goodnames", "name: good-names"), "its name is not its kind in lower case"),
        (("kind: GoodNames", "kinds: GoodNames"), "not the shape of a ConstraintTemplate"),
    ],
)
def test_a_template_is_what_gatekeeper_takes(wrong: tuple[str, str], said: str) -> None:
    text = TEMPLATE.replace(*wrong)
    try:
        found = problems(text)
    except Failure as failure:
        found = [failure.cause]
    assert re.search(said, "\n".join(found)), found


def test_a_constraint_without_a_template_is_not_known() -> None:
    verdict = Schemas(VERSIONS[0]).check(manifests.load(CONSTRAINT % "{}", "demo.yml"))
    assert verdict.unknown == {"constraints.gatekeeper.sh/v1beta1 GoodNames": 1}


@pytest.mark.crds
@pytest.mark.parametrize("release", ["2024.1", "2026.2"])
def test_what_a_constraint_matches_is_what_mutations_match(release: str) -> None:
    """Both are made of one type of Gatekeeper's, whose CRDs tell it of the mutations alone."""
    (path,) = Path(str(crds_folder())).joinpath(release, "gatekeeper").glob("*assignmetadata*")
    crd = manifests.load(path.read_text(), str(path))[0].object
    theirs = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["match"]
    template = manifests.load(TEMPLATE, "demo.yml")[0]
    schema = crd_of(template)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    ours = schema["properties"]["spec"]["properties"]["match"]
    assert shape(ours) == shape(theirs)


def shape(schema: Any) -> Any:
    """A schema without words."""
    if isinstance(schema, dict):
        kept = {key: shape(value) for key, value in schema.items() if not key.startswith("x-kubernetes")}
        return {key: value for key, value in kept.items() if key != "description" or isinstance(value, dict)}
    return sorted(schema) if isinstance(schema, list) else schema


def test_what_cannot_be_used_is_said() -> None:
    with pytest.raises(Failure, match="no schemas for Kubernetes"):
        Schemas("1.99.0").check(manifests.load(DEPLOYMENT, "demo.yml"))
    with pytest.raises(Failure, match="there is no folder"):
        Schemas(VERSIONS[0], ["/nowhere"]).namespaced("example.org/v1", "Widget")
    crd = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: a}, spec: {group: b}}"
    with pytest.raises(Failure, match="not the shape of a CRD"):
        Schemas(VERSIONS[0]).check(manifests.load(crd, "demo.yml"))
