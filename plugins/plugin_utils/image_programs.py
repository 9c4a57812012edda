# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that images are made with: buildah or podman, hadolint, syft, Trivy, cosign.

Secrets reach them by their environment and by files, never by their command line, and what they say is shown without
them.
"""

from __future__ import annotations

import datetime
import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils.image_scan import database_age
from ansible_collections.banking.platform.plugins.plugin_utils.record import Hidden

# What a kind of work is done with: the first that is at hand.
KINDS = {
    "builder": ("buildah", "podman"),
    "linter": ("hadolint",),
    "sbom": ("syft", "trivy"),
    "scanner": ("trivy",),
    "signer": ("cosign",),
}
NAMES = tuple(dict.fromkeys(name for names in KINDS.values() for name in names))
# cosign's names of the formats (`--type`), and Trivy's and syft's.
SBOM_FORMATS = {
    "spdx-json": ("spdxjson", "spdx-json", "spdx-json"),
    "cyclonedx-json": ("cyclonedx", "cyclonedx", "cyclonedx-json"),
}
# cosign's exit codes (sigstore/cosign:doc/cosign_exit_codes.md@v3.1.2): no signature, no such tag, none that matches.
_NOT_SIGNED = (10, 11, 12)
_NOT_ATTESTED = re.compile(r"no matching attestations|none of the attestations matched|no attestations")
_VERSION = re.compile(r"\d+\.\d+(?:\.\d+)?\S*")
_COSIGN_VERSION = re.compile(r"GitVersion:\s+v?(\d\S*)")
_TIMEOUT = 3600  # seconds that a program may take
_SHOWN = 15  # lines of a program that failed


class Programs:
    """The programs at hand.

    Args:
        paths: of some, by name, in place of those in $PATH.
        environment: variables for some, by name; their values are secrets.
        common: variables for all of them.
        hidden: what must not be shown of what they say.
    """

    def __init__(
        self,
        paths: Mapping[str, str] | None = None,
        environment: Mapping[str, Mapping[str, str]] | None = None,
        common: Mapping[str, str] | None = None,
        hidden: Hidden | None = None,
    ) -> None:
        self.hidden = hidden or Hidden()
        self._paths = {name: shutil.which(os.path.expanduser((paths or {}).get(name) or name)) for name in NAMES}
        self._environment = {
            name: {key: str(value) for key, value in own.items()} for name, own in (environment or {}).items()
        }
        self._common = dict(common or {})
        for own in self._environment.values():
            self.hidden.update(own.values())

    def of(self, kind: str) -> str:
        """The name of the program for a kind of work; nothing where none is at hand."""
        return next((name for name in KINDS[kind] if self._paths[name]), "")

    @functools.cached_property
    def versions(self) -> dict[str, str]:
        """The versions of those that are at hand, as they tell them."""
        return {name: self._version(name) for name in NAMES if self._paths[name]}

    def run(
        self, name: str, arguments: Sequence[str], stdin: str | None = None, codes: Sequence[int] = (0,)
    ) -> subprocess.CompletedProcess[str]:
        """Run a program.

        Args:
            name: which one.
            arguments: nothing secret.
            stdin: what it reads.
            codes: exit codes that are no failure.

        Raises:
            Failure: with the last lines that it wrote.
        """
        command = next((argument for argument in arguments if not argument.startswith("-")), arguments[0])
        try:
            done = subprocess.run(
                [str(self._paths[name]), *arguments],
                input=stdin if stdin is not None else "",
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TIMEOUT,
                check=False,
                env={**os.environ, **self._common, **self._environment.get(name, {})},
            )
        except OSError as error:
            raise Failure(f"{name}: {error.strerror}", f"see to {self._paths[name]}") from error
        except subprocess.TimeoutExpired as error:
            raise Failure(f"{name} {command} was not done after {_TIMEOUT} s", "see what it waits for") from error
        if done.returncode not in codes:
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-_SHOWN:]
            raise Failure(self.hidden.mask(f"{name} {command} exited {done.returncode}: " + "\n".join(said)))
        return done

    def lint(self, text: str) -> list[str]:
        """What hadolint has against a Containerfile, errors and warnings only. Raises Failure."""
        done = self.run("hadolint", ["--no-fail", "--format", "json", "-"], stdin=text)
        found = _json(done.stdout, "hadolint")
        return [
            f"line {entry['line']}: {entry['message']} ({entry['code']})"
            for entry in found
            if entry.get("level") in ("error", "warning")
        ]

    def build(self, file: Path, context: str, options: Sequence[str], storage: Path, folder: Path) -> None:
        """Build an image into a folder (`dir:`). Nothing else stays.

        Args:
            file: the Containerfile.
            context: the folder that COPY takes from.
            options: of `build`.
            storage: a folder for what the builder needs meanwhile.
            folder: for the image.

        Raises:
            Failure: with the last lines of the build.
        """
        builder, name = self.of("builder"), storage / "image"
        # Podman takes 50 characters for this folder at most.
        with tempfile.TemporaryDirectory(prefix="image-", dir="/tmp") as short:
            place = [f"--root={storage}/storage", f"--runroot={short}"]
            # Docker's format: OCI's has no health check. Podman would make a layer of each instruction.
            how = ["--format=docker", "--layers=false", f"--iidfile={name}", *options, f"--file={file}"]
            self.run(builder, [*place, "build", *how, context])
            image = name.read_text(encoding="utf-8").strip()
            self.run(builder, [*place, "push", "--quiet", "--format=v2s2", image, f"dir:{folder}"])

    def sbom(self, layout: Path, sbom_format: str, path: Path) -> str:
        """Write the bill of materials of an image, and return the program that made it. Raises Failure."""
        _type, of_trivy, of_syft = SBOM_FORMATS[sbom_format]
        program = self.of("sbom")
        if program == "syft":
            self.run("syft", ["scan", "--quiet", f"--output={of_syft}={path}", f"oci-dir:{layout}"])
        else:
            self.run("trivy", ["image", "--quiet", f"--input={layout}", f"--format={of_trivy}", f"--output={path}"])
        _json(path.read_text(encoding="utf-8"), program)
        return program

    def scan(self, layout: Path, scanners: Sequence[str], path: Path) -> Any:
        """Scan an image with Trivy, keep its whole report, and return it. Raises Failure."""
        wanted = f"--scanners={','.join(scanners)}"
        self.run("trivy", ["image", "--quiet", f"--input={layout}", wanted, "--format=json", f"--output={path}"])
        try:
            return _json(path.read_text(encoding="utf-8"), "trivy")
        except OSError as error:
            raise Failure(f"trivy wrote no report: {error.strerror}", "see that it is Trivy") from error

    def database_age(self, now: datetime.datetime) -> float | None:
        """Days since Trivy's vulnerabilities were put together; None where it does not say (a server has them)."""
        done = self.run("trivy", ["version", "--format", "json"])
        return database_age(_json(done.stdout, "trivy"), now)

    def _version(self, name: str) -> str:
        if name == "cosign":
            found = _COSIGN_VERSION.search(self.run(name, ["version"]).stdout)
            return found[1] if found else "unknown"
        found = _VERSION.search(self.run(name, ["--version"]).stdout)
        return found[0] if found else "unknown"


class Signer:
    """Signs and verifies images with cosign.

    Args:
        programs: with cosign.
        settings: key, public_key, identity, issuer, transparency_log.
        folder: for the public key.
    """

    def __init__(self, programs: Programs, settings: Mapping[str, Any], folder: Path) -> None:
        self.programs = programs
        self.key = str(settings.get("key") or "")
        self.keyless = not self.key
        self._settings = settings
        self._folder = folder

    @functools.cached_property
    def _whom(self) -> list[str]:
        """What verifies: the public key, or who must have signed."""
        if self.keyless:
            issuer, identity = self._settings.get("issuer"), self._settings.get("identity")
            return [f"--certificate-oidc-issuer={issuer}", f"--certificate-identity={identity}"]
        public = self._settings.get("public_key")
        if not public:
            public = self._folder / "cosign.pub"
            public.write_text(self.programs.run("cosign", ["public-key", f"--key={self.key}"]).stdout, encoding="utf-8")
        log = [] if self._settings.get("transparency_log") else ["--insecure-ignore-tlog=true"]
        return [f"--key={public}", *log]

    @functools.cached_property
    def _how(self) -> list[str]:
        if self.keyless:
            return ["--yes"]
        how = ["--yes", f"--key={self.key}"]
        # cosign 3 would fetch a signing configuration, and write signatures of a newer format. (Some builds do not tell
        # their version.)
        if "signing-config" in self.programs.run("cosign", ["sign", "--help"]).stdout:
            how += ["--new-bundle-format=false", "--use-signing-config=false"]
        return how if self._settings.get("transparency_log") else [*how, "--tlog-upload=false"]

    def prove(self) -> None:
        """See that the key can be used. Raises Failure."""
        if not self.keyless:
            self.programs.run("cosign", ["public-key", f"--key={self.key}"])

    def signed(self, reference: str) -> bool:
        """Whether an image (by digest) is signed by us. Raises Failure."""
        done = self.programs.run("cosign", ["verify", *self._whom, reference], codes=(0, *_NOT_SIGNED))
        return done.returncode == 0

    def sign(self, reference: str) -> None:
        """Sign an image by its digest, and of an index all of its images. Raises Failure."""
        self.programs.run("cosign", ["sign", "--recursive", *self._how, reference])

    def attested(self, reference: str, sbom_format: str) -> bool:
        """Whether an image (by digest) has a bill of materials that is signed by us. Raises Failure."""
        wanted = ["--type", SBOM_FORMATS[sbom_format][0]]
        done = self.programs.run(
            "cosign", ["verify-attestation", *self._whom, *wanted, reference], codes=(0, 1, *_NOT_SIGNED)
        )
        if done.returncode == 1 and not _NOT_ATTESTED.search(done.stderr):
            raise Failure(self.programs.hidden.mask(f"cosign verify-attestation {reference}: {done.stderr.strip()}"))
        return done.returncode == 0

    def attest(self, reference: str, sbom_format: str, path: Path) -> None:
        """Attach a signed bill of materials to an image (by digest). Raises Failure."""
        what = ["--type", SBOM_FORMATS[sbom_format][0], f"--predicate={path}"]
        self.programs.run("cosign", ["attest", *self._how, *what, reference])


def _json(text: str, program: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Failure(f"{program} wrote no JSON: {text.strip()[:200]!r}", f"see that it is {program}") from error
