# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused in a Containerfile: each rule, with what it finds and what it leaves alone."""

from __future__ import annotations

import pytest

from ansible_collections.banking.platform.plugins.plugin_utils.containerfile import Containerfile, problems

DIGEST = "@sha256:" + "a" * 64
BASE = f"docker.io/library/base:1.2{DIGEST}"
GOOD = f"""\
# A comment.
ARG BASE={BASE}
FROM $BASE AS builder
RUN make \\
    # a comment between
    all
FROM docker.io/library/base:1.2{DIGEST}
COPY --from=builder /a /a
USER 1000:1000
HEALTHCHECK CMD ["/a"]
"""


def rules(text: str, **args: str) -> list[str]:
    return [problem.rule for problem in problems(text, args)]


def with_line(line: str) -> str:
    """The good one with a line in its last stage."""
    return GOOD.replace("COPY --from=builder /a /a\n", f"COPY --from=builder /a /a\n{line}\n")


def test_a_good_one_has_no_problems() -> None:
    assert problems(GOOD) == []
    assert rules('FROM scratch\nCOPY a /a\nUSER 1000\nHEALTHCHECK CMD ["/a"]\n') == []


@pytest.mark.parametrize(
    ("base", "rule"),
    [
        ("docker.io/library/base:latest", "latest"),
        (f"docker.io/library/base:latest{DIGEST}", "latest"),
        ("docker.io/library/base", "latest"),
        ("registry.example:5000/base", "latest"),
        ("docker.io/library/base:1.2", "digest"),
        ("docker.io/library/base:1.2@sha256:abc", "digest"),
        ("$UNKNOWN", "base"),
    ],
)
def test_bases(base: str, rule: str) -> None:
    assert rules(GOOD.replace(f"FROM {BASE}", f"FROM {base}")) == [rule]


def test_a_base_may_come_by_an_argument() -> None:
    assert rules(GOOD, BASE="docker.io/library/other:2") == ["digest"]
    assert rules(GOOD.replace(f"ARG BASE={BASE}", "ARG BASE")) == ["base"]
    assert rules(GOOD.replace(f"ARG BASE={BASE}", "ARG BASE"), BASE=BASE) == []


@pytest.mark.parametrize(
    "line",
    [
        "COPY --from=docker.io/library/tool:1 /t /t",
        "RUN --mount=type=bind,from=docker.io/library/tool:1,target=/t /t/run",
    ],
)
def test_other_images_are_held_to_the_same(line: str) -> None:
    assert rules(with_line(line)) == ["digest"]
    assert rules(with_line(line.replace("tool:1", f"tool:1{DIGEST}"))) == []


@pytest.mark.parametrize("user", ["root", "banking:banking", "0", "0:1000", "1000:banking", "${WHO}"])
def test_a_user_is_a_number_that_is_not_root(user: str) -> None:
    assert rules(GOOD.replace("USER 1000:1000", f"USER {user}")) == ["user"]


def test_the_last_user_counts_also_of_a_stage_below() -> None:
    assert rules(with_line("USER root")) == []
    assert rules(GOOD.replace("USER 1000:1000\n", "")) == ["user"]
    below = f'FROM {BASE} AS below\nUSER 1000\nHEALTHCHECK CMD ["/a"]\nFROM below\n'
    assert rules(below) == []
    assert rules(f'FROM {BASE} AS other\nUSER 1000\nHEALTHCHECK CMD ["/a"]\nFROM {BASE}\n') == ["health", "user"]
    assert rules(GOOD.replace("USER 1000:1000", "ENV WHO=1000\nUSER $WHO")) == []


def test_a_health_check() -> None:
    assert rules(GOOD.replace('HEALTHCHECK CMD ["/a"]\n', "")) == ["health"]
    assert rules(GOOD + "HEALTHCHECK NONE\n") == ["health"]


@pytest.mark.parametrize(
    "source", ["https://example.org/a.tgz", "git@github.com:a/b.git", "https://github.com/a/b.git#v1"]
)
def test_nothing_is_added_from_elsewhere(source: str) -> None:
    assert rules(with_line(f"ADD {source} /a")) == ["add-url"]
    assert rules(with_line("ADD a.tgz /a/")) == []


@pytest.mark.parametrize(
    "line",
    [
        "ENV DB_PASSWORD=hunter2",
        "ENV API_TOKEN hunter2",
        "ARG NPM_TOKEN",
        "ENV DATABASE=postgresql://app:hunter2@db/app",
        'LABEL note="-----BEGIN RSA PRIVATE KEY-----"',
    ],
)
def test_secrets(line: str) -> None:
    assert rules(with_line(line)) == ["secret"]


def test_what_is_no_secret() -> None:
    assert rules(with_line("ENV DB_PASSWORD_FILE=/run/secrets/db JAVA_TOOL_OPTIONS=-Xmx1g")) == []
    assert rules(GOOD, NEXUS_PASSWORD="hunter2") == ["secret"]
    assert "hunter2" not in str(problems(with_line("ENV DB_PASSWORD=hunter2"))[0])


@pytest.mark.parametrize(
    ("line", "mended"),
    [
        (
            "RUN apt-get update && apt-get install -y curl",
            "RUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*",
        ),
        ("RUN apk add curl", "RUN apk add --no-cache curl"),
        ("RUN microdnf -y install curl", "RUN microdnf -y install curl && microdnf clean all"),
    ],
)
def test_leftovers_of_package_managers(line: str, mended: str) -> None:
    assert rules(with_line(line)) == ["leftovers"]
    assert rules(with_line(mended)) == []
    assert rules(GOOD.replace("RUN make", f"{line}\nRUN make")) == []  # what is left in a builder is left behind


@pytest.mark.parametrize("line", ["COPY --from=builder /build/libs/*.jar app.jar", "COPY a b app.jar"])
def test_several_files_are_not_one(line: str) -> None:
    assert rules(with_line(line)) == ["one-file"]
    assert rules(with_line(line.replace("app.jar", "/app/"))) == []


def test_a_problem_names_its_line_and_what_to_do() -> None:
    (problem,) = problems(with_line("ENV DB_PASSWORD=hunter2"))
    assert problem.line == 9
    assert str(problem) == (
        "line 9: DB_PASSWORD looks like a secret, and stays readable in the image (secret) - next: leave it out of the "
        "image, and mount or inject it when it runs"
    )
    assert rules("RUN a\n") == ["stages"]


def test_what_is_copied_from_the_context() -> None:
    text = """\
FROM scratch AS one
ARG JAR=app.jar
COPY ${JAR} src/ /a/
COPY --from=other /x /y
COPY ["with space", "/b"]
ADD https://example.org/c /c
COPY <<EOF /d
COPY never /e
EOF
COPY $UNKNOWN /f
"""
    assert Containerfile(text).copied() == [".", "app.jar", "src/", "with space"]
    assert Containerfile(text, {"JAR": "other.jar", "UNKNOWN": "u"}).copied() == [
        "other.jar",
        "src/",
        "u",
        "with space",
    ]
