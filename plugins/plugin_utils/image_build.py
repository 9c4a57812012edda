# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bank's own images: checked, built, scanned, pushed, signed, in this order.

What an image was made of has a digest (its *inputs*), and the image has it as a label: an image whose inputs are the
same and that we have signed is not built again. A label alone is trusted by nobody: whoever may push may write one.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan, Step
from ansible_collections.banking.platform.plugins.plugin_utils import containerfile, image_layout, image_scan
from ansible_collections.banking.platform.plugins.plugin_utils.image_programs import KINDS, Programs, Signer
from ansible_collections.banking.platform.plugins.plugin_utils.image_scan import Acceptance
from ansible_collections.banking.platform.plugins.plugin_utils.registries import Away, Registry

INPUTS = "platform.banking/inputs"
_NAME = re.compile(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
# Tags that are moved by custom, and so name nothing.
_FLOATING = re.compile(r"(?:latest|stable|main|master|edge|nightly|dev|snapshot)", re.I)
_PLATFORM = re.compile(r"linux/[a-z0-9]+(?:/[a-z0-9]+)?")
_IGNORE_FILES = (".containerignore", ".dockerignore")
_WITHOUT = {
    "builder": "NOT built",
    "linter": "not read by hadolint, only by the platform's own rules",
    "sbom": "WITHOUT a bill of materials",
    "scanner": "NOT scanned",
    "signer": "NOT signed",
}


_Known = TypeVar("_Known")


def _known(value: _Known | None) -> _Known:
    """What an earlier step has found out."""
    if value is None:
        raise AssertionError("a step came before the one that it follows from")
    return value


@dataclass(frozen=True)
class Build:
    """What one image is made of.

    Attributes:
        name: its repository below the registry.
        version: its tag.
        text: the Containerfile.
        context: the folder that COPY takes from; nothing where none is needed.
        args: build arguments.
        platforms: `linux/<architecture>`.
        labels: beside those that it gets anyway.
        timestamp: seconds of the epoch, of the image and of all files in it.
    """

    name: str
    version: str
    text: str
    context: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    platforms: Sequence[str] = ("linux/amd64",)
    labels: Mapping[str, str] = field(default_factory=dict)
    timestamp: int = 0

    def problems(self) -> list[str]:
        """What is refused of it before anything is built."""
        found = []
        if not _NAME.fullmatch(self.name):
            found.append(f"{self.name!r} is no name of a repository: lower case, digits, and . _ - / between them")
        if not _TAG.fullmatch(self.version) or _FLOATING.fullmatch(self.version):
            found.append(
                f"{self.version!r} is no version: a tag that is moved cannot be signed, verified or gone back to"
            )
        for platform in self.platforms:
            if not _PLATFORM.fullmatch(platform):
                found.append(f"{platform!r} is no platform such as linux/amd64")
        if len(set(self.platforms)) != len(self.platforms) or not self.platforms:
            found.append("platforms must name each one once, and one at least")
        if self.context and not os.path.isdir(self.context):
            found.append(f"its context {self.context} is no folder")
        elif not self.context and containerfile.Containerfile(self.text, self.args).copied():
            found.append("it copies from a context, and names none")
        return found + [str(problem) for problem in containerfile.problems(self.text, self.args)]

    def inputs(self) -> str:
        """The digest of all that it is made of: what is copied, not the whole context. Raises Failure."""
        files = _files(self.context, containerfile.Containerfile(self.text, self.args).copied()) if self.context else {}
        made_of = {
            "text": self.text,
            "args": dict(self.args),
            "platforms": sorted(self.platforms),
            "labels": dict(self.labels),
            "timestamp": self.timestamp,
            "files": files,
        }
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()

    def options(self, platform: str, inputs: str) -> list[str]:
        """The builder's options for a platform."""
        labels = {
            "org.opencontainers.image.title": self.name,
            "org.opencontainers.image.version": self.version,
            **self.labels,
            INPUTS: inputs,
        }
        return [
            f"--platform={platform}",
            f"--timestamp={self.timestamp}",
            *(f"--build-arg={name}={value}" for name, value in sorted(self.args.items())),
            *(f"--label={name}={value}" for name, value in sorted(labels.items())),
        ]


@dataclass
class Settings:
    """How images are made.

    Attributes:
        registry: what stands before names (`harbor.bank.example/banking`).
        folder: where images, bills of materials and reports are kept.
        severities: what keeps an image back.
        accepted: findings that somebody has accepted.
        scanners: of Trivy.
        database_days: how old Trivy's vulnerabilities may be.
        sbom_format: a key of SBOM_FORMATS.
        replace: whether a version that is there may become another image.
        optional: whether a program may be missing (a lab).
    """

    registry: str
    folder: Path
    severities: Sequence[str] = ("CRITICAL", "HIGH")
    accepted: Sequence[Acceptance] = ()
    scanners: Sequence[str] = ("vuln", "secret")
    database_days: float = 7
    sbom_format: str = "spdx-json"
    replace: bool = False
    optional: bool = False


@dataclass
class Tools:
    """What images are made with. Without a signer nothing is signed; `scratch` is a folder for this run only."""

    programs: Programs
    registry: Registry
    signer: Signer | None
    scratch: Path


class Image:
    """One image on its way."""

    def __init__(self, build: Build, settings: Settings, tools: Tools) -> None:
        self.build = build
        self.settings = settings
        self.tools = tools
        self.repository = f"{settings.registry}/{build.name}"
        self.reference = f"{self.repository}:{build.version}"
        self.folder = settings.folder / build.name / build.version
        self.inputs = ""
        self.there = ""  # digest of what the version names in the registry
        self.signed = False  # whether that is signed by us
        self.image: image_layout.Image | None = None  # what is to be there, as soon as it is known
        self.away = ""  # why the registry cannot be asked yet
        self.keyless = ""  # why the key cannot be asked yet
        self.left_out = False
        self.warnings: list[str] = []
        self.platforms: dict[str, dict[str, Any]] = {}
        self.used: set[str] = set()
        self._steps: dict[str, Step] = {}

    # What is now

    def read(self, check: bool) -> None:
        """See what the registry has, and what of it counts.

        Args:
            check: nothing will be done: a registry that does not answer may come later.

        Raises:
            Failure: the registry cannot be read, or its version is another image that may not be replaced.
        """
        self.inputs = self.build.inputs()
        try:
            found = self.tools.registry.find(self.reference)
        except Away as failure:
            if not check:
                raise
            self.away = failure.cause
            return
        kept = self._kept()
        if found is None:
            self.image = kept
            return
        self.there = found.digest
        first = str(found.content["manifests"][0]["digest"]) if found.is_index else found.digest
        config = self.tools.registry.config(f"{self.repository}@{first}")
        labelled = ((config.get("config") or {}).get("Labels") or {}).get(INPUTS)
        if labelled != self.inputs:
            self._refuse_another("made of something else")
        signer = self.tools.signer
        try:
            self.signed = bool(signer and labelled == self.inputs and signer.signed(self._by_digest(self.there)))
        except Failure as failure:
            if not check:
                raise
            self.keyless = failure.cause.splitlines()[0]
        if labelled == self.inputs and (self.signed or signer is None) and not (kept and kept.digest == self.there):
            self.image = image_layout.Image(self.there)
        else:
            # Without either it is built: the same digest may come of it, and then it is ours.
            self.image = kept

    def _refuse_another(self, why: str) -> None:
        if not self.settings.replace:
            raise Failure(
                f"{self.reference} is there already, {why} ({self.there})",
                "give it a new version; a version that is not out yet may be replaced with image_replace",
            )

    def _by_digest(self, digest: str) -> str:
        return f"{self.repository}@{digest}"

    # What is to be done

    def steps(self) -> list[Step]:
        """The steps, as far as they can be known before it is built."""
        programs, note = self.tools.programs, ""
        before = {"digest": self.there} if self.there else None
        if self.image is None and not programs.of("builder"):
            self.left_out = True
            self._say("builder")
            return [Step("image", self.reference, before=before, note=_WITHOUT["builder"])]
        missing = [kind for kind in ("linter", "sbom", "scanner") if not programs.of(kind)]
        missing += ["signer"] if self.tools.signer is None else []
        for kind in missing:
            self._say(kind)
        note = "; ".join(_WITHOUT[kind] for kind in missing)
        wanted = self.image.digest if self.image else ""
        action = "none" if wanted and wanted == self.there else "update" if self.there else "create"
        step = Step("image", self.reference, action, before, {"inputs": self.inputs}, note=note, apply=self._push)
        step.deferred = f"the registry ({self.away})" if self.away else ""
        self._steps["image"] = step
        signer = self.tools.signer
        if signer:
            by = {"by": signer.key or "keyless"}
            self._steps["signature"] = Step("signature", self.reference, "create", after=by, apply=self._sign)
            self._steps["signature"].deferred = f"the key ({self.keyless})" if self.keyless else ""
        if signer and programs.of("sbom"):
            how = {"format": self.settings.sbom_format}
            self._steps["sbom"] = Step("sbom", self.reference, "create", after=how, apply=self._attest)
        if action == "none":
            self._leave_what_is_signed()
        return list(self._steps.values())

    def _leave_what_is_signed(self) -> None:
        """The image is there: what belongs to it may be as well."""
        signer = self.tools.signer
        if signer and self.signed:
            self._steps["signature"].action = "none"
        if signer and "sbom" in self._steps and not self.keyless:
            there = (self._by_digest(digest) for digest in self._digests_there())
            if all(signer.attested(reference, self.settings.sbom_format) for reference in there):
                self._steps["sbom"].action = "none"

    def _digests_there(self) -> list[str]:
        """The digest of each platform's image in the registry."""
        manifest = self.tools.registry.manifest(self._by_digest(self.there))
        return [str(entry["digest"]) for entry in manifest.content["manifests"]] if manifest.is_index else [self.there]

    def _say(self, kind: str) -> None:
        if kind != "linter":
            names = " or ".join(KINDS[kind]) if kind != "signer" or not self.tools.programs.of("signer") else "a key"
            self.warnings.append(f"{self.reference} is {_WITHOUT[kind]}: {names} is missing")

    # Doing it

    def make(self) -> None:
        """Have the image in this folder: kept from an earlier run, fetched, or built. Raises Failure or OSError."""
        if self.left_out:
            return
        if self.image is None:
            self._build()
        elif self._kept() is None:
            self._fetch(self.image.digest)
        self._note_platforms()
        step = self._steps["image"]
        if step.changes and self.there:
            image = _known(self.image)
            if image.digest != self.there:
                self._refuse_another("not signed by us, and another one than comes of the same inputs here")
            else:
                step.action = "none"
                self._leave_what_is_signed()

    def _build(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        file = self.folder / "Containerfile"
        file.write_text(self.build.text, encoding="utf-8")
        for platform in self.build.platforms:
            scratch = self.tools.scratch / "build"
            (scratch / "context").mkdir(parents=True)
            context = self.build.context or str(scratch / "context")
            options = self.build.options(platform, self.inputs)
            try:
                self.tools.programs.build(file, context, options, scratch, scratch / "image-of-it")
                image_layout.write(scratch / "image-of-it", self._layout(platform))
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        self.image = self._whole()
        self._keep()

    def _fetch(self, digest: str) -> None:
        manifest = self.tools.registry.manifest(self._by_digest(digest))
        entries = manifest.content["manifests"] if manifest.is_index else [{"digest": digest}]
        if len(entries) != len(self.build.platforms):
            raise Failure(
                f"{self.reference} is for {len(entries)} platform(s), not for {len(self.build.platforms)}",
                "give it a new version",
            )
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        (self.folder / "Containerfile").write_text(self.build.text, encoding="utf-8")
        for number, (platform, entry) in enumerate(zip(self.build.platforms, entries, strict=True)):
            folder = self.tools.scratch / f"fetched-{number}"
            self.tools.registry.pull(self._by_digest(str(entry["digest"])), str(folder))
            image_layout.write(folder, self._layout(platform), built=False)
            shutil.rmtree(folder)
        self.image = self._whole()
        if self.image.digest != digest:
            raise Failure(
                f"{self.reference}: the index in the registry ({digest}) is not of our making", "give it a new version"
            )
        self._keep()

    def _layout(self, platform: str) -> Path:
        return self.folder / platform.replace("/", "-")

    def _whole(self) -> image_layout.Image:
        layouts = {platform: self._layout(platform) for platform in self.build.platforms}
        image = (
            image_layout.join(layouts, self.folder / "index")
            if len(layouts) > 1
            else image_layout.read(*layouts.values())
        )
        if image is None:
            raise Failure(f"{self.reference}: what was built is not whole", "run again")
        return image

    def _pushed(self) -> Path:
        return self.folder / "index" if len(self.build.platforms) > 1 else self._layout(self.build.platforms[0])

    def _kept(self) -> image_layout.Image | None:
        """What an earlier run left in the folder, where it is of the same inputs, and whole."""
        try:
            kept = json.loads((self.folder / "inputs.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        image = image_layout.read(self._pushed()) if kept.get("inputs") == self.inputs else None
        return image if image and image.digest == kept.get("digest") else None

    def _keep(self) -> None:
        image = _known(self.image)
        kept = {"reference": self.reference, "inputs": self.inputs, "digest": image.digest}
        (self.folder / "inputs.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")

    def _note_platforms(self) -> None:
        for platform in self.build.platforms:
            image = image_layout.read(self._layout(platform))
            if image is None:
                raise Failure(f"{self._layout(platform)} is damaged", "remove the folder, and run again")
            self.platforms[platform] = {"digest": image.digest, "config": image.config}

    # The gate

    def examine(self, now: datetime.datetime) -> list[str]:
        """Write bills of materials, scan, and return what keeps the image back. Raises Failure or OSError."""
        refused: list[str] = []
        if self.left_out:
            return refused
        programs = self.tools.programs
        for platform, noted in self.platforms.items():
            layout = self._layout(platform)
            bill = self.folder / f"{layout.name}.{self.settings.sbom_format.replace('-json', '')}.json"
            if programs.of("sbom"):
                # One that is there belongs to this image: the folder is emptied before another one comes into it.
                if not bill.exists():
                    new = bill.with_name(f".{bill.name}")
                    programs.sbom(layout, self.settings.sbom_format, new)
                    os.replace(new, bill)
                noted["sbom"] = {"path": str(bill), "sha256": hashlib.sha256(bill.read_bytes()).hexdigest()}
            if programs.of("scanner"):
                report = self.folder / f"{layout.name}.trivy.json"
                report.unlink(missing_ok=True)
                found = programs.scan(layout, self.settings.scanners, report)
                verdict = image_scan.judge(
                    found, self.build.name, self.settings.severities, self.settings.accepted, noted["config"]
                )
                self.used |= verdict.used
                noted["scan"] = {
                    "report": str(report),
                    "counts": verdict.counts,
                    "refused": len(verdict.refused),
                    "accepted": sorted({finding.id for finding in verdict.accepted}),
                    "scanned": now.isoformat(timespec="seconds"),
                }
                if verdict.refused:
                    refused.append(f"{self.reference} ({platform}): {verdict.summary()}")
        return refused

    def measurements(self) -> list[dict[str, Any]]:
        """For the record: how many findings kept it back."""
        return [
            {
                "name": f"{self.build.name}:{self.build.version} {platform}, findings at the gate",
                "value": noted["scan"]["refused"],
                "unit": "",
                "goal": "= 0",
            }
            for platform, noted in self.platforms.items()
            if "scan" in noted
        ]

    # Changes, as steps of the plan

    def _push(self) -> None:
        self.tools.registry.push(str(self._pushed()), self.reference)
        image = _known(self.image)
        now = self.tools.registry.find(self.reference)
        if now is None or now.digest != image.digest:
            has = now.digest if now else "nothing"
            raise Failure(
                f"{self.reference}: the registry has {has} after the push of {image.digest}",
                "see whether somebody else pushes to it, or the registry converts images",
            )

    def _sign(self) -> None:
        signer = _known(self.tools.signer)
        image = _known(self.image)
        signer.sign(self._by_digest(image.digest))

    def _attest(self) -> None:
        signer = _known(self.tools.signer)
        for noted in self.platforms.values():
            reference = self._by_digest(noted["digest"])
            if not signer.attested(reference, self.settings.sbom_format):
                signer.attest(reference, self.settings.sbom_format, Path(noted["sbom"]["path"]))

    def outcome(self) -> dict[str, Any]:
        """What became of it, for the record of the run and for whoever deploys it by its digest."""
        digest = self.image.digest if self.image else self.there
        found: dict[str, Any] = {"reference": self.reference, "inputs": self.inputs, "warnings": self.warnings}
        if digest:
            found |= {"digest": digest, "by_digest": self._by_digest(digest)}
        if self.platforms:
            found["platforms"] = self.platforms
        if step := self._steps.get("image"):
            step.after = {**(step.after or {}), **{key: found[key] for key in ("digest", "platforms") if key in found}}
        return found

    def record(self, programs: Mapping[str, str]) -> None:
        """Leave what became of it beside the image, also where nothing was changed. Raises OSError."""
        if not self.platforms:
            return
        signer = self.tools.signer
        found = {**self.outcome(), "signed_by": (signer.key or "keyless") if signer else "nobody", "programs": programs}
        (self.folder / "image.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


class Images:
    """All images of a run.

    Args:
        builds: what they are made of.
        settings: how.
        tools: with what.
        refused_versions: of programs, by name: versions that are known to be malicious.
    """

    def __init__(
        self,
        builds: Sequence[Build],
        settings: Settings,
        tools: Tools,
        refused_versions: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.settings = settings
        self.tools = tools
        self.images = [Image(build, settings, tools) for build in builds]
        self._refused_versions = refused_versions or {}
        self._warnings: list[str] = []

    def check(self) -> None:
        """See that everything can be done, before anything is. Raises Failure with all that stands against it."""
        self._check_programs()
        found = []
        seen: set[str] = set()
        for image in self.images:
            problems = image.build.problems()
            if self.tools.programs.of("linter"):
                problems += [f"{said}, says hadolint" for said in self.tools.programs.lint(image.build.text)]
            if image.reference in seen:
                problems.append("it is named twice")
            seen.add(image.reference)
            found += [f"{image.build.name}:{image.build.version}: {problem}" for problem in problems]
        if found:
            raise Failure(
                f"{len(found)} error(s) in what images are made of, nothing was built:\n"
                + "\n".join(f"  {one}" for one in found)
            )

    def _check_programs(self) -> None:
        programs = self.tools.programs
        for name, versions in self._refused_versions.items():
            if programs.versions.get(name) in versions:
                raise Failure(
                    f"{name} {programs.versions[name]} is known to be malicious", "install the version of the catalog"
                )
        wanted = [kind for kind in ("sbom", "scanner", "signer") if not programs.of(kind)]
        if wanted and not self.settings.optional:
            named = ", ".join(f"{' or '.join(KINDS[kind])} ({kind})" for kind in wanted)
            raise Failure(f"missing on the controller: {named}", "install it, or name it in image_programs")
        if self.tools.signer is None and programs.of("signer") and not self.settings.optional:
            raise Failure("there is nothing to sign with", "name a key, or issuer and identity, in image_signing")

    def plan(self, check: bool) -> Plan:
        """The steps of all images. Raises Failure."""
        plan = Plan()
        for image in self.images:
            image.read(check)
            for step in image.steps():
                plan.add(step)
            if image.left_out and not self.settings.optional:
                raise Failure(
                    f"{image.reference} cannot be built: neither buildah nor podman is on the controller",
                    "install one of them",
                )
        return plan

    def apply(self, plan: Plan, now: datetime.datetime) -> None:
        """Build all, let all through the gate, then push and sign. Raises Failure; PlanFailed half way through."""
        if self.tools.programs.of("scanner"):
            self._check_database(now)
        if self.tools.signer:
            self.tools.signer.prove()  # an image that is out and cannot be signed helps nobody
        for image in self.images:
            image.make()
        refused = [said for image in self.images for said in image.examine(now)]
        if refused:
            gate = ", ".join(self.settings.severities)
            raise Failure(
                f"the gate ({gate}) keeps {len(refused)} image(s) back, nothing was pushed or signed:\n"
                + "\n".join(f"  {one}" for one in refused),
                "mend them (a newer base mostly does), or have findings accepted until a day (image_accepted)",
            )
        used = {identifier for image in self.images for identifier in image.used}
        unused = sorted({acceptance.id for acceptance in self.settings.accepted} - used)
        if unused and self.tools.programs.of("scanner"):
            self._warnings.append(f"accepted, and not found in any of these images: {', '.join(unused)}")
        plan.apply()
        for image in self.images:
            image.record(self.tools.programs.versions)

    def _check_database(self, now: datetime.datetime) -> None:
        if "vuln" not in self.settings.scanners:
            self._warnings.append("images are NOT scanned for vulnerabilities: image_scanners does not have vuln")
            return
        age = self.tools.programs.database_age(now)
        if age is not None and age > self.settings.database_days:
            raise Failure(
                f"Trivy's vulnerabilities are {age:.0f} days old, and may be {self.settings.database_days:g}",
                "bring it a newer database (docs/images.md), or let it fetch one",
            )

    def warnings(self) -> list[str]:
        """What was left out, and what else should be known."""
        return [*self._warnings, *(said for image in self.images for said in image.warnings)]


def _files(context: str, sources: Sequence[str]) -> dict[str, str]:
    """The files that some sources of COPY stand for: path in the context to what they are."""
    root = Path(context)
    found: dict[str, str] = {}
    for source in [*sources, *_IGNORE_FILES]:
        wanted = source.strip("/") or "."
        try:
            matches = [root] if wanted in (".", "./") else list(root.glob(wanted))
        except (ValueError, IndexError) as error:
            raise Failure(f"{source} in COPY: {error}", "name files of the context") from error
        if not matches and source not in _IGNORE_FILES:
            raise Failure(
                f"{context} has no {source}, which is to be copied", "bring it there, or correct the Containerfile"
            )
        for match in matches:
            for path in sorted(match.rglob("*")) if match.is_dir() and not match.is_symlink() else [match]:
                relative = path.relative_to(root)
                if ".git" not in relative.parts:
                    found[relative.as_posix()] = _what(path)
    return found


def _what(path: Path) -> str:
    if path.is_symlink():
        return f"link {os.readlink(path)}"
    if path.is_dir():
        return "folder"
    with open(path, "rb") as file:
        kind = "program" if os.access(path, os.X_OK) else "file"
        return f"{kind} {hashlib.file_digest(file, 'sha256').hexdigest()}"
