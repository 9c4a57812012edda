# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bank's images by the playbook: real buildah, skopeo, hadolint, syft, Trivy, cosign, and a real registry.

Bases cannot be pulled in a test: what stands for them is built from scratch, with a program that does nothing.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from ansible_collections.banking.platform.plugins.plugin_utils.image_programs import Programs
from ansible_collections.banking.platform.plugins.plugin_utils.registries import Registry
from ansible_collections.banking.platform.tests.integration.registry import trivy_db
from ansible_collections.banking.platform.tests.integration.registry.conftest import World, run
from ansible_collections.banking.platform.tools.suites import CLONE, cosign

pytestmark = [
    pytest.mark.registry,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the program that does nothing is for x86_64"),
]

CONTAINERFILE = """\
FROM scratch
COPY tool /tool
COPY data /data/
USER 1000:1000
HEALTHCHECK --interval=30s CMD ["/tool"]
ENTRYPOINT ["/tool"]
"""


def nothing() -> bytes:
    """A program of 132 bytes that ends well, for Linux on x86_64."""
    code = b"\xb8\x3c\x00\x00\x00\x31\xff\x0f\x05"  # mov eax, 60 (exit); xor edi, edi; syscall
    start, size = 0x400000, 64 + 56
    head = struct.pack(
        "<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 2, 62, 1, start + size, 64, 0, 0, 64, 56, 1, 0, 0, 0
    )
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, start, start, size + len(code), size + len(code), 4096) + code


class Site:
    """A controller with the images' sources, and a key."""

    def __init__(self, world: World, folder: Path) -> None:
        self.folder = folder
        self.registry = f"{world.registry}/{folder.name}"
        self.host = world.registry
        conf = folder / "registries.conf"
        conf.write_text(f"[[registry]]\nlocation = '{world.registry}'\ninsecure = true\n")
        trivy_db.write(folder / "trivy", datetime.datetime.now(datetime.UTC))
        self.environment = {
            **os.environ,
            "CONTAINERS_REGISTRIES_CONF": str(conf),
            "PLATFORM_RECORD_FOLDER": str(folder / "records"),
            "TMPDIR": str(folder / "tmp"),
            "NO_COLOR": "1",
        }
        (folder / "tmp").mkdir()
        self.context = folder / "context"
        (self.context / "data").mkdir(parents=True)
        (self.context / "data" / "file").write_text("one\n")
        (self.context / "tool").write_bytes(nothing())
        (self.context / "tool").chmod(0o755)
        self.containerfile = folder / "Containerfile"
        self.containerfile.write_text(CONTAINERFILE)
        self.variables: dict[str, Any] = {
            "platform_release": "2026.2",
            "image_builds": [self.build()],
            "image_registry": self.registry,
            "image_folder": str(folder / "images"),
            "image_optional": True,
            "image_environment": {
                "trivy": {
                    "TRIVY_CACHE_DIR": str(folder / "trivy"),
                    "TRIVY_SKIP_DB_UPDATE": "true",
                    "TRIVY_OFFLINE_SCAN": "true",
                },
            },
            # Found in $PATH or not: a test without the mark `cosign` has none.
            "image_programs": {"cosign": "no-cosign-here"},
        }

    def build(self, **changed: Any) -> dict[str, Any]:
        build = {
            "name": "app",
            "version": "1.0.0",
            "containerfile": str(self.containerfile),
            "context": str(self.context),
        }
        return {**build, **changed}

    def sign(self) -> None:
        """Have images signed with a new key."""
        run(
            "env",
            "COSIGN_PASSWORD=correct-horse",
            cosign(),
            "generate-key-pair",
            f"--output-key-prefix={self.folder}/key",
        )
        self.environment["KEY_PASSWORD"] = "correct-horse"
        self.variables |= {
            "image_optional": False,
            "image_programs": {"cosign": cosign()},
            "image_signing": {
                "key": f"{self.folder}/key.key",
                "password": "{{ lookup('ansible.builtin.env', 'KEY_PASSWORD') }}",
            },
        }

    def play(self, *arguments: str, ok: bool = True, **changed: Any) -> tuple[dict[str, Any], str]:
        """Run the playbook, and return the result in its record, and what it said."""
        variables = self.folder / "variables.json"
        variables.write_text(json.dumps({**self.variables, **changed}))
        done = subprocess.run(
            ["ansible-playbook", "playbooks/image.yml", "-i", "localhost,", "-e", f"@{variables}", *arguments],
            cwd=CLONE,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        said = " ".join((done.stdout + done.stderr).split())
        assert (done.returncode == 0) == ok, done.stdout + done.stderr
        (latest,) = self.folder.glob("records/*/runs/latest")
        self.record = json.loads((latest / "run.json").read_text())
        assert "correct-horse" not in json.dumps(self.record) + said
        results = [result for task in self.record["tasks"] for result in task["results"]]
        return results[-1], said

    def digest(self, name: str = "app:1.0.0") -> str:
        """What the registry has; nothing where it has none."""
        found = self.skopeo().find(f"{self.registry}/{name}")
        return found.digest if found else ""

    def skopeo(self) -> Registry:
        return Registry(environment={"CONTAINERS_REGISTRIES_CONF": self.environment["CONTAINERS_REGISTRIES_CONF"]})

    def base(self, name: str, files: dict[str, bytes]) -> str:
        """Push what stands for a base, and return its reference."""
        context = self.folder / "base"
        for path, content in files.items():
            (context / path).parent.mkdir(parents=True, exist_ok=True)
            (context / path).write_bytes(content)
            (context / path).chmod(0o755)
        build = self.build(
            name=name, version="1", context=str(context), containerfile=str(self.folder / "base.containerfile")
        )
        Path(build["containerfile"]).write_text('FROM scratch\nCOPY . /\nUSER 1000\nHEALTHCHECK CMD ["/x"]\n')
        self.play(image_builds=[build])
        return f"{self.registry}/{name}:1@{self.digest(f'{name}:1')}"


@pytest.fixture
def site(world: World, tmp_path: Path) -> Iterator[Site]:
    made = Site(world, tmp_path)
    yield made
    assert not list(Path(made.environment["TMPDIR"]).iterdir()), "something of a run is still there"


def test_built_pushed_and_left_alone(site: Site) -> None:
    result, said = site.play("--check")
    assert [step["action"] for step in result["plan"]] == ["create"]
    assert site.digest() == ""
    assert not (site.folder / "images").exists()
    result, said = site.play()
    digest = site.digest()
    assert result["status"] == "changed"
    (step,) = result["plan"]
    assert step["after"]["digest"] == digest
    assert "is NOT signed: cosign is missing" in said
    noted = step["after"]["platforms"]["linux/amd64"]
    assert noted["scan"]["counts"]["CRITICAL"] == 0
    assert json.loads(Path(noted["sbom"]["path"]).read_text())["spdxVersion"] == "SPDX-2.3"
    config = site.skopeo().config(f"{site.registry}/app@{digest}")
    assert config["config"]["Healthcheck"]["Test"] == ["CMD", "/tool"]  # lost in an image of OCI's kind
    assert config["config"]["User"] == "1000:1000"
    assert config["created"] == "1970-01-01T00:00:00Z"
    result, _said = site.play()
    assert result["status"] == "ok"
    assert site.digest() == digest
    assert site.record["measurements"][0]["reached"] is True


def test_the_same_inputs_are_the_same_image_on_another_controller(site: Site) -> None:
    site.play()
    digest = site.digest()
    os.utime(site.context / "data" / "file", (1, 1))
    (site.context / "not-copied").write_text("x")
    # Another folder, and another registry: all is done anew.
    site.play(image_folder=str(site.folder / "other"), image_registry=f"{site.host}/{site.folder.name}-other")
    site.registry += "-other"
    assert site.digest() == digest


def test_another_input_is_another_image_under_another_version(site: Site) -> None:
    site.play()
    digest = site.digest()
    (site.context / "data" / "file").write_text("two\n")
    _result, said = site.play(ok=False)
    assert "app:1.0.0 is there already, made of something else" in said
    assert site.digest() == digest
    site.play(image_builds=[site.build(version="1.0.1")])
    assert site.digest("app:1.0.1") not in ("", digest)
    result, _said = site.play(image_replace=True)
    assert result["plan"][0]["action"] == "update"
    assert site.digest() not in ("", digest)


def vulnerable(site: Site) -> None:
    """Bring in a package that Trivy's database knows something against."""
    name = trivy_db.PACKAGE.replace("-", "_")
    folder = site.context / "data" / "site-packages" / f"{name}-{trivy_db.VULNERABLE}.dist-info"
    folder.mkdir(parents=True)
    lines = ("Metadata-Version: 2.1", f"Name: {trivy_db.PACKAGE}", f"Version: {trivy_db.VULNERABLE}")
    (folder / "METADATA").write_text("\n".join(lines) + "\n")


def test_the_gate_keeps_a_vulnerability_back(site: Site) -> None:
    vulnerable(site)
    _result, said = site.play(ok=False)
    expected = f"{trivy_db.CVE} CRITICAL {trivy_db.PACKAGE} {trivy_db.VULNERABLE}, fixed in {trivy_db.FIXED}"
    assert expected in said
    assert "nothing was pushed or signed" in said
    assert site.digest() == ""
    entry = {"id": trivy_db.CVE, "reason": "not reached", "approved_by": "J. Doe", "until": "2000-01-01"}
    _result, said = site.play(ok=False, image_accepted=[entry])
    assert f"{trivy_db.CVE} was accepted by J. Doe until 2000-01-01" in said
    result, _said = site.play(image_accepted=[{**entry, "until": "2999-01-01"}])
    assert result["plan"][0]["after"]["platforms"]["linux/amd64"]["scan"]["accepted"] == [trivy_db.CVE]
    assert site.digest()
    _result, said = site.play(ok=False)  # what is out already is looked at as well
    assert expected in said


def test_the_gate_keeps_a_secret_back(site: Site) -> None:
    key = "\n".join(
        ["-----BEGIN RSA PRIVATE KEY-----", *["MIIEowIBAAKCAQEAq5Zz" * 3] * 8, "-----END RSA PRIVATE KEY-----", ""]
    )
    (site.context / "data" / "server.key").write_text(key)
    _result, said = site.play(ok=False)
    assert "private-key HIGH" in said
    assert "MIIEowIBAAKCAQEA" not in said
    assert site.digest() == ""


def test_an_old_database_is_no_gate(site: Site) -> None:
    shutil.rmtree(site.folder / "trivy")
    trivy_db.write(site.folder / "trivy", datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=9))
    _result, said = site.play(ok=False)
    assert "Trivy's vulnerabilities are 9 days old, and may be 7" in said
    assert site.digest() == ""


def test_without_a_signer_nothing_goes_out_but_in_a_lab(site: Site) -> None:
    _result, said = site.play(ok=False, image_optional=False)
    assert "missing on the controller: cosign (signer)" in said
    assert site.digest() == ""


def test_what_is_refused_of_a_containerfile(site: Site) -> None:
    site.containerfile.write_text("FROM docker.io/library/debian:latest\nUSER app\nENV DB_PASSWORD=hunter2\n")
    _result, said = site.play("--check", ok=False)
    for part in ("(latest)", "(user)", "(secret)", "(health)", "(DL3007), says hadolint"):
        assert part in said
    assert "hunter2" not in said


def test_a_build_that_fails(site: Site) -> None:
    site.containerfile.write_text(CONTAINERFILE.replace("USER", 'RUN ["/nowhere"]\nUSER'))
    _result, said = site.play(ok=False)
    assert "buildah" in said
    assert "/nowhere" in said
    assert site.digest() == ""


def test_two_platforms(site: Site) -> None:
    builds = [site.build(platforms=["linux/amd64", "linux/arm64"])]
    site.play(image_builds=builds, image_sbom="cyclonedx-json")
    manifest = site.skopeo().manifest(f"{site.registry}/app:1.0.0")
    assert [entry["platform"]["architecture"] for entry in manifest.content["manifests"]] == ["amd64", "arm64"]
    for architecture in ("amd64", "arm64"):
        bill = (site.folder / f"images/app/1.0.0/linux-{architecture}.cyclonedx.json").read_text()
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    result, _said = site.play(image_builds=builds, image_sbom="cyclonedx-json")
    assert result["status"] == "ok"


def test_a_bill_of_materials_by_trivy(site: Site) -> None:
    site.play(image_programs={**site.variables["image_programs"], "syft": "no-syft-here"})
    bill = json.loads((site.folder / "images/app/1.0.0/linux-amd64.spdx.json").read_text())
    assert any("trivy" in creator for creator in bill["creationInfo"]["creators"])


def test_podman_builds_it_too(site: Site) -> None:
    if not shutil.which("podman"):
        pytest.skip("podman is missing: apt-get install podman")
    site.variables["image_programs"]["buildah"] = "no-buildah-here"
    site.play()
    digest = site.digest()
    config = site.skopeo().config(f"{site.registry}/app@{digest}")["config"]
    assert config["Healthcheck"]["Test"] == ["CMD", "/tool"]
    assert len(site.skopeo().manifest(f"{site.registry}/app:1.0.0").content["layers"]) == 1
    site.registry += "-again"
    site.play(image_registry=site.registry, image_folder=str(site.folder / "other"))
    assert site.digest() == digest


def test_the_templates_are_built(site: Site) -> None:
    """Both templates of the role, on what stands for their bases."""
    (site.context / "app-1.0.0.jar").write_bytes(b"a jar")
    (site.context / "audit.jar").write_bytes(b"a provider")
    jre = site.base("eclipse-temurin", {"usr/bin/java": nothing()})
    keycloak = site.base("keycloak", {"opt/keycloak/bin/kc.sh": nothing(), "opt/keycloak/providers/README": b"x"})
    context = {"context": str(site.context)}
    builds = [
        {
            "name": "banking-app",
            "version": "1.0.0",
            "template": "banking-app",
            "settings": {"jre": jre, "jar": "app-1.0.0.jar"},
            **context,
        },
        {
            "name": "keycloak-custom",
            "version": "26.7.2-banking",
            "template": "keycloak-custom",
            "settings": {"keycloak": keycloak, "providers": ["audit.jar"]},
            **context,
        },
    ]
    # Of a file that is called a jar, Trivy asks another database of its own, which cannot be had here.
    site.variables["image_scanners"] = ["secret"]
    site.play(image_builds=builds)
    app = site.skopeo().config(f"{site.registry}/banking-app:1.0.0")["config"]
    assert app["Entrypoint"] == ["java", "-jar", "/app/app.jar"]
    assert app["User"] == "1000:1000"
    assert app["Healthcheck"]["Test"][:2] == ["CMD", "wget"]
    assert [entry for entry in app["Env"] if entry.startswith("JAVA_TOOL_OPTIONS=-XX:MaxRAMPercentage=75 ")]
    custom = site.skopeo().config(f"{site.registry}/keycloak-custom:26.7.2-banking")["config"]
    assert custom["Cmd"] == ["start", "--optimized"]
    assert "/health/ready" in custom["Healthcheck"]["Test"][-1]
    bill = (site.folder / "images/keycloak-custom/26.7.2-banking/linux-amd64.spdx.json").read_text()
    assert "26.7.2-banking" in (site.folder / "images/keycloak-custom/26.7.2-banking/inputs.json").read_text()
    assert bill
    result, _said = site.play(image_builds=builds)
    assert result["status"] == "ok"


@pytest.mark.cosign
class TestSigned:
    def test_signed_by_digest_with_its_bill_of_materials(self, site: Site) -> None:
        site.sign()
        result, _said = site.play("--check")
        assert [step["kind"] for step in result["plan"]] == ["image", "signature", "sbom"]
        result, said = site.play()
        assert "WARNING" not in said
        reference = f"{site.registry}/app@{site.digest()}"
        verify = [cosign(), "verify", f"--key={site.folder}/key.pub", "--insecure-ignore-tlog=true", reference]
        assert site.digest() in run(*verify)
        attested = run(verify[0], "verify-attestation", *verify[2:4], "--type=spdxjson", reference)
        assert "payload" in attested
        result, _said = site.play()
        assert result["status"] == "ok"
        left = json.loads((site.folder / "images/app/1.0.0/image.json").read_text())
        assert left["by_digest"] == reference
        assert left["signed_by"] == f"{site.folder}/key.key"
        # Another controller: it knows the key, and takes what is there.
        result, _said = site.play(image_folder=str(site.folder / "other"))
        assert result["status"] == "ok"

    def test_what_the_gate_keeps_back_is_not_signed(self, site: Site) -> None:
        site.sign()
        vulnerable(site)
        site.play(ok=False)
        assert site.digest() == ""
        listed = run("skopeo", "list-tags", "--tls-verify=false", f"docker://{site.registry}/app", ok=False)
        assert "sig" not in listed

    def test_what_somebody_else_pushed_with_our_label_is_not_signed(self, site: Site) -> None:
        site.play()  # unsigned, as whoever may push could do it
        label = site.skopeo().config(f"{site.registry}/app:1.0.0")["config"]["Labels"]["platform.banking/inputs"]
        forged = site.folder / "forged"
        (forged / "data").mkdir(parents=True)
        (forged / "tool").write_bytes(b"malware")
        (forged / "data" / "file").write_text("x")
        programs = Programs(environment={"buildah": {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}})
        scratch = site.folder / "scratch"
        scratch.mkdir()
        options = [f"--label=platform.banking/inputs={label}"]
        programs.build(site.containerfile, str(forged), options, scratch, site.folder / "dir")
        run(
            "skopeo",
            "copy",
            "--quiet",
            "--dest-tls-verify=false",
            f"dir:{site.folder}/dir",
            f"docker://{site.registry}/app:1.0.0",
        )
        site.sign()
        _result, said = site.play(ok=False, image_folder=str(site.folder / "other"))
        assert "not signed by us, and another one than comes of the same inputs here" in said
        assert "sig" not in run("skopeo", "list-tags", "--tls-verify=false", f"docker://{site.registry}/app")

    def test_what_was_pushed_and_not_signed_is_signed_later(self, site: Site) -> None:
        site.play()
        digest = site.digest()
        site.sign()
        result, _said = site.play(image_folder=str(site.folder / "other"))
        assert site.digest() == digest
        assert [step["action"] for step in result["plan"]] == ["create", "create"]

    def test_the_images_of_an_index_are_signed_too(self, site: Site) -> None:
        site.sign()
        builds = [site.build(platforms=["linux/amd64", "linux/arm64"])]
        site.play(image_builds=builds)
        manifest = site.skopeo().manifest(f"{site.registry}/app:1.0.0")
        for digest in [manifest.digest, *(entry["digest"] for entry in manifest.content["manifests"])]:
            run(
                cosign(),
                "verify",
                f"--key={site.folder}/key.pub",
                "--insecure-ignore-tlog=true",
                f"{site.registry}/app@{digest}",
            )
        result, _said = site.play(image_builds=builds)
        assert result["status"] == "ok"

    def test_a_wrong_password_is_said_without_it(self, site: Site) -> None:
        site.sign()
        site.environment["KEY_PASSWORD"] = "correct-horse-2"
        _result, said = site.play(ok=False)
        assert "cosign public-key exited" in said
        assert "decrypt" in said
        assert site.digest() == ""
