# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Charts through a real helm. Where they come from: tests/integration/registry."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import charts
from ansible_collections.banking.platform.plugins.plugin_utils.charts import NotAvailable, Release
from ansible_collections.banking.platform.tests.programs import helm
from ansible_collections.banking.platform.tests.unit.component import chart


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chart.pack(tmp_path_factory.mktemp("chart"))


def render(archive: Path, values: str = "", **options: Any) -> dict[str, dict[str, Any]]:
    """The objects by kind and name."""
    release = Release(chart.entry(archive), name="shop", namespace="shops", values=values, **options)
    found = charts.render(release, str(archive), "1.28.15", str(helm()))
    return {f"{item.object['kind']} {item.object['metadata']['name']}": item.object for item in found}


def test_a_chart_becomes_its_objects(archive: Path) -> None:
    found = render(archive, "{replicas: 3, cache: {size: large}}", api_versions=["monitoring.coreos.com/v1"])
    assert set(found) == {
        "CustomResourceDefinition widgets.example.org",
        "ConfigMap shop-config",
        "ConfigMap cache",
        "Widget shop",
        "Job before",
        "Job after",
    }
    assert found["ConfigMap shop-config"]["data"] == {
        "replicas": "3",
        "found": "{}",
        "kubernetes": "v1.28.15",
        "monitored": "true",
        "password": "fixed",
    }
    assert found["ConfigMap cache"]["data"]["size"] == "large"
    assert "CustomResourceDefinition widgets.example.org" not in render(archive, crds=False)


def test_hooks_become_sub_waves(archive: Path) -> None:
    found = render(archive)
    annotations = {name: item["metadata"].get("annotations", {}) for name, item in found.items()}
    waves = {name: found.get("argocd.argoproj.io/sync-wave") for name, found in annotations.items()}
    assert waves["Job before"] == "-1005"
    assert waves["Job after"] == "995"
    assert waves["ConfigMap shop-config"] is None
    assert annotations["Job before"]["kept"] == "yes"
    assert annotations["Job before"]["platform.banking/recreate"] == "true"
    assert not [key for found in annotations.values() for key in found if key.startswith("helm.sh/")]
    assert "ttlSecondsAfterFinished" not in found["Job before"]["spec"], "it would run again with each delivery"


def test_a_chart_that_renders_differently_each_time_is_refused(archive: Path) -> None:
    with pytest.raises(Failure) as failure:
        render(archive, "random: true")
    assert failure.value.cause == "chart web renders differently each time: v1 ConfigMap shop-config (data.password)"


@pytest.mark.parametrize(
    ("values", "said"),
    [("fail: no replicas", "no replicas"), ("[1]", "cannot unmarshal"), ("a: [", "error converting YAML")],
)
def test_what_helm_says_of_values_is_passed_on(archive: Path, values: str, said: str) -> None:
    with pytest.raises(Failure, match="chart web cannot be rendered") as failure:
        render(archive, values)
    assert said in failure.value.cause


def test_without_helm_the_error_says_so(archive: Path) -> None:
    release = Release(chart.entry(archive), "shop", "shops")
    with pytest.raises(Failure, match="no-helm is missing on the controller"):
        charts.render(release, str(archive), "1.28.15", "no-helm")


def test_the_users_helm_and_cluster_do_not_matter(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HELM_NAMESPACE", "HELM_KUBECONTEXT", "KUBECONFIG"):
        monkeypatch.setenv(name, "/nowhere")
    assert "ConfigMap shop-config" in render(archive)


def test_a_chart_that_is_there_is_not_fetched_again(archive: Path, tmp_path: Path) -> None:
    entry = chart.entry(archive)
    there = tmp_path / entry.filename
    there.write_bytes(archive.read_bytes())
    assert charts.fetch(entry, str(tmp_path)) == str(there)
    there.write_bytes(b"another")
    with pytest.raises(Failure, match=r"web-1\.2\.3\.tgz has SHA-256"):
        charts.fetch(entry, str(tmp_path))


def test_a_chart_that_is_nowhere_is_said_to_be(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(NotAvailable) as failure:
        charts.fetch(chart.entry(archive, "http://127.0.0.1:9"), str(tmp_path / "charts"))
    assert failure.value.cause.startswith("chart web 1.2.3: ")
    assert "artifacts_source" in failure.value.next_step


def test_what_comes_from_elsewhere_is_left_out(archive: Path) -> None:
    release = Release(chart.entry(archive), name="shop", namespace="shops")
    found = charts.render(release, str(archive), "1.28.15", str(helm()))
    left = charts.without("chart web", found, ["ConfigMap/cache"])
    assert [item for item in found if item not in left] == [
        item for item in found if item.object["metadata"]["name"] == "cache"
    ]
    assert charts.without("chart web", found, []) == found
    # A chart that calls it otherwise now would bring it beside the other one.
    with pytest.raises(Failure, match="chart web has no Secret/cache that could be left out"):
        charts.without("chart web", found, ["Secret/cache"])


def test_a_field_that_the_product_fills_in_itself_is_left_out() -> None:
    hook: dict[str, Any] = {
        "kind": "Hook",
        "metadata": {"name": "ask"},
        "webhooks": [{"failurePolicy": "Ignore", "name": "one"}, {"clientConfig": {"caBundle": "AA==", "url": "u"}}],
    }
    found = [charts.Manifest(hook, "web"), charts.Manifest({"kind": "Other", "metadata": {"name": "ask"}}, "web")]
    wish = ["Hook/ask:webhooks.0.failurePolicy", "Hook/ask:webhooks.1.clientConfig.caBundle"]
    other, left = charts.without("chart web", found, wish)
    assert left.object["webhooks"] == [{"name": "one"}, {"clientConfig": {"url": "u"}}]
    assert other == found[1]
    assert hook["webhooks"][0] == {"failurePolicy": "Ignore", "name": "one"}
    for path in ("webhooks.2.name", "webhooks.0.failurePolicy.x", "spec", "webhooks.name"):
        with pytest.raises(Failure, match=f"has no Hook/ask:{path} that could be left out"):
            charts.without("chart web", found, [f"Hook/ask:{path}"])


def test_objects_of_one_name_in_two_namespaces_both_stay() -> None:
    both = [
        charts.Manifest({"kind": "Role", "metadata": {"name": "lock", "namespace": namespace}}, "web")
        for namespace in ("kube-system", "shops")
    ]
    assert charts.without("chart web", both, []) == both
    assert charts.without("chart web", both, ["Role/lock"]) == []


def test_the_same_is_rendered_once_only(archive: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    release = Release(chart.entry(archive), name="shop", namespace="shops")
    first = charts.render(release, str(archive), "1.28.15", str(helm()), kept=str(kept))
    (file,) = kept.iterdir()
    # The kept file is what counts the second time.
    file.write_text(file.read_text().replace("name: cache", "name: stash"))
    again = charts.render(release, str(archive), "1.28.15", str(helm()), kept=str(kept))
    assert len(again) == len(first)
    assert "stash" in {item.object["metadata"]["name"] for item in again} - {
        item.object["metadata"]["name"] for item in first
    }
    # Other values, another Kubernetes, another namespace: rendered anew, and in place of what was kept.
    for other, kubernetes in (
        (dataclasses.replace(release, values="replicas: 5"), "1.28.15"),
        (release, "1.29.0"),
        (dataclasses.replace(release, namespace="others"), "1.28.15"),
        (dataclasses.replace(release, api_versions=["a/v1"]), "1.28.15"),
    ):
        found = charts.render(other, str(archive), kubernetes, str(helm()), kept=str(kept))
        assert "stash" not in {item.object["metadata"]["name"] for item in found}
        assert file not in kept.iterdir()
        (file,) = kept.iterdir()


def test_what_holds_secrets_is_not_kept(tmp_path: Path) -> None:
    archive = chart.pack(
        tmp_path / "chart",
        {"templates/secret.yaml": "{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {key: value}}"},
    )
    release = Release(chart.entry(archive), name="shop", namespace="shops")
    charts.render(release, str(archive), "1.28.15", str(helm()), kept=str(tmp_path / "kept"))
    assert not (tmp_path / "kept").exists()
