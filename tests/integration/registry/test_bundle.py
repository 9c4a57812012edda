# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bundle with a real registry, real charts and the real skopeo, all on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from ansible_collections.banking.platform.plugins.module_utils import catalog, image_archive
from ansible_collections.banking.platform.plugins.module_utils.catalog import Source
from ansible_collections.banking.platform.plugins.module_utils.download import download_from
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils.bundle import Bundle, items, verify
from ansible_collections.banking.platform.plugins.plugin_utils.digest_lock import Lock
from ansible_collections.banking.platform.plugins.plugin_utils.registries import Registry
from ansible_collections.banking.platform.tests.integration.registry.conftest import NAME, World, push_image, run, serve
from ansible_collections.banking.platform.tests.programs import helm

RELEASE = "2024.1"
MANY, SINGLE = f"{NAME}/team/many:1.0", f"{NAME}/team/single:2.0"
MANY_TAR = "images/registry.test_team_many_1.0.tar"
SINGLE_TAR = "images/registry.test_team_single_2.0.tar"
PATHS = {
    "program/1.0.0/amd64/program",
    "charts/web-chart/1.2.3/web-chart-1.2.3.tgz",
    "charts/oci-chart/0.1.0+build.5/oci-chart-0.1.0+build.5.tgz",
    MANY_TAR,
    SINGLE_TAR,
}


def load(world: World, **changed: Any) -> catalog.Catalog:
    return catalog.load(RELEASE, {"components": world.components(**changed)})


def make(loaded: catalog.Catalog, folder: Path, architectures: Sequence[str] = ("amd64",)) -> Bundle:
    made = Bundle(str(folder), RELEASE, items([loaded], architectures, components=["things"]))
    made.plan()
    made.fetch(parallel=4)
    return made


@pytest.fixture(scope="module")
def made(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, made once."""
    folder = tmp_path_factory.mktemp("bundle") / "made"
    with pytest.MonkeyPatch.context() as patch:
        for key, value in world.environment.items():
            patch.setenv(key, value)
        assert make(load(world), folder).missing() == []
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def test_everything_is_there_and_verified(made: Path) -> None:
    index = json.loads((made / "bundle.json").read_text())
    assert set(index["files"]) == PATHS
    assert index["release"] == RELEASE
    assert index["complete"] is True
    assert verify(str(made), RELEASE) == []
    run("sh", "-c", f"cd '{made}' && sha256sum --check --strict --quiet SHA256SUMS")  # what an auditor would do
    run(helm(), "show", "chart", made / "charts/oci-chart/0.1.0+build.5/oci-chart-0.1.0+build.5.tgz")


def test_the_archive_names_the_image_by_tag_and_digest(world: World, made: Path) -> None:
    for path, reference in ((MANY_TAR, MANY), (SINGLE_TAR, SINGLE)):
        digest = world.digests[reference]
        images = {image.name: image.target for image in image_archive.read(str(made / path))}
        assert images == {reference: digest, f"{reference.rpartition(':')[0]}@{digest}": digest}
    assert (made / "images.txt").read_text() == f"{MANY}@{world.digests[MANY]}\n{SINGLE}@{world.digests[SINGLE]}\n"


def test_an_archive_of_an_index_holds_the_asked_architecture_only(world: World, made: Path) -> None:
    with tarfile.open(made / MANY_TAR) as archive:
        blobs = {m.name.rsplit("/", 1)[1]: archive.extractfile(m).read() for m in archive if "blobs" in m.name}  # type: ignore[union-attr]
    assert all(hashlib.sha256(content).hexdigest() == name for name, content in blobs.items())
    index = json.loads(blobs[world.digests[MANY].removeprefix("sha256:")])
    there = {m["platform"]["architecture"] for m in index["manifests"] if m["digest"].removeprefix("sha256:") in blobs}
    assert there == {"amd64"}


def test_both_architectures_are_a_whole_index(registries: World, tmp_path: Path) -> None:
    made = make(load(registries, images=[MANY], charts=[]), tmp_path / "b", ["x86_64", "arm64"])
    assert made.missing() == []
    (tmp_path / "layout").mkdir()
    with tarfile.open(tmp_path / "b" / MANY_TAR) as archive:
        archive.extractall(tmp_path / "layout", filter="data")
    name = f"{NAME}/team/many"
    index = json.loads((tmp_path / "layout/index.json").read_text())
    index["manifests"] = index["manifests"][:1]  # the same image by its other name: skopeo wants to be told which
    (tmp_path / "layout/index.json").write_text(json.dumps(index))
    target = f"docker://{registries.registry}/carried/many:1.0"
    run("skopeo", "copy", "--quiet", "--all", "--dest-tls-verify=false", f"oci:{tmp_path}/layout", target)
    raw = subprocess.run(["skopeo", "inspect", "--raw", "--tls-verify=false", target], capture_output=True, check=True)
    assert f"sha256:{hashlib.sha256(raw.stdout).hexdigest()}" == registries.digests[f"{name}:1.0"]


def test_the_bill_of_materials_follows_the_schema(world: World, made: Path) -> None:
    text = (made / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    parts = {part["bom-ref"]: part for part in json.loads(text)["components"]}
    assert set(parts) == PATHS
    for path, part in parts.items():
        assert part["hashes"][0]["content"] == hashlib.sha256((made / path).read_bytes()).hexdigest()
        assert part["licenses"][0]["license"]["id"] == "Apache-2.0"
    assert parts[MANY_TAR]["purl"].startswith(f"pkg:oci/many@{world.digests[MANY]}?")
    assert parts["charts/web-chart/1.2.3/web-chart-1.2.3.tgz"]["purl"].startswith("pkg:helm/web-chart@1.2.3?")
    assert parts["program/1.0.0/amd64/program"]["purl"].startswith("pkg:generic/program@1.0.0?")


def test_a_second_run_fetches_nothing(registries: World, copy: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*.t*")}
    registries.requests.clear()
    again = Bundle(str(copy), RELEASE, items([load(registries)], ["amd64"], components=["things"]))
    assert again.plan().changed is False
    assert again.fetch(4) is False
    assert registries.requests == []
    fetched = {path for path, when in before.items() if path.stat().st_mtime_ns != when}
    assert fetched <= {copy / "images.txt"}  # the index is written anew, with the same content


def test_only_what_is_damaged_is_fetched_again(registries: World, copy: Path) -> None:
    (copy / MANY_TAR).write_bytes(b"damaged")
    (copy / "charts/web-chart/1.2.3/web-chart-1.2.3.tgz").unlink()
    (copy / "surplus").write_text("x")
    assert [line.split(": ")[:2] for line in verify(str(copy))] == [
        ["missing", "charts/web-chart/1.2.3/web-chart-1.2.3.tgz"],
        ["damaged", MANY_TAR],
        ["surplus", "surplus"],
    ]
    again = Bundle(str(copy), RELEASE, items([load(registries)], ["amd64"], components=["things"]))
    steps = [(step.action, step.target) for step in again.plan().steps if step.changes and step.kind != "bundle file"]
    assert steps == [("create", "charts/web-chart/1.2.3/web-chart-1.2.3.tgz"), ("update", MANY_TAR)]
    assert again.fetch(2) is True
    assert verify(str(copy)) == ["surplus: surplus"]


def test_an_archive_is_the_same_each_time(registries: World, made: Path, tmp_path: Path) -> None:
    Registry().archive(MANY, ["amd64"], str(tmp_path / "again.tar"))
    assert (tmp_path / "again.tar").read_bytes() == (made / MANY_TAR).read_bytes()


def test_what_cannot_be_had_is_listed_with_its_reason(registries: World, tmp_path: Path) -> None:
    charts = [
        {"name": "web-chart", "repo": f"{registries.web}/charts", "version": "9.9.9"},
        {"name": "oci-chart", "repo": f"oci://{NAME}/team", "version": "1.0"},
        {"name": "many", "repo": f"oci://{NAME}/team", "version": "1.0"},
    ]
    images = [f"{NAME}/team/none:1", SINGLE]
    made = make(load(registries, charts=charts, images=images), tmp_path / "b", ["arm64"])
    reasons = {item["name"]: item["reason"] for item in made.missing()}
    assert "has no web-chart 9.9.9" in reasons["web-chart"]
    assert "manifest unknown" in reasons["oci-chart"]
    assert reasons["many"] == "it is an image, not a chart"
    assert "manifest unknown" in reasons[images[0]]
    assert reasons[SINGLE] == "there is no image for arm64, only for amd64"
    assert json.loads((tmp_path / "b/bundle.json").read_text())["missing"] == made.missing()
    assert verify(str(tmp_path / "b")) == []  # whole as it stands: what is missing is in the index


def test_a_tag_that_was_moved_is_refused(registries: World, tmp_path: Path) -> None:
    push_image(registries, tmp_path / "old", "team/moved:1", ["amd64"], "old")
    locked = registries.digests[f"{NAME}/team/moved:1"]
    push_image(registries, tmp_path / "new", "team/moved:1", ["amd64"], "new")
    made = make(load(registries, charts=[], images=[f"{NAME}/team/moved:1@{locked}"]), tmp_path / "b")
    assert made.missing() == []  # by its digest, the locked one is still there
    assert made._files["images/registry.test_team_moved_1.tar"]["digest"] == locked
    with pytest.raises(Failure, match="manifest unknown"):
        Registry().manifest(f"{NAME}/team/moved@sha256:{'0' * 64}")


class TestLock:
    def folder(self, tmp_path: Path) -> Path:
        for kind in ("images", "charts"):
            (tmp_path / f"{kind}.lock.yml").write_text(f"---\n# Says why.\nschema: 1\n{kind}: {{}}\n")
        return tmp_path

    def test_digests_of_images_and_charts(self, registries: World, made: Path, tmp_path: Path) -> None:
        folder = self.folder(tmp_path)
        lock = Lock(str(folder), [load(registries)], Registry(), ["things"])
        found = lock.read(4)
        lock.write(found)
        assert lock.missing == []
        assert found["images"] == {MANY: registries.digests[MANY], SINGLE: registries.digests[SINGLE]}
        files = json.loads((made / "bundle.json").read_text())["files"]
        assert found["charts"] == {
            f"{file['repository']}/{file['name']}:{file['version']}": f"sha256:{file['sha256']}"
            for file in files.values()
            if file["kind"] == "chart"
        }
        assert (folder / "images.lock.yml").read_text() == (
            f"---\n# Says why.\nschema: 1\nimages:\n  {MANY}: {registries.digests[MANY]}\n"
            f"  {SINGLE}: {registries.digests[SINGLE]}\n"
        )
        again = Lock(str(folder), [load(registries)], Registry(), ["things"])
        assert again.plan().changed is False

    def test_what_is_locked_stays_and_what_is_not_there_is_named(self, registries: World, tmp_path: Path) -> None:
        folder = self.folder(tmp_path)
        (folder / "images.lock.yml").write_text(f"schema: 1\nimages:\n  {MANY}: sha256:{'1' * 64}\n")
        gone = f"{NAME}/team/none:1"
        lock = Lock(str(folder), [load(registries, images=[MANY, gone], charts=[])], Registry(), ["things"])
        assert lock.read(2) == {"images": {}, "charts": {}}
        assert [item["name"] for item in lock.missing] == [gone]

    def test_a_chart_that_is_not_the_locked_one_is_refused(self, registries: World, tmp_path: Path) -> None:
        chart = {"name": "web-chart", "repo": f"{registries.web}/charts", "version": "1.2.3"}
        made = make(load(registries, images=[], charts=[{**chart, "digest": f"sha256:{'0' * 64}"}]), tmp_path / "b")
        assert "the catalog says sha256:000" in made.missing()[0]["reason"]


def test_behind_a_web_server_it_is_a_mirror(registries: World, made: Path, tmp_path: Path) -> None:
    requests: list[str] = []
    server = serve(made, requests)
    try:
        source = Source("mirror", mirrors=("http://127.0.0.1:1/dead", f"http://127.0.0.1:{server.server_port}"))
        artifact = load(registries).artifact("program", "amd64", source)
        download_from(artifact.urls, str(tmp_path / "program"), artifact.sha256)
        chart = load(registries).chart("oci-chart", source)
        download_from(chart.urls, str(tmp_path / "chart"))
        run(helm(), "show", "chart", tmp_path / "chart")
        # And a second bundle is made from the first one, images left out.
        wanted = items([load(registries)], ["amd64"], list(source.mirrors), ["artifacts", "charts"], ["things"])
        second = Bundle(str(tmp_path / "second"), RELEASE, wanted)
        second.plan()
        second.fetch(2)
        assert second.missing() == []
    finally:
        server.shutdown()


def test_the_playbook(world: World, tmp_path: Path) -> None:
    """Check mode, made with something missing, and found damaged: as a user would."""
    variables = {
        "platform_release": RELEASE,
        "platform_catalog_overrides": {"components": world.components(images=[MANY, f"{NAME}/team/none:1"])},
        "bundle_components": ["things"],
        "bundle_dest": str(tmp_path / "b"),
    }

    def play(*arguments: str, **more: Any) -> tuple[int, str]:
        extra = json.dumps({**variables, **more})
        done = subprocess.run(
            ["ansible-playbook", "playbooks/bundle.yml", "-i", "localhost,", *arguments, "-e", extra],
            env={**os.environ, **world.environment, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, " ".join((done.stdout + done.stderr).split())

    code, said = play("--check", "--diff")
    assert code == 0, said
    assert "web-chart 1.2.3" in said
    assert not (tmp_path / "b").exists()
    code, said = play()
    assert code == 2, said
    assert f"lacks 1 of 5: {NAME}/team/none:1" in said
    assert "manifest unknown" in said
    (tmp_path / "b" / "images.txt").write_text("")
    code, said = play(bundle_verify=True)
    assert code == 2
    assert "damaged: images.txt" in said
