# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's templates, and what the action plugin gives to programs."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.action import image as action
from ansible_collections.banking.platform.plugins.module_utils import catalog
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils.containerfile import problems
from ansible_collections.banking.platform.plugins.plugin_utils.image_programs import Programs, Signer
from ansible_collections.banking.platform.plugins.plugin_utils.record import Hidden
from ansible_collections.banking.platform.tests.unit.action.conftest import make_action, trusted
from ansible_collections.banking.platform.tools.suites import CLONE

ROLE = CLONE / "roles" / "image"
RELEASES = catalog.releases()
LOCKED = "quay.io/keycloak/keycloak:23.0.4@sha256:" + "a" * 64


def rendered(release: str, template: str = "", containerfile: str = "", context: str = "", **settings: Any) -> Any:
    """The build of an image, as the action makes it of the role's variables."""
    variables = {
        "platform_release": release,
        "image_bases": {},
        **trusted(yaml.safe_load((ROLE / "vars/main.yml").read_text())),
    }
    entry = {
        "name": template or "app",
        "version": "1.0.0",
        "template": template,
        "containerfile": containerfile,
        "context": context,
        "settings": settings,
        "args": {"one": 1},
        "platforms": ["linux/amd64"],
        "labels": {},
        "timestamp": 0,
    }
    return make_action("image", {}, **variables)._build(entry, variables)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("jar", ["", "banking-app-1.0.0.jar"])
def test_the_banking_app(release: str, jar: str) -> None:
    text = rendered(release, "banking-app", **({"jar": jar} if jar else {})).text
    assert problems(text) == []
    assert ("gradlew" in text) == (not jar)
    assert (f"COPY {jar} /app/app.jar" if jar else "COPY --from=builder /app.jar /app/app.jar") in text
    assert "\nUSER 1000:1000\n" in text
    assert "HEALTHCHECK" in text
    assert 'JAVA_TOOL_OPTIONS="-XX:MaxRAMPercentage=75' in text
    assert "eclipse-temurin:21" in text


def test_the_banking_app_with_settings_of_its_own() -> None:
    base = "harbor.test/docker.io/library/eclipse-temurin:21-jre@sha256:" + "b" * 64
    settings: dict[str, Any] = {
        "jar": "a.jar",
        "port": 8443,
        "health_port": 9001,
        "health_path": "/up",
        "jre": base,
        "java_options": "-Xmx1g",
    }
    text = rendered("2026.2", "banking-app", **settings).text
    for line in (f"FROM {base}\n", "EXPOSE 8443\n", "http://127.0.0.1:9001/up", 'JAVA_TOOL_OPTIONS="-Xmx1g"'):
        assert line in text


@pytest.mark.parametrize(("release", "port"), [("2024.1", 8080), ("2026.2", 9000)])
def test_keycloak(release: str, port: int) -> None:
    settings: dict[str, Any] = {"providers": ["providers/audit.jar"], "themes": ["themes/bank"]}
    text = rendered(release, "keycloak-custom", keycloak=LOCKED, **settings).text
    assert problems(text) == []
    assert (
        'RUN ["/opt/keycloak/bin/kc.sh", "build", "--db=postgres", "--health-enabled=true", "--metrics-enabled=true"]'
        in text
    )
    assert f"/dev/tcp/127.0.0.1/{port}" in text
    assert 'CMD ["start", "--optimized"]' in text
    assert "COPY --chown=1000:0 themes/bank /opt/keycloak/themes/bank/\n" in text
    with_tls = rendered(release, "keycloak-custom", keycloak=LOCKED, health_tls=True).text
    assert "GET /health/ready" in text
    assert "GET /health/ready" not in with_tls
    for shown in (text, with_tls):
        check = next(line for line in shown.splitlines() if "/dev/tcp" in line)
        assert len(json.loads(check.strip().removeprefix("CMD "))) == 3  # else it would be a shell's line


@pytest.mark.parametrize("release", RELEASES)
def test_a_base_without_a_known_digest_is_refused(release: str) -> None:
    """The catalog knows Keycloak's digest in one release; in the other the digests are locked first."""
    locked = "@sha256:" in catalog.load(release).image("keycloak-operator", "keycloak")
    found = [problem.rule for problem in problems(rendered(release, "keycloak-custom").text)]
    assert found == ([] if locked else ["digest", "digest"])


HADOLINT = shutil.which("hadolint")


@pytest.mark.skipif(not HADOLINT, reason="hadolint is missing: make venv")
@pytest.mark.parametrize("template", ["banking-app", "keycloak-custom"])
def test_hadolint_has_nothing_against_the_templates(template: str) -> None:
    settings: dict[str, Any] = {"keycloak": LOCKED, "providers": ["a.jar"]} if template == "keycloak-custom" else {}
    text = rendered("2026.2", template, **settings).text
    done = subprocess.run([str(HADOLINT), "-"], input=text, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert Programs({"hadolint": str(HADOLINT)}).lint(text) == []
    assert "DL3007" in Programs({"hadolint": str(HADOLINT)}).lint("FROM docker.io/library/debian:latest\n")[0]


def test_a_template_of_the_users(tmp_path: Path) -> None:
    file = tmp_path / "Containerfile.j2"
    file.write_text("FROM {{ image.base }}\n{% include 'part' %}\n")
    (tmp_path / "part").write_text("USER 1000")
    build = rendered("2026.2", containerfile=str(file), base="scratch")
    assert build.text.split() == ["FROM", "scratch", "USER", "1000"]
    assert build.args == {"one": "1"}
    with pytest.raises(Failure, match="no attribute 'base'"):
        rendered("2026.2", containerfile=str(file))
    with pytest.raises(Failure, match="there is no template 'bankingapp'") as caught:
        rendered("2026.2", "bankingapp")
    assert "did you mean 'banking-app'?" in caught.value.next_step


# Secrets


def arguments(**changed: Any) -> dict[str, Any]:
    return {"programs": {}, "environment": {}, "ca_path": None, "logins": {}, "signing": {}, **changed}


def tell(folder: Path, name: str) -> Path:
    """A program that tells its arguments, its environment and what it may read."""
    path = folder / name
    path.write_text(
        '#!/bin/sh\necho "args $*"\nenv\ncat "$REGISTRY_AUTH_FILE" "$DOCKER_CONFIG/config.json"\nexit "${EXIT:-0}"\n'
    )
    path.chmod(0o755)
    return path


def test_logins_are_in_a_file_for_this_run_only(tmp_path: Path) -> None:
    logins = {"harbor.test": {"username": "robot", "password": "hunter22"}}
    program = tell(tmp_path, "cosign")
    programs, common = action._programs(
        arguments(logins=logins, ca_path="/ca.crt", programs={"cosign": str(program)}), tmp_path, Hidden()
    )
    path = Path(common["REGISTRY_AUTH_FILE"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert json.loads(path.read_text()) == {"auths": {"harbor.test": {"auth": "cm9ib3Q6aHVudGVyMjI="}}}
    said = programs.run("cosign", ["tree"]).stdout
    assert "SSL_CERT_FILE=/ca.crt" in said
    assert said.count("cm9ib3Q6aHVudGVyMjI=") == 2  # found by both of the ways in which programs look
    assert "hunter22" not in said
    with pytest.raises(Failure, match=r"harbor\.test has no username and password"):
        action._programs(arguments(logins={"harbor.test": {"username": "robot"}}), tmp_path / "other", Hidden())


def test_each_program_has_its_own_secrets(tmp_path: Path) -> None:
    given = arguments(
        environment={"cosign": {"VAULT_TOKEN": "s.hunter22"}, "trivy": {"TRIVY_TOKEN": "t.hunter33"}},
        signing={"password": "hunter44"},
        programs={name: str(tell(tmp_path, name)) for name in ("cosign", "trivy", "buildah")},
    )
    programs, _common = action._programs(given, tmp_path, Hidden())
    said = {name: programs.run(name, ["x"], codes=(0, 1)).stdout for name in ("cosign", "trivy", "buildah")}
    assert "COSIGN_PASSWORD=hunter44" in said["cosign"]
    assert "VAULT_TOKEN=s.hunter22" in said["cosign"]
    assert "TRIVY_DISABLE_TELEMETRY=true" in said["trivy"]
    assert "BUILDAH_ISOLATION=chroot" in said["buildah"]
    for secret, owner in (("s.hunter22", "cosign"), ("t.hunter33", "trivy"), ("hunter44", "cosign")):
        assert [name for name, text in said.items() if secret in text] == [owner]
    assert "hunter" not in "".join(line for text in said.values() for line in text.splitlines() if "args" in line)


def test_what_a_failed_program_says_is_shown_without_secrets(tmp_path: Path) -> None:
    given = arguments(
        environment={"cosign": {"VAULT_TOKEN": "s.hunter22", "EXIT": "3"}},
        signing={"password": "hunter44"},
        programs={"cosign": str(tell(tmp_path, "cosign"))},
    )
    programs, _common = action._programs(given, tmp_path, Hidden())
    with pytest.raises(Failure) as caught:
        programs.run("cosign", ["sign", "x"])
    assert "cosign sign exited 3" in caught.value.cause
    assert "hunter" not in caught.value.cause


def test_an_unknown_program_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="no program 'cosing'") as caught:
        action._programs(arguments(programs={"cosing": "/x"}), tmp_path, Hidden())
    assert "did you mean 'cosign'?" in caught.value.next_step


def cosign(folder: Path, help_text: str = "") -> Programs:
    """A cosign that writes down what it is called with, and knows no signature."""
    path = folder / "cosign"
    path.write_text(
        f'#!/bin/sh\necho "$*" >>{folder}/calls\ncase "$*" in\n*--help*) echo "{help_text}" ;;\n'
        'public-key*) echo PUBLIC ;;\nverify-attestation*) echo "Error: no matching attestations:" >&2; exit 1 ;;\n'
        "verify*) exit 10 ;;\nesac\n"
    )
    path.chmod(0o755)
    return Programs({"cosign": str(path)})


@pytest.mark.parametrize("newer", [True, False])
def test_signing_with_a_key(tmp_path: Path, newer: bool) -> None:
    signer = Signer(cosign(tmp_path, "--signing-config" if newer else ""), {"key": "hashivault://images"}, tmp_path)
    assert not signer.signed("r@sha256:1")
    assert not signer.attested("r@sha256:1", "spdx-json")
    signer.sign("r@sha256:1")
    signer.attest("r@sha256:1", "cyclonedx-json", Path("bill"))
    calls = [line for line in (tmp_path / "calls").read_text().splitlines() if "--help" not in line]
    public = f"--key={tmp_path}/cosign.pub --insecure-ignore-tlog=true"
    how = "--yes --key=hashivault://images " + (
        "--new-bundle-format=false --use-signing-config=false " if newer else ""
    )
    assert calls == [
        "public-key --key=hashivault://images",
        f"verify {public} r@sha256:1",
        f"verify-attestation {public} --type spdxjson r@sha256:1",
        f"sign --recursive {how}--tlog-upload=false r@sha256:1",
        f"attest {how}--tlog-upload=false --type cyclonedx --predicate=bill r@sha256:1",
    ]


def test_signing_without_a_key(tmp_path: Path) -> None:
    signer = Signer(cosign(tmp_path), {"identity": "ci@bank.example", "issuer": "https://login.bank.example"}, tmp_path)
    signer.signed("r@sha256:1")
    signer.sign("r@sha256:1")
    assert (tmp_path / "calls").read_text().splitlines() == [
        "verify --certificate-oidc-issuer=https://login.bank.example --certificate-identity=ci@bank.example r@sha256:1",
        "sign --recursive --yes r@sha256:1",
    ]


def test_versions_as_programs_tell_them(tmp_path: Path) -> None:
    told = {
        "buildah": "buildah version 1.28.2 (image-spec 1.1.0-rc2, runtime-spec 1.0.2-dev)",
        "hadolint": "Haskell Dockerfile Linter 2.15.1",
        "syft": "syft 1.18.1",
        "trivy": "Version: 0.74.0",
        "cosign": "GitVersion:    v3.1.3\nGoVersion:     go1.27.3",
    }
    for name, text in told.items():
        (tmp_path / name).write_text(f"#!/bin/sh\ncat <<'E'\n{text}\nE\n")
        (tmp_path / name).chmod(0o755)
    programs = Programs({name: str(tmp_path / name) for name in told} | {"podman": "/nowhere"})
    expected = {"buildah": "1.28.2", "hadolint": "2.15.1", "syft": "1.18.1", "trivy": "0.74.0", "cosign": "3.1.3"}
    assert programs.versions == expected
    (tmp_path / "cosign").write_text("#!/bin/sh\necho 'GitVersion: devel'\necho 'GoVersion: go1.27.3'\n")
    assert Programs({"cosign": str(tmp_path / "cosign")}).versions["cosign"] == "unknown"
