# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogs that we ship, and how they are read."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from ansible_collections.banking.platform.plugins.module_utils import catalog
from ansible_collections.banking.platform.plugins.module_utils.catalog import CatalogError, Source

FOLDER = Path(catalog.FOLDER)
RELEASES = catalog.releases()
SHA = "0" * 64
SCHEMA = json.loads((FOLDER / "schema.json").read_text())


class NoDuplicates(yaml.SafeLoader):
    """YAML's own loader takes the last of two equal keys without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep) for key, _value in node.value]
        assert len(keys) == len(set(keys)), f"a key twice in {sorted(map(str, keys))}, {node.start_mark}"
        return super().construct_mapping(node, deep)


def made(**component: object) -> catalog.Catalog:
    component = {"version": "1.2.3", **component}
    return catalog.Catalog(
        {"schema": 1, "release": "1", "kubernetes": "1", "state": "current", "components": {"thing": component}}
    )


def test_two_releases() -> None:
    assert RELEASES == ["2024.1", "2026.2"]


@pytest.mark.parametrize("release", RELEASES)
class TestShipped:
    def test_follows_the_schema(self, release: str) -> None:
        data = yaml.load((FOLDER / f"{release}.yml").read_text(), NoDuplicates)
        jsonschema.Draft202012Validator(SCHEMA).validate(data)
        assert data["release"] == release

    def test_every_artifact_can_be_had_on_every_architecture(self, release: str) -> None:
        loaded = catalog.load(release)
        for name in loaded.artifacts():
            for arch in ("x86_64", "aarch64"):
                artifact = loaded.artifact(name, arch)
                assert artifact.version in artifact.urls[0]
                assert "{" not in artifact.urls[0]
                assert artifact.arch in (*catalog.ARCHITECTURES.values(), catalog.ANY_ARCHITECTURE)

    def test_digests_are_of_different_files(self, release: str) -> None:
        loaded = catalog.load(release)
        digests = [loaded.artifact(name, arch).sha256 for name in loaded.artifacts() for arch in ("amd64", "arm64")]
        # a file for any architecture counts twice above
        artifacts = [
            loaded.component(loaded.artifact(n, "amd64").component)["artifacts"][n] for n in loaded.artifacts()
        ]
        assert len(set(digests)) == sum(len(a["sha256"]) for a in artifacts)

    def test_kubernetes_of_the_release_is_its_component(self, release: str) -> None:
        loaded = catalog.load(release)
        assert loaded.kubernetes == loaded.version("kubernetes") == loaded.version("kubelet")
        assert f":v{loaded.kubernetes}" in loaded.image("kubernetes", "kube-apiserver")

    def test_what_the_node_roles_need(self, release: str) -> None:
        loaded = catalog.load(release)
        needed = {"containerd", "runc", "cni-plugins", "crictl", "etcd", "kubeadm", "kubelet", "kubectl"}
        assert needed <= set(loaded.artifacts())
        assert loaded.image("kubernetes", "pause").startswith("registry.k8s.io/pause:")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("components", "runc", "artifacts", "runc", "sha256", "amd64"), "abc"),
        (("components", "runc", "artifacts", "runc", "urls"), ["http://plain.example/runc"]),
        (("components", "runc", "artifacts", "runc", "urls"), []),
        (("components", "runc", "artifacts", "runc", "unpack"), "rar"),
        (("components", "runc", "artifacts", "runc", "colour"), "blue"),
        (("components", "runc", "version"), 1.2),
        (("components", "runc", "layer"), "nodes"),
        (("components", "runc", "verified"), False),  # without saying what
        (("components", "kubernetes", "images"), ["pause:3.9"]),  # without a registry
        (("state",), "old"),
        (("kubernetes",), None),
    ],
)
def test_schema_refuses(path: tuple[str, ...], value: object) -> None:
    data = yaml.safe_load((FOLDER / "2024.1.yml").read_text())
    at = data
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate(data)


def test_schema_wants_a_digest_for_a_binary_but_not_yet_for_a_chart() -> None:
    data = yaml.safe_load((FOLDER / "2024.1.yml").read_text())
    artifact = data["components"]["runc"]["artifacts"]["runc"]
    del artifact["sha256"]
    with pytest.raises(jsonschema.ValidationError, match="sha256"):
        jsonschema.Draft202012Validator(SCHEMA).validate(data)
    artifact["kind"] = "chart"
    jsonschema.Draft202012Validator(SCHEMA).validate(data)


def test_upstream() -> None:
    artifact = catalog.load("2024.1").artifact("etcd", "aarch64")
    assert artifact.as_dict() == {
        "name": "etcd",
        "component": "etcd",
        "version": "3.5.33",
        "arch": "arm64",
        "filename": "etcd-v3.5.33-linux-arm64.tar.gz",
        "sha256": "0764c5c0acef155f4bfa0487791cc5776adef66315bf16ec0653883bfd463a90",
        "unpack": "tar.gz",
        "strip": 1,
        "urls": ["https://github.com/etcd-io/etcd/releases/download/v3.5.33/etcd-v3.5.33-linux-arm64.tar.gz"],
        "path": None,
    }


def test_tgz_is_tar_gz_for_the_node() -> None:
    assert catalog.load("2024.1").artifact("cni-plugins", "amd64").unpack == "tar.gz"


def test_mirrors_in_order_with_the_architecture_in_the_path() -> None:
    source = Source("mirror", mirrors=("https://one.example/files/", "https://two.example"))
    artifact = catalog.load("2024.1").artifact("kubeadm", "amd64", source)
    assert artifact.urls == (
        "https://one.example/files/kubeadm/1.28.15/amd64/kubeadm",
        "https://two.example/kubeadm/1.28.15/amd64/kubeadm",
    )
    assert artifact.path is None


def test_bundle_is_a_file_on_the_controller() -> None:
    artifact = catalog.load("2024.1").artifact("kubeadm", "arm64", Source("bundle", bundle="/srv/bundle"))
    assert artifact.urls == ()
    assert artifact.path == "/srv/bundle/kubeadm/1.28.15/arm64/kubeadm"


@pytest.mark.parametrize(
    ("variables", "source"),
    [
        ({}, Source()),
        ({"artifacts_source": "mirror", "artifacts_mirror": "https://m"}, Source("mirror", mirrors=("https://m",))),
        ({"artifacts_source": "mirror", "artifacts_mirror": ["a", "b"]}, Source("mirror", mirrors=("a", "b"))),
        ({"artifacts_source": "bundle", "artifacts_bundle": "/b"}, Source("bundle", bundle="/b")),
    ],
)
def test_source_from_variables(variables: dict, source: Source) -> None:
    assert Source.from_variables(variables) == source


def test_file_for_any_architecture_and_a_version_of_its_own() -> None:
    chart = {"kind": "chart", "version": "v9", "urls": ["https://c.example/{version}.tgz"], "sha256": {"any": SHA}}
    artifact = made(artifacts={"thing-chart": chart}).artifact("thing-chart", "riscv64")
    assert (artifact.arch, artifact.version, artifact.urls[0]) == ("any", "v9", "https://c.example/v9.tgz")


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("registry.k8s.io/pause:3.9", "pause"),
        ("registry.k8s.io/coredns/coredns:v1.10.1", "coredns"),
        ("harbor.bank.example:5000/a/b@sha256:" + SHA, "b"),
        (f"quay.io/x/y:1@sha256:{SHA}", "y"),
    ],
)
def test_image_by_the_last_part_of_its_repository(reference: str, name: str) -> None:
    assert made(images=[reference]).image("thing", name) == reference


def test_overrides_are_merged_and_leave_the_rest() -> None:
    artifacts = {"runc": {"sha256": {"amd64": SHA}, "urls": ["https://bank.example/runc-{version}"]}}
    loaded = catalog.load("2024.1", {"components": {"runc": {"version": "9", "artifacts": artifacts}}})
    artifact = loaded.artifact("runc", "amd64")
    assert (artifact.version, artifact.sha256, artifact.urls) == ("9", SHA, ("https://bank.example/runc-9",))
    assert loaded.version("containerd") == "1.7.34"
    assert catalog.load("2024.1").version("runc") == "1.2.9"


def test_a_new_version_forgets_the_digests_of_all_architectures() -> None:
    artifacts = {"runc": {"sha256": {"amd64": SHA}}}
    loaded = catalog.load("2024.1", {"components": {"runc": {"version": "9", "artifacts": artifacts}}})
    with pytest.raises(CatalogError, match="'runc' is not there for arm64"):
        loaded.artifact("runc", "arm64")


def test_overrides_bring_new_components() -> None:
    loaded = catalog.load("2024.1", {"components": {"tool": {"version": "1", "images": ["r.example/tool:1"]}}})
    assert loaded.image("tool", "tool") == "r.example/tool:1"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: catalog.load("2026.1"), r"platform_release: no catalog for '2026.1'; did you mean '2026.2'\?"),
        (lambda: catalog.load("x"), "known: 2024.1, 2026.2"),
        (
            lambda: catalog.load("2024.1").artifact("contanerd", "amd64"),
            r"no artifact 'contanerd'; did you mean 'contai",
        ),
        (lambda: catalog.load("2024.1").component("kubernets"), r"did you mean 'kubernetes'\?"),
        (lambda: catalog.load("2024.1").version("kubelt"), r"did you mean 'kubelet'\?"),
        (lambda: catalog.load("2024.1").image("kubernetes", "paus"), r"no image 'paus'; did you mean 'pause'\?"),
        (lambda: catalog.load("2024.1").image("runc", "pause"), "no image 'pause'; there are none"),
        (lambda: catalog.load("2024.1").artifact("runc", "x86-64"), r"architecture 'x86-64'; did you mean 'x86_64'\?"),
        (
            lambda: made(artifacts={"t": {"urls": ["https://x/y"]}}).artifact("t", "amd64"),
            "version 1.2.3 of 't' has no sha256",
        ),
        (
            lambda: made(artifacts={"t": {"urls": ["https://x/y"], "sha256": {"arm64": SHA}}}).artifact("t", "amd64"),
            "'t' is not there for amd64, only for arm64",
        ),
        (lambda: Source("mirrors"), r"unknown source 'mirrors'; did you mean 'mirror'\?"),
        (lambda: Source("mirror"), "artifacts_mirror is empty"),
        (lambda: Source("bundle"), "artifacts_bundle is empty"),
        (
            lambda: catalog.load("2024.1", {"components": {"runc": {"version": "9"}}}).artifact("runc", "amd64"),
            "version 9 of 'runc' has no sha256",
        ),
        (lambda: catalog.Catalog({"schema": 2}), "schema is 2, this collection reads 1"),
        (lambda: catalog.Catalog({"schema": 1, "release": "x"}), "the key 'kubernetes' is missing"),
    ],
)
def test_errors_name_the_thing_and_the_nearest_known_one(call: object, message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        call()  # type: ignore[operator]


def test_an_artifact_has_one_component() -> None:
    entry = {"version": "1", "artifacts": {"same": {"urls": ["https://x/y"], "sha256": {"any": SHA}}}}
    data = {"schema": 1, "release": "1", "kubernetes": "1", "state": "eol", "components": {"a": entry, "b": entry}}
    with pytest.raises(CatalogError, match="'same' is in 'a' and 'b'"):
        catalog.Catalog(data)


def minors() -> dict:
    return yaml.load((FOLDER / "kubernetes.yml").read_text(), NoDuplicates)["minors"]


def test_every_minor_between_the_releases_follows_the_schema_once_laid_over() -> None:
    assert list(minors()) == ["1.29", "1.30", "1.31", "1.32", "1.33", "1.34"]
    for step in catalog.load("2026.2").kubernetes_path("1.28.15"):
        jsonschema.Draft202012Validator(SCHEMA).validate(step._data)


@pytest.mark.parametrize("release", RELEASES)
def test_every_step_of_the_path_has_its_own_binaries(release: str) -> None:
    end = "1.34.11" if release == "2024.1" else "1.35.8"
    steps = catalog.load(release).kubernetes_path("1.28.15", end)
    assert [step.kubernetes.rsplit(".", 1)[0] for step in steps] == [
        f"1.{m}" for m in range(29, int(end.split(".")[1]) + 1)
    ]
    digests = {
        step.artifact(n, a).sha256
        for step in steps
        for n in ("kubeadm", "kubelet", "kubectl")
        for a in ("amd64", "arm64")
    }
    assert len(digests) == 6 * len(steps)
    for step in steps:
        assert f"/v{step.kubernetes}/" in step.artifact("kubelet", "amd64").urls[0]
        assert step.image("kubernetes", "kube-proxy").endswith(f":v{step.kubernetes}")
        assert step.version("crictl").rsplit(".", 1)[0] == step.kubernetes.rsplit(".", 1)[0]
    assert [step.version("etcd") for step in steps[:6]] == ["3.5.33"] * 6
    assert catalog.load(release).version("calico") == steps[0].version("calico")


def test_path_within_a_minor_and_to_itself() -> None:
    loaded = catalog.load("2026.2")
    assert [step.kubernetes for step in loaded.kubernetes_path("1.35.2")] == ["1.35.8"]
    assert loaded.kubernetes_path("1.35.8") == []


@pytest.mark.parametrize(
    ("start", "end", "message"),
    [
        ("1.35.8", "1.34.11", "cannot go from 1.35.8 to 1.34.11: only forward"),
        ("1.27.1", "1.28.1", r"no Kubernetes 1.28; did you mean"),
        ("1.28.15", "1.29.1", "Kubernetes 1.29.1 is not known, 1.29.15 of its minor is"),
        ("1.28", "1.29.15", "'1.28': a version such as 1.28.15 is needed"),
    ],
)
def test_paths_that_do_not_exist(start: str, end: str, message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        catalog.load("2026.2").kubernetes_path(start, end)


def locked(**digests: str) -> catalog.Catalog:
    components = {
        "thing": {"version": "1", "images": ["r.example/a:1", f"r.example/b:1@sha256:{SHA}", "r.example/c:1"]}
    }
    data = {"schema": 1, "release": "1", "kubernetes": "1", "state": "current", "components": components}
    return catalog.Catalog(data, digests={f"r.example/{name}:1": digest for name, digest in digests.items()})


def test_a_locked_image_is_named_with_its_digest() -> None:
    loaded = locked(a=f"sha256:{'1' * 64}")
    assert loaded.image("thing", "a") == f"r.example/a:1@sha256:{'1' * 64}"
    assert loaded.image("thing", "b") == f"r.example/b:1@sha256:{SHA}"  # what the file says itself stays
    assert loaded.images_without_digest() == loaded.images_without_digest(["thing"]) == ["r.example/c:1"]
    assert loaded.images_without_digest([]) == []


def test_repositories_of_all_images() -> None:
    images = ["r.example:5000/a/b:1", f"r.example:5000/a/b:2@sha256:{SHA}", "r.example/c"]
    assert made(images=images).repositories() == ["r.example/c", "r.example:5000/a/b"]


def test_versions_by_wave_with_what_is_past_its_end() -> None:
    versions = catalog.load("2024.1").versions(["keda", "etcd", "istio", "etcd"], today="2024-06-25")
    assert versions == [
        {"component": "etcd", "version": "3.5.33", "eol": "2027-07-08", "state": "current", "licence": "Apache-2.0"},
        {"component": "istio", "version": "1.20.8", "eol": "2024-06-25", "state": "eol", "licence": "Apache-2.0"},
        {"component": "keda", "version": "2.15.1", "eol": "2025-04-07", "state": "current", "licence": "Apache-2.0"},
    ]


@pytest.mark.parametrize(("eol", "state"), [("2026-09", "current"), ("2026-08", "eol"), (None, "current")])
def test_a_month_ends_with_its_last_day(eol: str | None, state: str) -> None:
    assert made(**({"eol": eol} if eol else {})).versions(["thing"], "2026-09-30")[0]["state"] == state


def test_charts_of_a_component_in_order() -> None:
    charts = catalog.load("2024.1").charts("istio")
    assert [chart["name"] for chart in charts] == ["base", "cni", "istiod", "gateway"]
    assert {chart["version"] for chart in charts} == {"1.20.8"}
    assert catalog.load("2024.1").charts("runc") == []


def with_charts(digests: dict[str, str] | None = None, **chart: str) -> catalog.Catalog:
    entry = {"version": "1", "charts": [{"name": "app", "repo": "https://c.example/r/", "version": "1.2.3", **chart}]}
    data = {"schema": 1, "release": "1", "kubernetes": "1", "state": "current", "components": {"thing": entry}}
    return catalog.Catalog(data, digests=digests)


def test_a_chart_from_each_source() -> None:
    upstream = with_charts().chart("app")
    assert upstream.as_dict() == {
        "name": "app",
        "component": "thing",
        "version": "1.2.3",
        "reference": "https://c.example/r/app:1.2.3",
        "repository": "https://c.example/r",
        "filename": "app-1.2.3.tgz",
        "digest": None,
        "urls": [],
        "path": None,
    }
    mirror = with_charts().chart("app", Source("mirror", mirrors=("https://one.example/", "https://two.example")))
    assert mirror.urls == (
        "https://one.example/charts/app/1.2.3/app-1.2.3.tgz",
        "https://two.example/charts/app/1.2.3/app-1.2.3.tgz",
    )
    bundle = with_charts().chart("app", Source("bundle", bundle="/srv/bundle"))
    assert (bundle.urls, bundle.path) == ((), "/srv/bundle/charts/app/1.2.3/app-1.2.3.tgz")


def test_a_locked_chart_has_its_digest_and_the_file_s_own_goes_first() -> None:
    locked_digest, own = f"sha256:{'1' * 64}", f"sha256:{SHA}"
    digests = {"https://c.example/r/app:1.2.3": locked_digest}
    assert with_charts(digests).chart("app").digest == locked_digest
    assert with_charts(digests).charts("thing")[0]["digest"] == locked_digest
    assert with_charts(digests, digest=own).chart("app").digest == own
    assert with_charts(digests, version="1.2.4").chart("app").digest is None  # a lock belongs to a version


@pytest.mark.parametrize("release", RELEASES)
def test_every_chart_is_found_by_its_name(release: str) -> None:
    loaded = catalog.load(release)
    assert loaded.chart("cert-manager").component == "cert-manager"
    assert len(loaded.chart_names()) == sum(len(loaded.charts(name)) for name in loaded.components) > 30
    with pytest.raises(CatalogError, match=r"no chart 'cert-manger'; did you mean 'cert-manager'\?"):
        loaded.chart("cert-manger")


def test_a_chart_has_one_component() -> None:
    entry = {"version": "1", "charts": [{"name": "same", "repo": "https://x/y", "version": "1"}]}
    data = {"schema": 1, "release": "1", "kubernetes": "1", "state": "eol", "components": {"a": entry, "b": entry}}
    with pytest.raises(CatalogError, match="chart 'same' is in 'a' and 'b'"):
        catalog.Catalog(data)


@pytest.mark.parametrize("release", RELEASES)
def test_components_are_sorted_by_wave(release: str) -> None:
    components = catalog.load(release).components
    waves = [entry["wave"] for entry in components.values()]
    assert waves == sorted(waves)
    assert len(components) > 50


def test_what_addresses_call_an_architecture() -> None:
    trivy = catalog.load("2026.2").artifact("trivy", "x86_64")
    assert trivy.filename.endswith("_Linux-64bit.tar.gz")
    assert trivy.arch == "amd64"
    assert catalog.load("2026.2").artifact("hadolint", "aarch64").filename == "hadolint-linux-arm64"
