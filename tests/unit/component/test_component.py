# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `component` renders, refuses, writes to a tree and hands to k8s_apply. A cluster: tests/integration/kube."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import EncryptedString, VaultLib, VaultSecret, VaultSecretsContext

from ansible_collections.banking.platform.plugins.action import component as component_action
from ansible_collections.banking.platform.plugins.module_utils.kube import spec
from ansible_collections.banking.platform.plugins.plugin_utils import argocd
from ansible_collections.banking.platform.plugins.plugin_utils.authorities import Keyring, Store
from ansible_collections.banking.platform.plugins.plugin_utils.git_tree import GitTree, Repository
from ansible_collections.banking.platform.plugins.plugin_utils.manifests import Manifest
from ansible_collections.banking.platform.plugins.plugin_utils.schemas import Schemas
from ansible_collections.banking.platform.tests.programs import helm
from ansible_collections.banking.platform.tests.unit.action.conftest import make_action, trusted
from ansible_collections.banking.platform.tests.unit.component import chart
from ansible_collections.banking.platform.tools.suites import CLONE, crds_folder

CONFIG = """apiVersion: v1
kind: ConfigMap
metadata: {name: %s, namespace: demo}
data: {zones: '{{ platform_zones | length }}'}
"""
SECRET = "{apiVersion: v1, kind: Secret, metadata: {name: key, namespace: demo}, stringData: {a: hunter22}}"
WEB = {
    "name": "web",
    "namespace": "shops",
}


class Component:
    """A role, an inventory and the action called with them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.role, self.inventory = folder, folder / "roles" / "demo_app", folder / "inventory"
        self.sent: list[dict[str, Any]] = []
        self.answer: dict[str, Any] = {"changed": True, "plan": [], "deferred": []}
        self.variables: dict[str, Any] = {
            "platform_release": "2024.1",
            "platform_zones": ["a", "b", "c"],
            "platform_delivery": "render",
            "platform_build_dir": str(folder / "build"),
            "inventory_dir": str(self.inventory),
            "inventory_hostname": "localhost",
        }
        self.put("roles/demo_app/meta/platform.yml", "wave: 7\n")
        self.manifest("config.yml.j2", CONFIG % "one")

    def put(self, path: str, text: str) -> Path:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def manifest(self, name: str, text: str) -> Path:
        return self.put(f"roles/demo_app/templates/manifests/{name}", text)

    def with_chart(self, changes: dict[str, str] | None = None, **wish: Any) -> dict[str, Any]:
        """A chart in the catalog and among what was fetched; returns the task's arguments."""
        archive = chart.pack(self.folder / "chart", changes) if not (self.folder / "chart").exists() else None
        charts = self.folder / "build" / "charts"
        if archive:
            charts.mkdir(parents=True)
            archive.rename(charts / archive.name)
        fetched = next(charts.iterdir(), None)
        entry: dict[str, Any] = {"name": chart.NAME, "version": chart.VERSION, "repo": "http://127.0.0.1:9"}
        if fetched:
            entry["digest"] = chart.entry(fetched).digest
        self.variables["platform_catalog_overrides"] = {
            "components": {"web": {"version": chart.VERSION, "licence": "MIT", "wave": 7, "charts": [entry]}}
        }
        return {"charts": [{**WEB, **wish}]}

    def run(self, check: bool = False, **arguments: Any) -> dict[str, Any]:
        variables = {key: trusted(value) for key, value in self.variables.items()}
        action = make_action("component", arguments, self.role, **variables)
        action._task.check_mode, action._task.diff = check, True

        def execute(module_args: dict[str, Any], **_options: Any) -> dict[str, Any]:
            self.sent.append(json.loads(json.dumps(module_args)))
            return json.loads(json.dumps(self.answer))

        action._execute_module = execute
        return dict(action.run(task_vars=variables))

    def done(self, **arguments: Any) -> dict[str, Any]:
        result = self.run(**arguments)
        assert not result.get("failed"), result["msg"]
        return result

    def said(self, **arguments: Any) -> str:
        """The message of a run that fails, before anything is changed."""
        before = self.tree()
        result = self.run(**arguments)
        assert result["failed"]
        assert (self.tree(), self.sent) == (before, [])
        return str(result["msg"])

    def tree(self) -> dict[str, str]:
        root = self.folder / "build" / "tree" / "components"
        return {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*.yaml"))}


@pytest.fixture
def component(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Component:
    monkeypatch.setenv("PATH", str(helm().parent), prepend=":")
    return Component(tmp_path)


def test_a_tree_has_one_file_an_object(component: Component) -> None:
    component.manifest("deep/namespace.yml", "{apiVersion: v1, kind: Namespace, metadata: {name: demo}}")
    result = component.done()
    assert (result["changed"], result["objects"]) == (True, 2)
    assert component.tree() == {
        # Neither ArgoCD nor a run removes it when it is gone from here.
        "07-demo-app/_cluster/namespace-demo.yaml": (
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  annotations:\n"
            "    argocd.argoproj.io/compare-options: IgnoreExtraneous\n"
            "    argocd.argoproj.io/sync-options: Prune=false\n  name: demo\n"
        ),
        "07-demo-app/demo/configmap-one.yaml": (
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: one\n  namespace: demo\ndata:\n  zones: '3'\n"
        ),
    }
    assert [step["action"] for step in result["plan"]] == ["create", "create"]


def test_options_that_an_object_has_for_argocd_stay(component: Component) -> None:
    meta = "{name: demo, annotations: {argocd.argoproj.io/sync-options: Replace=true}}"
    component.manifest("namespace.yml", f"{{apiVersion: v1, kind: Namespace, metadata: {meta}}}")
    component.done()
    found = yaml.safe_load(component.tree()["07-demo-app/_cluster/namespace-demo.yaml"])["metadata"]["annotations"]
    assert found["argocd.argoproj.io/sync-options"] == "Replace=true,Prune=false"


def test_a_second_run_changes_nothing_and_a_third_only_what_differs(component: Component) -> None:
    component.manifest("gone.yml.j2", CONFIG % "gone")
    component.done()
    again = component.done()
    assert (again["changed"], again["plan"], again["diff"]) == (False, [], [])
    component.manifest("gone.yml.j2", CONFIG.replace("namespace: demo", "namespace: other") % "new")
    changed = component.done()
    assert {(step["action"], step["target"]) for step in changed["plan"]} == {
        ("create", "components/07-demo-app/other/configmap-new.yaml"),
        ("delete", "components/07-demo-app/demo/configmap-gone.yaml"),
    }
    assert set(component.tree()) == {"07-demo-app/demo/configmap-one.yaml", "07-demo-app/other/configmap-new.yaml"}


def test_check_mode_shows_and_writes_nothing(component: Component) -> None:
    result = component.run(check=True)
    assert result["changed"]
    assert "+" not in result["diff"][0]["before"]
    assert "zones: '3'" in result["diff"][0]["after"]
    assert component.tree() == {}


def test_a_component_that_moves_to_another_wave_leaves_no_folder_behind(component: Component) -> None:
    component.done()
    component.done(wave=12)
    assert set(component.tree()) == {"12-demo-app/demo/configmap-one.yaml"}


def test_the_inventory_is_laid_over_the_role(component: Component) -> None:
    component.put("inventory/overlay/demo_app/manifests/config.yml.j2", CONFIG % "ours")
    component.put(
        "inventory/overlay/demo_app/manifests/more.yml", CONFIG.replace("{{ platform_zones | length }}", "x") % "more"
    )
    component.done()
    assert set(component.tree()) == {"07-demo-app/demo/configmap-ours.yaml", "07-demo-app/demo/configmap-more.yaml"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            CONFIG.replace("\ndata:", "\ndta:") % "x",
            "templates/manifests/x.yml.j2: v1 ConfigMap demo/x: unknown field 'dta'",
        ),
        (CONFIG.replace(", namespace: demo", "") % "x", "has no namespace, and needs one"),
        (CONFIG % "one", "v1 ConfigMap demo/one: is also in templates/manifests/config.yml.j2"),
        (CONFIG.replace("platform_zones", "platform_zonen") % "x", "'platform_zonen' is undefined"),
        ("kind: [", "no YAML"),
        (SECRET, "Secrets do not go into a tree that is kept in Git: demo/key"),
    ],
)
def test_each_error_ends_the_run_before_anything_is_changed(component: Component, text: str, said: str) -> None:
    component.done()
    component.manifest("x.yml.j2", text)
    message = component.said()
    assert message.startswith("component demo-app: ")
    assert said in message
    assert " - next: " in message


def test_all_errors_come_at_once(component: Component) -> None:
    component.manifest(
        "x.yml.j2", CONFIG.replace("\ndata:", "\ndta:") % "x" + "---\n" + CONFIG.replace("\ndata:", "\ndat:") % "y"
    )
    message = component.said()
    assert message.startswith("component demo-app: 2 error(s) in its manifests, nothing was changed:\n")


def test_an_object_of_two_components_is_refused(component: Component) -> None:
    component.done(name="first")
    message = component.said(name="second")
    assert "demo/configmap-one.yaml is also in 07-first" in message
    component.manifest("config.yml.j2", CONFIG % "other")
    component.done(name="second")


def test_what_is_encrypted_goes_into_no_other_object_than_a_secret(
    component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = [("default", VaultSecret(b"password"))]
    monkeypatch.setattr(VaultSecretsContext, "_current", VaultSecretsContext(secrets))
    text = VaultLib(secrets).encrypt("hunter22").decode()
    component.variables["demo_password"] = EncryptedString(ciphertext=text)
    component.manifest("x.yml.j2", CONFIG.replace("{{ platform_zones | length }}", "{{ demo_password }}") % "x")
    message = component.said()
    assert "v1 ConfigMap demo/x takes in a value that is kept encrypted" in message
    assert "hunter22" not in message


def test_direct_hands_all_objects_to_the_cluster_and_writes_no_tree(component: Component) -> None:
    component.variables |= {"platform_delivery": "direct", "platform_kubeconfig": "/etc/kubeconfig"}
    component.manifest("secret.yml", SECRET)
    component.done(take_over=True)
    (sent,) = component.sent
    assert {item["kind"] for item in spec.unpack(sent["packed"])} == {"ConfigMap", "Secret"}
    assert (sent["component"], sent["take_over"], sent["kubeconfig"]) == ("demo-app", True, "/etc/kubeconfig")
    assert "hunter22" not in json.dumps(sent)
    assert component.tree() == {}


def test_where_the_clusters_authority_is_a_certificate_is_signed_for_the_run(component: Component) -> None:
    (component.folder / "passphrase").write_text("correct horse battery")
    reference = f"file:{component.folder / 'passphrase'}"
    component.variables |= {
        "platform_delivery": "direct",
        "platform_ca_dir": str(component.folder / "ca"),
        "platform_ca_passphrase": reference,
        "api_lb_virtual_ip": "127.0.0.1",
    }
    component.done()
    Store(str(component.folder / "ca"), Keyring(reference=reference)).create("kubernetes", "test", 30)
    component.done()
    component.variables["platform_kubeconfig"] = "/etc/kubeconfig"
    component.done()
    without, signed, named = (sent.get("kubeconfig") for sent in component.sent)
    assert (without, named) == (None, "/etc/kubeconfig")
    assert signed
    assert signed["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:8443"
    assert signed["users"][0]["user"]["client-certificate-data"]


def test_a_chart_is_part_of_the_component(component: Component) -> None:
    component.put(
        "roles/demo_app/templates/values.yml.j2", "replicas: {{ platform_zones | length }}\ncache: {size: medium}\n"
    )
    component.put("inventory/overlay/demo_app/values.yml.j2", "cache: {size: large}\n")
    result = component.done(**component.with_chart(values="values.yml.j2"))
    tree = component.tree()
    config = yaml.safe_load(tree["07-demo-app/shops/configmap-web-config.yaml"])
    assert config["data"]["replicas"] == "3"
    assert config["metadata"]["namespace"] == "shops"
    assert yaml.safe_load(tree["07-demo-app/elsewhere/configmap-cache.yaml"])["data"] == {"size": "large"}
    assert "07-demo-app/_cluster/widget.example.org-web.yaml" in tree, (
        "the chart's own CRD says that it has no namespace"
    )
    assert (result["not_validated"], result["not_rendered"], result["warnings"]) == ({}, [], [])


def test_without_helm_the_catalogs_is_fetched_once(component: Component, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [folder for folder in os.environ["PATH"].split(":") if not os.path.exists(f"{folder}/helm")]
    monkeypatch.setenv("PATH", ":".join(folders))
    wish = component.with_chart()
    packed = component.folder / "mirror" / "helm.tar.gz"
    packed.parent.mkdir()
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(str(helm()), "linux-amd64/helm")
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    component.variables["platform_catalog_overrides"]["components"]["helm"] = {
        "artifacts": {"helm": {"urls": [packed.as_uri()], "sha256": {"amd64": digest, "arm64": digest}}}
    }
    assert component.done(**wish)["objects"] > 1
    (fetched,) = (component.folder / "build" / "programs").iterdir()
    packed.unlink()
    assert not component.done(**wish)["changed"]
    fetched.unlink()
    message = component.said(**wish)
    assert "helm is not in the PATH of the controller, and 3.16.4 cannot be fetched: " in message
    assert "next: install helm 3, or make its address reachable" in message


def test_a_charts_objects_are_validated_like_ours(component: Component) -> None:
    component.put("roles/demo_app/templates/values.yml.j2", "replicas: many\n")
    message = component.said(**component.with_chart(values="values.yml.j2"))
    assert 'web/templates/web.yaml: example.org/v1 Widget web: spec.size: "many" is not of type "integer"' in message


def test_a_charts_secret_is_refused_in_a_tree(component: Component) -> None:
    component.put("roles/demo_app/templates/values.yml.j2", "secret: hunter22\n")
    message = component.said(**component.with_chart(values="values.yml.j2"))
    assert "shops/web-key (web/templates/web.yaml)" in message
    assert "hunter22" not in message


def test_charts_of_another_team_are_left_alone(component: Component) -> None:
    component.variables["platform_charts"] = "external"
    assert component.done(**component.with_chart())["objects"] == 1


def test_a_chart_that_cannot_be_had_is_an_error_unless_the_environment_has_none(component: Component) -> None:
    (component.folder / "chart").mkdir()
    (component.folder / "build" / "charts").mkdir(parents=True)
    wish = component.with_chart()
    assert "component demo-app: chart web 1.2.3: " in component.said(**wish)
    component.variables["platform_unavailable"] = {"features": ["charts"]}
    result = component.done(**wish)
    assert (result["not_rendered"], result["objects"]) == (["web"], 1)
    assert result["warnings"][0].startswith("component demo-app: not rendered: chart web 1.2.3")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("platform_delivery", "gitop", "platform_delivery: 'gitop' is not one of gitops, direct, render"),
        ("platform_charts", "none", "platform_charts: 'none' is not one of manage, external"),
        ("platform_crds", "/nowhere", "platform_crds: there is no folder /nowhere"),
        ("platform_release", "2042.1", "no catalog for '2042.1'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(component: Component, variable: str, value: str, said: str) -> None:
    component.manifest("x.yml", "{apiVersion: example.org/v1, kind: Widget, metadata: {name: x}}")
    component.variables[variable] = value
    assert said in component.said()


def with_release(component: Component, text: str = "", digest: str = "") -> dict[str, Any]:
    """Manifests that a project has released, and the catalog's entry of them; returns the task's arguments."""
    path = component.put("upstream/api.yaml", text or CONFIG % "released")
    entry = {
        "kind": "manifest",
        "urls": [path.as_uri()],
        "sha256": {"any": digest or hashlib.sha256(path.read_bytes()).hexdigest()},
    }
    component.variables["platform_catalog_overrides"] = {
        "components": {"api": {"version": "1.2.3", "licence": "MIT", "wave": 3, "artifacts": {"api": entry}}}
    }
    return {"artifacts": ["api"]}


def test_released_manifests_are_part_of_the_component(component: Component) -> None:
    wish = with_release(component)
    assert component.done(**wish)["objects"] == 2
    assert "07-demo-app/demo/configmap-released.yaml" in component.tree()
    # What was fetched once is at hand: the tree needs no network.
    (component.folder / "upstream" / "api.yaml").unlink()
    assert not component.done(**wish)["changed"]


def test_what_a_released_file_has_and_comes_from_elsewhere_is_left_out(component: Component) -> None:
    wish = with_release(component, f"{CONFIG % 'released'}---\n{CONFIG % 'ours'}")
    assert component.done(**wish, leave_out=["ConfigMap/ours"])["objects"] == 2
    assert "07-demo-app/demo/configmap-ours.yaml" not in component.tree()
    assert "a released manifest has no ConfigMap/theirs" in component.said(**wish, leave_out=["ConfigMap/theirs"])


def test_nothing_is_left_out_of_what_is_not_there(component: Component) -> None:
    component.variables["platform_charts"] = "external"
    assert component.done(**with_release(component), leave_out=["ConfigMap/ours"])["objects"] == 1


def test_released_manifests_are_validated_like_ours(component: Component) -> None:
    wish = with_release(component, CONFIG.replace("data:", "date:") % "released")
    assert "api-1.2.3: ConfigMap" in component.said(**wish)


def test_released_manifests_of_another_team_are_left_alone(component: Component) -> None:
    component.variables["platform_charts"] = "external"
    assert component.done(**with_release(component))["objects"] == 1


def test_other_manifests_than_the_catalog_names_are_refused(component: Component) -> None:
    assert "SHA-256 is" in component.said(**with_release(component, digest="0" * 64))
    wish = with_release(component)
    component.done(**wish)
    component.put("build/artifacts/api-1.2.3.yaml", CONFIG % "another")
    message = component.said(**wish)
    assert "build/artifacts/api-1.2.3.yaml has SHA-256" in message
    assert "next: remove the file" in message


def test_released_manifests_that_cannot_be_had_are_an_error_unless_the_environment_has_none(
    component: Component,
) -> None:
    wish = with_release(component)
    (component.folder / "upstream" / "api.yaml").unlink()
    assert "component demo-app: api 1.2.3: " in component.said(**wish)
    component.variables["platform_unavailable"] = {"features": ["charts"]}
    result = component.done(**wish)
    assert (result["objects"], result["not_rendered"]) == (1, ["api"])
    component.variables |= {"artifacts_source": "bundle", "artifacts_bundle": str(component.folder)}
    assert "the bundle has no" in component.done(**wish)["warnings"][0]


def test_a_chart_that_is_not_in_the_catalog_is_refused(component: Component) -> None:
    assert "no chart 'wbe'" in component.said(charts=[{"name": "wbe", "namespace": "x"}])


def test_kinds_without_a_crd_are_counted_and_said(component: Component) -> None:
    component.manifest("x.yml", "{apiVersion: example.org/v1, kind: Widget, metadata: {name: x, namespace: y}}")
    result = component.done()
    assert result["not_validated"] == {"example.org/v1 Widget": 1}
    assert (
        "not validated, since their CRDs are not at hand (platform_crds): example.org/v1 Widget (1)"
        in result["warnings"][0]
    )


def test_kinds_that_another_component_brings_are_known(component: Component) -> None:
    brought = """apiVersion: templates.gatekeeper.sh/v1
kind: ConstraintTemplate
metadata: {name: goodnames}
spec:
  crd:
    spec:
      names: {kind: GoodNames}
      validation: {openAPIV3Schema: {type: object, properties: {a: {type: string}}}}
"""
    wanted = (
        "{apiVersion: constraints.gatekeeper.sh/v1beta1, kind: GoodNames, metadata: {name: x}, spec: {parameters: %s}}"
    )
    component.manifest("templates.yml", brought)
    component.put("roles/demo_app/templates/constraints/x.yml", wanted % "{a: text}")
    result = component.done(manifests=["constraints"], kinds_from=["manifests"])
    assert (result["not_validated"], list(component.tree())) == (
        {},
        ["07-demo-app/_cluster/goodnames.constraints.gatekeeper.sh-x.yaml"],
    )
    component.put("roles/demo_app/templates/constraints/x.yml", wanted % "{b: text}")
    assert "spec.parameters: unknown field 'b'" in component.said(manifests=["constraints"], kinds_from=["manifests"])


# GitOps


@pytest.fixture
def remote(component: Component) -> Path:
    """An empty repository that the component is delivered to."""
    path = component.folder / "remote.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(path)], check=True)
    component.variables |= {"platform_delivery": "gitops", "platform_git": {"url": str(path), "path": "prod"}}
    return path


def committed(remote: Path) -> dict[str, str]:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(remote), *arguments], capture_output=True, text=True, check=True).stdout

    return {name: git("show", f"main:{name}") for name in git("ls-tree", "-r", "--name-only", "main").splitlines()}


def messages(remote: Path) -> list[str]:
    log = ["git", "-C", str(remote), "log", "--format=%s", "main"]
    return subprocess.run(log, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_component_is_committed_with_its_application(component: Component, remote: Path) -> None:
    planned = component.run(check=True)
    assert {step["target"] for step in planned["plan"]} == {
        "apps/07-demo-app.yaml",
        "components/07-demo-app/demo/configmap-one.yaml",
    }
    assert not (remote / "refs" / "heads" / "main").exists()
    first = component.done()
    files = committed(remote)
    assert set(files) == {"prod/apps/07-demo-app.yaml", "prod/components/07-demo-app/demo/configmap-one.yaml"}
    spec_ = yaml.safe_load(files["prod/apps/07-demo-app.yaml"])["spec"]
    assert spec_["source"]["path"] == "prod/components/07-demo-app"
    # What is only created belongs to a later wave: ArgoCD would keep it as the early one has it.
    assert spec_["source"]["directory"] == {"recurse": True, "exclude": "_once/*"}
    assert messages(remote) == ["demo-app: 2 added"]
    again = component.done()
    assert (again["changed"], again["revision"]) == (False, first["revision"])
    assert len(messages(remote)) == 1


def test_what_somebody_else_did_to_the_tree_is_shown_and_put_right(component: Component, remote: Path) -> None:
    component.done()
    theirs = GitTree(Repository(str(remote), path="prod"), str(component.folder / "theirs"))
    theirs.write(["components/07-demo-app"], {"components/07-demo-app/demo/configmap-x.yaml": b"x"}, "by hand")
    drift = component.run(check=True)
    assert {(step["action"], step["target"]) for step in drift["plan"]} == {
        ("create", "components/07-demo-app/demo/configmap-one.yaml"),
        ("delete", "components/07-demo-app/demo/configmap-x.yaml"),
    }
    component.done()
    assert messages(remote)[0] == "demo-app: 1 added, 1 removed"


def test_a_component_in_another_wave_takes_its_application_along(component: Component, remote: Path) -> None:
    component.done()
    component.done(wave=12)
    assert set(committed(remote)) == {
        "prod/apps/12-demo-app.yaml",
        "prod/components/12-demo-app/demo/configmap-one.yaml",
    }


def test_rendered_and_committed_are_the_same_bytes(component: Component, remote: Path) -> None:
    component.done()
    component.variables["platform_delivery"] = "render"
    component.done()
    root = component.folder / "build" / "tree"
    rendered = {f"prod/{path.relative_to(root)}": path.read_text() for path in root.rglob("*.yaml")}
    assert rendered == committed(remote)


def test_an_object_of_two_components_is_refused_in_git_too(component: Component, remote: Path) -> None:
    component.done(name=trusted("first"))  # as a playbook gives it
    assert "demo/configmap-one.yaml is also in 07-first" in component.said(name="second")


def test_a_secret_never_reaches_the_repository(component: Component, remote: Path) -> None:
    component.manifest("secret.yml", SECRET)
    assert "Secrets do not go into a tree" in component.said()
    kept = list((component.folder / "build").rglob("*"))
    assert not [path for path in kept if path.is_file() and b"hunter22" in path.read_bytes()]


def test_without_a_repository_nothing_is_delivered(component: Component) -> None:
    component.variables["platform_delivery"] = "gitops"
    assert "platform_git is not set - next: name the repository that ArgoCD follows" in component.said()


# Before ArgoCD follows Git, and past it. The whole way on a real API server: tests/integration/kube/test_argocd.py


class Applications:
    """A client that knows Applications only."""

    def __init__(self, **automated: Any) -> None:
        self.found = {argocd.path(name): {"spec": {"syncPolicy": policy}} for name, policy in automated.items()}

    def find(self, path: str) -> Any:
        return self.found.get(path)

    def patch(self, path: str, body: Any) -> None:
        self.found[path]["spec"]["syncPolicy"] |= body["spec"]["syncPolicy"]


@pytest.fixture
def applications(monkeypatch: pytest.MonkeyPatch) -> Applications:
    client = Applications(**{"demo-app": {"automated": {"prune": True}}})
    monkeypatch.setattr(component_action, "client_of", lambda _connection: client)
    return client


@pytest.mark.parametrize(
    ("wave", "own", "left", "directly"),
    [(5, True, False, True), (5, True, True, True), (6, True, False, False), (5, False, False, False)],
)
def test_what_comes_before_argocd_reaches_the_cluster_without_it(
    component: Component, remote: Path, wave: int, own: bool, left: bool, directly: bool
) -> None:
    component.variables["argocd_enabled"] = own
    step = {"kind": "ConfigMap", "target": "demo/one", "action": "create"}
    component.answer = {"changed": not left, "plan": [] if left else [step], "left": left}
    result = component.done(wave=wave)
    assert set(committed(remote)) == {
        f"prod/apps/0{wave}-demo-app.yaml",
        f"prod/components/0{wave}-demo-app/demo/configmap-one.yaml",
    }
    assert [sent["unless"] for sent in component.sent] == [argocd.path("platform")] * directly
    assert (step in result["plan"]) == (directly and not left)
    again = component.done(wave=wave)
    assert again["changed"] == (directly and not left), "what the cluster says, when Git has it already"


def test_a_failure_in_the_cluster_is_one_of_the_component(component: Component, remote: Path) -> None:
    component.answer = {"failed": True, "msg": "no room", "next_step": "make some"}
    result = component.run(wave=2)
    assert (result["failed"], result["msg"]) == (True, "component demo-app: no room - next: make some")


def test_direct_is_refused_where_argocd_would_undo_it(component: Component) -> None:
    component.variables["platform_delivery"] = "direct"
    component.answer = {"changed": False, "left": True}
    result = component.run()
    assert result["failed"]
    assert "ArgoCD follows Git here" in result["msg"]
    assert component.sent[0]["unless"] == argocd.path("platform")


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_the_glass_is_not_broken_without_a_reason(component: Component, remote: Path, reason: str | None) -> None:
    component.variables |= {"platform_break_glass": True, "platform_break_glass_reason": reason}
    assert "platform_break_glass is set without a reason - next: say why" in component.said()
    component.variables["platform_break_glass"] = False
    component.done()


@pytest.mark.parametrize("check", [True, False])
def test_past_git_its_application_is_held_back(
    component: Component, remote: Path, applications: Applications, check: bool
) -> None:
    component.variables |= {"platform_break_glass": True, "platform_break_glass_reason": "INC-1"}
    result = component.run(check=check)
    assert not result.get("failed"), result["msg"]
    (sent,) = component.sent
    assert (sent["take_over_from"], sent.get("unless")) == (["argocd-controller"], None)
    policy = applications.found[argocd.path("demo-app")]["spec"]["syncPolicy"]
    assert policy == {"automated": {"prune": True} if check else None}
    assert [(step["kind"], step["note"]) for step in result["plan"]] == [
        ("delivery", "INC-1"),
        ("Application.argoproj.io", "no longer synchronised by itself: INC-1"),
    ]
    assert "demo-app: delivered past Git: INC-1" in result["warnings"][0]
    assert not (remote / "refs" / "heads" / "main").exists()


def test_past_git_nothing_is_said_of_nothing(component: Component, remote: Path, applications: Applications) -> None:
    applications.found.clear()
    component.variables |= {"platform_break_glass": True, "platform_break_glass_reason": "INC-1"}
    component.answer = {"changed": False, "plan": []}
    result = component.done()
    assert (result["changed"], result["plan"]) == (False, [])


def test_argocd_comes_in_the_wave_that_it_is_taken_for() -> None:
    declared = yaml.safe_load((CLONE / "roles" / argocd.COMPONENT / "meta" / "platform.yml").read_text())
    assert (declared["wave"], declared["namespace"]) == (argocd.WAVE, argocd.NAMESPACE)


@pytest.mark.crds
@pytest.mark.parametrize(("release", "version"), [("2024.1", "1.28.15"), ("2026.2", "1.35.6")])
def test_argocds_objects_are_what_its_crds_take(release: str, version: str) -> None:
    repository = Repository("https://git.bank/platform", "live", "prod")
    made = [
        argocd.application("demo", 7, "components/07-demo", repository),
        argocd.root(repository),
        argocd.project(repository),
        argocd.credentials(repository, {"username": "reader", "password": "hunter22"}),
    ]
    folder = crds_folder()
    verdict = Schemas(version, [f"{folder}/{release}"]).check([Manifest(item, "argocd") for item in made])
    assert (verdict.problems, verdict.unknown) == ([], {})


def roll_back(component: Component, revision: str, check: bool = False, **arguments: Any) -> dict[str, Any]:
    variables = {key: trusted(value) for key, value in component.variables.items()}
    action = make_action("rollback", {"revision": revision, **arguments}, **variables)
    action._task.check_mode, action._task.diff = check, True
    return dict(action.run(task_vars=variables))


def test_a_revision_is_brought_back_by_a_new_commit(component: Component, remote: Path) -> None:
    first, files = component.done()["revision"], committed(remote)
    component.variables["platform_zones"] = ["a"]
    second = component.done()["revision"]
    planned = roll_back(component, first, check=True)
    assert planned["changed"]
    assert "zones: '3'" in planned["diff"][0]["after"]
    assert messages(remote)[0] == "demo-app: 1 changed"
    done = roll_back(component, first[:10])
    assert (done["from"], done["to"], committed(remote)) == (second, first, files)
    assert messages(remote) == [f"Roll back to {first[:12]}", "demo-app: 1 changed", "demo-app: 2 added"]
    assert not roll_back(component, first)["changed"]


def test_components_that_came_later_are_only_removed_when_confirmed(component: Component, remote: Path) -> None:
    first = component.done()["revision"]
    component.manifest("config.yml.j2", CONFIG % "later")
    component.done(name="later")
    refused = roll_back(component, first)
    assert "would be removed, with all that they have: 07-later" in refused["msg"]
    assert not roll_back(component, first, components=["demo-app"])["changed"]
    assert (
        "there is no component nothing in the tree - next: there are: demo-app, later"
        in roll_back(component, first, components=["nothing"])["msg"]
    )
    assert len(committed(remote)) == 4
    assert roll_back(component, first, remove_components=True)["changed"]
    assert len(committed(remote)) == 2
