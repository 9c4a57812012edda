# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containerfiles: what is in one, and what the platform refuses in one.

The rules are few and about what a cluster or an auditor would trip over later; style is hadolint's. Syntax:
https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ansible_collections.banking.platform.plugins.plugin_utils.record import is_secret

SCRATCH = "scratch"
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_NUMERIC_USER = re.compile(r"(\d+)(:\d+)?")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))")
_HEREDOC = re.compile(r"<<-?\s*[\"']?(\w+)[\"']?")
_FLAG = re.compile(r"--([a-z-]+)(?:=(\S*))?\s*")
_REMOTE = re.compile(r"^(?:https?|ftp|git|ssh)://|^git@|\.git(?:#.*)?$")
_MOUNT_FROM = re.compile(r"(?:^|,)from=([^,]+)")
# What a package manager leaves behind: what installs, and what must stand in the same instruction.
_LEFTOVERS = (
    (
        re.compile(r"\bapt(?:-get)? +(?:-\S+ +)*(?:install|update)\b"),
        "/var/lib/apt/lists",
        "rm -rf /var/lib/apt/lists/*",
    ),
    (re.compile(r"\bapk +(?:-\S+ +)*add\b"), "--no-cache", "apk add --no-cache"),
    (re.compile(r"\b(?:micro)?dnf +(?:-\S+ +)*install\b|\byum +(?:-\S+ +)*install\b"), "clean all", "dnf clean all"),
)


@dataclass(frozen=True)
class Problem:
    """What is refused in a Containerfile.

    Attributes:
        rule: its name, as in docs/images.md.
        line: where, counted from 1; 0 where something is missing.
        cause: what is wrong.
        next_step: what to do about it.
    """

    rule: str
    line: int
    cause: str
    next_step: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.cause} ({self.rule}) - next: {self.next_step}"


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continued lines joined, with `$variables` as they stand."""

    line: int
    name: str
    value: str
    flags: Mapping[str, str]

    def words(self) -> list[str]:
        """Its arguments: of the JSON form, or split as by a shell."""
        if self.value.startswith("["):
            try:
                return [str(word) for word in json.loads(self.value)]
            except ValueError:
                pass
        try:
            return shlex.split(self.value)
        except ValueError:
            return self.value.split()


@dataclass
class Stage:
    """A stage: what it starts from, what it is called, its instructions behind FROM."""

    line: int
    base: str
    alias: str
    instructions: list[Instruction] = field(default_factory=list)


class Containerfile:
    """A Containerfile, read.

    Args:
        text: as it is built.
        args: build arguments that are given to the builder.
    """

    def __init__(self, text: str, args: Mapping[str, str] | None = None) -> None:
        self.args = dict(args or {})
        self.stages: list[Stage] = []
        self.before: list[Instruction] = []  # ARGs before the first stage
        known: dict[str, str] = {}
        for instruction in _instructions(text):
            if instruction.name == "FROM":
                words = [_expand(word, known) for word in instruction.value.split()]
                alias = words[2] if len(words) == 3 and words[1].upper() == "AS" else ""
                self.stages.append(Stage(instruction.line, words[0] if words else "", alias.lower()))
            elif self.stages:
                self.stages[-1].instructions.append(instruction)
            else:
                self.before.append(instruction)
                if instruction.name == "ARG":
                    name, _equals, default = instruction.value.partition("=")
                    known[name] = self.args.get(name, default.strip("\"'"))

    @property
    def all(self) -> Iterator[Instruction]:
        """Every instruction but FROM."""
        yield from self.before
        for stage in self.stages:
            yield from stage.instructions

    def ancestry(self, stage: Stage) -> list[Stage]:
        """A stage and the stages of this file that it stands on, the first one first."""
        line = [stage]
        while earlier := self._earlier(line[0].base, before=self.stages.index(line[0])):
            line.insert(0, earlier)
        return line

    def external(self) -> Iterator[tuple[int, str]]:
        """Images that come from a registry: by FROM, COPY --from and RUN --mount=from, with their lines."""
        for number, stage in enumerate(self.stages):
            names = [(stage.line, stage.base)]
            for instruction in stage.instructions:
                copied = instruction.flags.get("from", "")
                mounted = _MOUNT_FROM.search(instruction.flags.get("mount", ""))
                names += [(instruction.line, name) for name in (copied, mounted[1] if mounted else "") if name]
            yield from ((line, name) for line, name in names if name != SCRATCH and not self._earlier(name, number))

    def copied(self) -> list[str]:
        """What is taken from the context, as COPY and ADD name it; `.` where that cannot be told."""
        found: list[str] = []
        for stage in self.stages:
            known = {name: value for name, value, _line in _settings(stage.instructions)} | self.args
            for instruction in stage.instructions:
                if (
                    instruction.name in ("COPY", "ADD")
                    and "from" not in instruction.flags
                    and "<<" not in instruction.value
                ):
                    sources = [_expand(word, known) for word in instruction.words()[:-1]]
                    found += ["." if "$" in source else source for source in sources if not _REMOTE.search(source)]
        return sorted(set(found))

    def _earlier(self, name: str, before: int) -> Stage | None:
        for number, stage in enumerate(self.stages[:before]):
            if name.lower() == stage.alias or name == str(number):
                return stage
        return None


def problems(text: str, args: Mapping[str, str] | None = None) -> list[Problem]:
    """What the platform refuses in a Containerfile, in the order of its lines.

    Args:
        text: as it is built.
        args: build arguments that are given to the builder.
    """
    file = Containerfile(text, args)
    if not file.stages:
        return [Problem("stages", 0, "it has no FROM", "begin a stage with FROM")]
    found = [*_bases(file), *_user(file), *_health(file), *_sources(file), *_secrets(file), *_leftovers(file)]
    return sorted(found, key=lambda problem: (problem.line, problem.rule))


def _bases(file: Containerfile) -> Iterator[Problem]:
    for line, image in file.external():
        name, _at, _digest = image.partition("@")
        tag = name.rpartition("/")[2].partition(":")[2]
        if "$" in image or not image:
            yield Problem(
                "base",
                line,
                f"which image is meant by {image!r} is not known",
                "give the ARG a default, or a value in args",
            )
        elif tag == "latest" or not (tag or _DIGEST.search(image)):
            yield Problem("latest", line, f"{image} is whatever was pushed last", "name a version and its digest")
        elif not _DIGEST.search(image):
            yield Problem(
                "digest",
                line,
                f"{image} is not named by its digest",
                "lock it (playbooks/bundle.yml -e bundle_lock=true), or add @sha256:..",
            )


def _user(file: Containerfile) -> Iterator[Problem]:
    line, user = 0, ""
    for stage in file.ancestry(file.stages[-1]):
        for instruction in stage.instructions:
            if instruction.name == "USER":
                known = {name: value for name, value, _line in _settings(stage.instructions)} | file.args
                line, user = instruction.line, _expand(instruction.value.strip(), known)
    numeric = _NUMERIC_USER.fullmatch(user)
    step = "end the last stage with a number that is not 0, such as USER 1000:1000"
    if not user:
        yield Problem("user", 0, "no USER: it would run as whom the base says, mostly root", step)
    elif not numeric:
        yield Problem(
            "user",
            line,
            f"USER {user} is a name: with runAsNonRoot, kubelet refuses an image whose user is no number",
            step,
        )
    elif int(numeric[1]) == 0:
        yield Problem("user", line, f"USER {user} is root", step)


def _health(file: Containerfile) -> Iterator[Problem]:
    checks = [
        instruction
        for stage in file.ancestry(file.stages[-1])
        for instruction in stage.instructions
        if instruction.name == "HEALTHCHECK"
    ]
    if not checks or checks[-1].value.strip().upper() == "NONE":
        yield Problem(
            "health", checks[-1].line if checks else 0, "it has no health check", "add HEALTHCHECK to the last stage"
        )


def _sources(file: Containerfile) -> Iterator[Problem]:
    for instruction in file.all:
        if instruction.name not in ("COPY", "ADD") or "<<" in instruction.value:
            continue
        *sources, target = instruction.words() or [""]
        if instruction.name == "ADD" and (remote := [source for source in sources if _REMOTE.search(source)]):
            yield Problem(
                "add-url",
                instruction.line,
                f"ADD {remote[0]} fetches what nobody has checked",
                "bring the file in the context, and COPY it",
            )
        several = len(sources) > 1 or any(re.search(r"[*?\[]", source) for source in sources)
        if several and not target.endswith(("/", ".")):
            yield Problem(
                "one-file", instruction.line, f"{' '.join(sources)} may be several files, and {target} is one",
                "name the file (Spring Boot leaves two jars: run bootJar alone), or end the target with /",
            )  # fmt: skip


def _secrets(file: Containerfile) -> Iterator[Problem]:
    step = "leave it out of the image, and mount or inject it when it runs"
    for name, value, line in _settings(file.all, labels=True):
        if is_secret(name, value) and not name.upper().endswith(("_FILE", "_PATH", "_KEYSTORE", "_NAME")):
            yield Problem("secret", line, f"{name} looks like a secret, and stays readable in the image", step)
    for name, value in file.args.items():
        if is_secret(name, value):
            yield Problem(
                "secret",
                0,
                f"the build argument {name} looks like a secret, and stays readable in the image's history",
                step,
            )


def _leftovers(file: Containerfile) -> Iterator[Problem]:
    for stage in file.ancestry(file.stages[-1]):
        for instruction in stage.instructions:
            for installs, needed, advice in _LEFTOVERS:
                if instruction.name == "RUN" and installs.search(instruction.value) and needed not in instruction.value:
                    yield Problem(
                        "leftovers",
                        instruction.line,
                        "what the package manager fetched stays in the image",
                        f"{advice} in the same RUN",
                    )


def _settings(
    instructions: Iterator[Instruction] | list[Instruction], labels: bool = False
) -> Iterator[tuple[str, str, int]]:
    """What ENV and ARG (and LABEL) set: name, value, line."""
    for instruction in instructions:
        if instruction.name not in ("ENV", "ARG", *(["LABEL"] if labels else [])):
            continue
        words = instruction.words()
        if instruction.name == "ENV" and words and "=" not in words[0]:
            yield words[0], " ".join(words[1:]), instruction.line
            continue
        for word in words:
            name, _equals, value = word.partition("=")
            # An ARG has its value from outside; a name alone is enough.
            yield name, value, instruction.line


def _instructions(text: str) -> Iterator[Instruction]:
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = [line.strip()]
        while parts[-1].endswith("\\"):
            parts[-1] = parts[-1][:-1].rstrip()
            # A comment between continued lines is none of them.
            following = next((other for _n, other in lines if not other.lstrip().startswith("#")), "")
            parts.append(following.strip())
        name, _space, value = " ".join(parts).partition(" ")
        flags: dict[str, str] = {}
        while flag := _FLAG.match(value := value.lstrip()):
            joined = [flags[flag[1]]] if flag[1] in flags else []
            flags[flag[1]] = ",".join([*joined, flag[2] or ""])
            value = value[flag.end() :]
        if name.upper() in ("RUN", "COPY", "ADD"):
            for heredoc in _HEREDOC.findall(value):
                for _number, other in lines:
                    if other.strip() == heredoc:
                        break
                    value += f"\n{other}"
        yield Instruction(number, name.upper(), value, flags)


def _expand(text: str, known: Mapping[str, str]) -> str:
    """A text with the variables that are known in their place."""
    return _VARIABLE.sub(lambda found: known.get(found[1] or found[3]) or found[2] or found[0], text)
