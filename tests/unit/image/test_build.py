# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is built, pushed and signed, and what is not. Programs and registry are doubles here; the real ones are in
tests/integration/registry/test_images.py."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, PlanFailed
from ansible_collections.banking.platform.plugins.plugin_utils import image_layout
from ansible_collections.banking.platform.plugins.plugin_utils.image_build import INPUTS, Build, Images, Settings, Tools
from ansible_collections.banking.platform.plugins.plugin_utils.image_scan import acceptances
from ansible_collections.banking.platform.plugins.plugin_utils.registries import Away, Manifest
from ansible_collections.banking.platform.tests.unit.image.written import written

NOW = datetime.datetime(2026, 11, 27, 12, tzinfo=datetime.UTC)
TEXT = 'FROM scratch\nCOPY a /a\nUSER 1000\nHEALTHCHECK CMD ["/a"]\n'
KINDS = {"builder": "buildah", "linter": "hadolint", "sbom": "syft", "scanner": "trivy", "signer": "cosign"}


class Site:
    """A registry and programs, in memory. `done` is what was done, in order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.context = folder / "context"
        self.context.mkdir()
        (self.context / "a").write_text("one")
        self.done: list[str] = []
        self.kinds = dict(KINDS)
        self.versions = dict.fromkeys(KINDS.values(), "1.0.0")
        self.tags: dict[str, str] = {}
        self.blobs: dict[str, bytes] = {}
        self.configs: dict[str, dict[str, Any]] = {}
        self.signed_ones: set[str] = set()
        self.attested_ones: set[str] = set()
        self.findings: list[dict[str, str]] = []
        self.age: float | None = 0.5
        self.builder = "1"
        self.away = False
        self.key_away = False
        self.converts = False
        self.key = "hashivault://images"

    # Programs

    def of(self, kind: str) -> str:
        return self.kinds[kind]

    def lint(self, text: str) -> list[str]:
        return []

    def build(self, file: Path, context: str, options: list[str], storage: Path, folder: Path) -> None:
        self.done.append(f"build {next(o for o in options if o.startswith('--platform'))[11:]}")
        labels = dict(o[8:].split("=", 1) for o in options if o.startswith("--label="))
        platform = next(o for o in options if o.startswith("--platform"))
        written(folder, layer=f"{(Path(context) / 'a').read_text()} {self.builder} {platform}".encode(), labels=labels)

    def sbom(self, layout: Path, sbom_format: str, path: Path) -> str:
        self.done.append("sbom")
        path.write_text("{}")
        return "syft"

    def scan(self, layout: Path, scanners: list[str], path: Path) -> Any:
        self.done.append("scan")
        image = image_layout.read(layout)
        assert image
        report = {
            "SchemaVersion": 2,
            "ArtifactType": "container_image",
            "Metadata": {"ImageID": image.config},
            "Results": [{"Vulnerabilities": self.findings}],
        }
        path.write_text(json.dumps(report))
        return report

    def database_age(self, now: datetime.datetime) -> float | None:
        return self.age

    # The registry

    def find(self, reference: str) -> Manifest | None:
        if self.away:
            raise Away("connection refused")
        return self.manifest(reference) if reference in self.tags else None

    def manifest(self, reference: str) -> Manifest:
        return Manifest(self.blobs[reference.partition("@")[2] or self.tags[reference]])

    def config(self, reference: str) -> dict[str, Any]:
        return json.loads(self.blobs[self.manifest(reference).content["config"]["digest"]])

    def push(self, layout: str, reference: str) -> None:
        self.done.append(f"push {reference}")
        for path in Path(layout, "blobs/sha256").iterdir():
            self.blobs[f"sha256:{path.name}"] = path.read_bytes()
        image = image_layout.read(layout)
        assert image
        self.tags[reference] = image.digest
        if self.converts:
            self.blobs["sha256:other"], self.tags[reference] = b"{}", "sha256:other"

    def pull(self, reference: str, folder: str) -> None:
        self.done.append("pull")
        place = Path(folder)
        place.mkdir()
        manifest = self.manifest(reference)
        (place / "manifest.json").write_bytes(manifest.raw)
        for digest in [manifest.content["config"]["digest"], *(one["digest"] for one in manifest.content["layers"])]:
            (place / digest.removeprefix("sha256:")).write_bytes(self.blobs[digest])

    # cosign

    def prove(self) -> None:
        if self.key_away:
            raise Failure("no key")

    def signed(self, reference: str) -> bool:
        self.prove()
        return reference in self.signed_ones

    def sign(self, reference: str) -> None:
        self.done.append("sign")
        self.signed_ones.add(reference)

    def attested(self, reference: str, sbom_format: str) -> bool:
        return reference in self.attested_ones

    def attest(self, reference: str, sbom_format: str, path: Path) -> None:
        assert path.exists()
        self.done.append("attest")
        self.attested_ones.add(reference)

    # Runs

    def build_of(self, **changed: Any) -> Build:
        return Build(**{"name": "app", "version": "1.0.0", "text": TEXT, "context": str(self.context), **changed})

    def images(self, *builds: Build, folder: str = "out", refused: Any = None, **settings: Any) -> Images:
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        tools: Any = Tools(self, self, self if self.kinds["signer"] and self.key else None, scratch)  # type: ignore[arg-type]
        chosen = Settings(registry="harbor.test/banking", folder=self.folder / folder, **settings)
        return Images(builds or [self.build_of()], chosen, tools, refused)

    def run(self, *builds: Build, check: bool = False, **settings: Any) -> tuple[Images, Plan]:
        self.done.clear()
        images = self.images(*builds, **settings)
        images.check()
        plan = images.plan(check)
        self.planned = [step.action for step in plan.steps]
        if not check:
            images.apply(plan, NOW)
        self.outcomes = [image.outcome() for image in images.images]
        return images, plan


REFERENCE = "harbor.test/banking/app:1.0.0"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_the_order_of_things(site: Site) -> None:
    _images, plan = site.run()
    assert site.done == ["build linux/amd64", "sbom", "scan", f"push {REFERENCE}", "sign", "attest"]
    assert plan.changed
    (outcome,) = site.outcomes
    assert outcome["digest"] == site.tags[REFERENCE]
    assert outcome["by_digest"] == f"harbor.test/banking/app@{outcome['digest']}"
    assert site.signed_ones == {outcome["by_digest"]}
    assert outcome["platforms"]["linux/amd64"]["scan"]["counts"]["CRITICAL"] == 0
    assert plan.steps[0].after["digest"] == outcome["digest"]
    left = json.loads((site.folder / "out/app/1.0.0/image.json").read_text())
    assert left["digest"] == outcome["digest"]
    assert left["signed_by"] == "hashivault://images"


def test_a_second_run_changes_nothing_and_scans_again(site: Site) -> None:
    site.run()
    digest = site.tags[REFERENCE]
    _images, plan = site.run()
    assert site.done == ["scan"]
    assert not plan.changed
    assert site.tags[REFERENCE] == digest


def test_another_controller_takes_what_is_signed(site: Site) -> None:
    site.run()
    _images, plan = site.run(folder="elsewhere")
    assert site.done == ["pull", "sbom", "scan"]
    assert not plan.changed


def test_check_mode_does_nothing(site: Site) -> None:
    site.run(check=True)
    assert site.done == []
    assert site.planned == ["create", "create", "create"]
    assert not (site.folder / "out").exists()
    site.run()
    site.run(check=True)
    assert site.planned == ["none", "none", "none"]


def test_what_was_pushed_and_not_signed_is_signed_by_the_next_run(site: Site) -> None:
    site.run()
    site.signed_ones.clear()
    site.attested_ones.clear()
    site.run()
    assert site.done == ["scan", "sign", "attest"]
    assert site.planned == ["none", "create", "create"]


def test_a_label_alone_is_not_trusted(site: Site) -> None:
    """Somebody who may push writes the label that we would: what they pushed is never signed."""
    site.run()
    site.signed_ones.clear()
    site.builder = "theirs"  # the same inputs, another content
    with pytest.raises(Failure, match="not signed by us, and another one than comes of the same inputs here"):
        site.run(folder="elsewhere")
    assert "sign" not in site.done
    assert not [one for one in site.done if one.startswith("push")]


def test_an_unsigned_one_that_comes_out_the_same_is_signed(site: Site) -> None:
    site.run()
    site.signed_ones.clear()
    site.run(folder="elsewhere")
    assert site.done == ["build linux/amd64", "sbom", "scan", "sign"]


def test_a_version_never_becomes_another_image(site: Site) -> None:
    site.run()
    digest = site.tags[REFERENCE]
    (site.context / "a").write_text("two")
    with pytest.raises(Failure, match="is there already, made of something else"):
        site.run()
    assert site.done == []
    site.run(replace=True)
    assert site.planned[0] == "update"
    assert site.tags[REFERENCE] != digest
    site.run(site.build_of(version="1.0.1"))
    assert site.tags["harbor.test/banking/app:1.0.1"] != site.tags[REFERENCE]  # the version is a label


def test_what_the_gate_keeps_back_keeps_back_all(site: Site) -> None:
    site.findings = [
        {
            "VulnerabilityID": "CVE-1",
            "PkgName": "p",
            "InstalledVersion": "1",
            "FixedVersion": "2",
            "Severity": "CRITICAL",
        }
    ]
    with pytest.raises(Failure) as caught:
        site.run(site.build_of(), site.build_of(name="other"))
    assert "keeps 2 image(s) back, nothing was pushed or signed" in caught.value.cause
    assert f"{REFERENCE} (linux/amd64): CVE-1 CRITICAL p 1, fixed in 2" in caught.value.cause
    assert site.tags == {}
    assert "sign" not in site.done
    site.run(severities=["UNKNOWN"])
    assert REFERENCE in site.tags


def test_the_gate_looks_at_what_is_pushed_already(site: Site) -> None:
    site.run()
    site.findings = [{"VulnerabilityID": "CVE-1", "PkgName": "p", "InstalledVersion": "1", "Severity": "HIGH"}]
    with pytest.raises(Failure, match="CVE-1 HIGH"):
        site.run()
    entry = {"id": "CVE-1", "reason": "r", "approved_by": "a", "until": "2026-12-01"}
    accepted = acceptances([entry, {**entry, "id": "CVE-2"}], NOW.date())
    images, _plan = site.run(accepted=accepted)
    assert images.warnings() == ["accepted, and not found in any of these images: CVE-2"]
    assert site.outcomes[0]["platforms"]["linux/amd64"]["scan"]["accepted"] == ["CVE-1"]
    assert images.images[0].measurements()[0]["value"] == 0


def test_a_database_that_is_too_old(site: Site) -> None:
    site.age = 8
    with pytest.raises(Failure, match="8 days old, and may be 7"):
        site.run()
    assert site.done == []
    site.run(database_days=9)
    images, _plan = site.run(scanners=["secret"])
    assert "NOT scanned for vulnerabilities" in images.warnings()[0]


@pytest.mark.parametrize(("kind", "names"), [("scanner", "trivy"), ("signer", "cosign"), ("sbom", "syft or trivy")])
def test_a_missing_program_is_an_error_or_said_loudly(site: Site, kind: str, names: str) -> None:
    site.kinds[kind] = ""
    with pytest.raises(Failure, match=f"missing on the controller: {names}"):
        site.run()
    images, _plan = site.run(optional=True)
    said = {"scanner": "NOT scanned", "signer": "NOT signed", "sbom": "WITHOUT a bill of materials"}[kind]
    assert images.warnings() == [f"{REFERENCE} is {said}: {names} is missing"]
    assert REFERENCE in site.tags


def test_without_a_key_nothing_goes_out(site: Site) -> None:
    site.key = ""
    with pytest.raises(Failure, match="nothing to sign with"):
        site.run()
    images, _plan = site.run(optional=True)
    assert images.warnings() == [f"{REFERENCE} is NOT signed: a key is missing"]


def test_without_a_builder_only_what_is_there_goes_on(site: Site) -> None:
    site.kinds["builder"] = ""
    with pytest.raises(Failure, match="cannot be built: neither buildah nor podman"):
        site.run()
    images, plan = site.run(optional=True)
    assert images.warnings() == [f"{REFERENCE} is NOT built: buildah or podman is missing"]
    assert not plan.changed
    assert site.done == []
    site.kinds["builder"] = "podman"
    site.run()
    site.kinds["builder"] = ""
    site.run(folder="elsewhere")
    assert site.done == ["pull", "sbom", "scan"]


def test_a_malicious_version_is_not_run(site: Site) -> None:
    site.versions["trivy"] = "0.69.4"
    with pytest.raises(Failure, match=r"trivy 0\.69\.4 is known to be malicious"):
        site.images(refused={"trivy": ["0.69.4"]}).check()


def test_a_registry_that_does_not_answer(site: Site) -> None:
    site.away = True
    with pytest.raises(Failure, match="connection refused"):
        site.run()
    _images, plan = site.run(check=True)
    assert plan.steps[0].deferred == "the registry (connection refused)"


def test_a_key_that_cannot_be_used_is_known_before_anything_is_pushed(site: Site) -> None:
    site.key_away = True
    with pytest.raises(Failure, match="no key"):
        site.run()
    assert site.done == []
    site.key_away = False
    site.run()
    site.key_away = True
    _images, plan = site.run(check=True)
    assert plan.steps[1].deferred == "the key (no key)"


def test_a_registry_that_makes_another_image_of_it(site: Site) -> None:
    site.converts = True
    with pytest.raises(PlanFailed, match="the registry has sha256:"):
        site.run()
    assert "sign" not in site.done


def test_an_index_of_several_platforms(site: Site) -> None:
    build = site.build_of(platforms=("linux/amd64", "linux/arm64"))
    site.run(build)
    assert site.done[:2] == ["build linux/amd64", "build linux/arm64"]
    assert site.done.count("attest") == site.done.count("scan") == 2
    manifest = site.manifest(REFERENCE)
    assert manifest.is_index
    assert {f"harbor.test/banking/app@{one['digest']}" for one in manifest.content["manifests"]} == site.attested_ones
    _images, plan = site.run(build)
    assert not plan.changed
    _images, plan = site.run(build, folder="elsewhere")
    assert site.done == ["pull", "pull", "sbom", "scan", "sbom", "scan"]
    assert not plan.changed


def test_everything_that_is_wrong_comes_at_once(site: Site) -> None:
    with pytest.raises(Failure) as caught:
        site.images(
            site.build_of(text="FROM scratch\nUSER root\n"), site.build_of(), site.build_of(name="Ü", version="latest")
        ).check()
    said = caught.value.cause
    assert "5 error(s)" in said
    for part in ("is named twice", "'Ü' is no name", "'latest' is no version", "(user)", "(health)"):
        assert part in said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"version": "stable"}, "is no version"),
        ({"version": "-1"}, "is no version"),
        ({"platforms": ("windows/amd64",)}, "is no platform"),
        ({"platforms": ()}, "one at least"),
        ({"platforms": ("linux/amd64", "linux/amd64")}, "each one once"),
        ({"context": "/nowhere/at/all"}, "is no folder"),
        ({"context": ""}, "copies from a context, and names none"),
    ],
)
def test_what_is_refused_of_a_build(site: Site, changed: dict[str, Any], said: str) -> None:
    (problem,) = [one for one in site.build_of(**changed).problems() if said in one]
    assert problem
    assert site.build_of().problems() == []


class TestInputs:
    def test_what_changes_them(self, site: Site) -> None:
        text = TEXT.replace("COPY a", "COPY a d")
        text = text.replace("/a\nUSER", "/x/\nUSER")
        (site.context / "d" / "e").mkdir(parents=True)
        (site.context / "d" / "e" / "f").write_text("f")
        found = [site.build_of(text=text).inputs()]
        for change in ({"args": {"a": "b"}}, {"labels": {"a": "b"}}, {"timestamp": 1}, {"platforms": ("linux/arm64",)}):
            found.append(site.build_of(text=text, **change).inputs())
        (site.context / "a").chmod(0o755)
        found.append(site.build_of(text=text).inputs())
        (site.context / "d" / "e" / "f").write_text("g")
        found.append(site.build_of(text=text).inputs())
        (site.context / "d" / "e" / "f").unlink()
        os.symlink("nowhere", site.context / "d" / "e" / "f")
        found.append(site.build_of(text=text).inputs())
        (site.context / ".dockerignore").write_text("x")
        found.append(site.build_of(text=text).inputs())
        assert len(set(found)) == len(found) == 9

    def test_what_does_not(self, site: Site) -> None:
        before = site.build_of().inputs()
        (site.context / "not-copied").write_text("x")
        (site.context / "a").chmod(0o664)
        os.utime(site.context / "a", (1, 1))
        assert site.build_of().inputs() == before
        everything = site.build_of(text=TEXT.replace("COPY a /a", "COPY . /a")).inputs()
        (site.context / ".git").mkdir()
        (site.context / ".git" / "HEAD").write_text("x")
        assert site.build_of(text=TEXT.replace("COPY a /a", "COPY . /a")).inputs() == everything

    def test_what_is_missing_is_named(self, site: Site) -> None:
        with pytest.raises(Failure, match="has no b, which is to be copied"):
            site.build_of(text=TEXT.replace("COPY a", "COPY b")).inputs()

    def test_they_are_a_label_and_cannot_be_set(self, site: Site) -> None:
        options = site.build_of(labels={INPUTS: "forged", "team": "core"}, args={"b": "1", "a": "2"}).options(
            "linux/amd64", "abc"
        )
        assert f"--label={INPUTS}=abc" in options
        assert "--label=team=core" in options
        assert "--label=org.opencontainers.image.version=1.0.0" in options
        assert [one for one in options if "build-arg" in one] == ["--build-arg=a=2", "--build-arg=b=1"]
