# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every file of the repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ansible_collections.banking.platform.tools.run_tests import git_files
from ansible_collections.banking.platform.tools.suites import CLONE

# What must not be in a file, and why. Written so that they do not find themselves.
FORBIDDEN = {
    "a path of the machine it was written on": r"(?:^|[^\w.-])/(?:work|workspace|builds|Users/\w+)/",
    "a package registry's host (pip, apt and npm know theirs)": (
        # A file of Debian's pool may be an artifact of the catalog: the host as a source of packages is what is meant.
        r"(?:deb|security)\.debian\.org(?!/debian/pool/main/)|(?:^|[^.\w])pypi\.org/simple|files\.pythonhosted|registry\.npmjs|archive\.ubuntu\.com"
    ),
    "a note to oneself": r"\b(?:TO[D]O|FIX[M]E|XX[X])\b",
    "a placeholder": r"\bNotImplemented[E]rror\b",
    "a test that cannot fail": r"\bassert (?:True|1)\b(?! ==)",
    "an error that is ignored": r"^ +(?:- )?ignore_errors: *(?:true|yes)",
    "an unconditional skip": r"pytest\.skip\(\)",
}
FILES = [path for path in git_files() if path.suffix not in (".lock", ".png", ".gz") and path.name != "LICENSE"]
EVERY_ROLE = sorted(path for path in CLONE.glob("roles/*") if path.is_dir())
# A role without tasks is a declaration only (docs/declarations.md): there is nothing to run, and so no scenario.
ROLES = [role for role in EVERY_ROLE if (role / "tasks" / "main.yml").exists()]
DECLARATIONS = [role for role in EVERY_ROLE if role not in ROLES]
# What proves a role that has no Molecule scenario.
PROVEN_ELSEWHERE = {
    "snapshot_copies": "molecule/etcd, whose snapshots are copied",
    "image": "tests/integration/registry/test_images.py, with real programs and a real registry",
    "lab": "make lab and every scenario stand on it",
    "kubernetes": "tests/e2e/test_cluster.py, with a bundle",
}


def findings(text: str, suffix: str = "") -> list[str]:
    """Name what is in a file and must not be, with the lines' numbers."""
    # Tests of how errors are shown have playbooks that ignore them.
    patterns = {what: pattern for what, pattern in FORBIDDEN.items() if suffix != ".py" or "ignored" not in what}
    return [
        f"line {number}: {what}: {line.strip()[:100]}"
        for number, line in enumerate(text.splitlines(), 1)
        for what, pattern in patterns.items()
        if re.search(pattern, line)
    ]


def test_no_file_holds_what_must_not_be_there() -> None:
    found = {}
    for path in FILES:
        try:
            text = (CLONE / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        lines = findings(text, path.suffix) if path.name != Path(__file__).name else []
        if f"{CLONE}/" in text:
            lines.append(f"the path of this clone: {CLONE}")
        if lines:
            found[str(path)] = lines
    assert not found


@pytest.mark.parametrize(
    "line",
    [
        "path: /" + "work/main",
        "see /Users" + "/alice/x",
        "deb http://deb" + ".debian.org/debian",
        "# TO" + "DO: later",
        "    raise NotImplemented" + "Error",
        "    assert " + "True",
        "  ignore_errors: " + "true",
        "    pytest.skip" + "()",
    ],
)
def test_findings_finds(line: str) -> None:
    assert findings(line)


POOL = "https://deb" + ".debian.org/debian/pool/main/s/x/x_{version}_all.deb"


@pytest.mark.parametrize("line", ["/home/{{ user }}/.ssh", "/var/lib/work/x", "assert True == value", "unto dos", POOL])
def test_findings_leaves_alone(line: str) -> None:
    assert not findings(line)


def test_no_task_hides_its_whole_result() -> None:
    """A cause would be hidden with it. What is secret is masked by the module, or looked up where it is used."""
    tasks = [path for path in FILES if path.suffix == ".yml" and path.parts[0] in ("roles", "playbooks")]
    found = {
        f"{path}:{number}"
        for path in tasks
        if "meta" not in path.parts
        for number, line in enumerate((CLONE / path).read_text().splitlines(), 1)
        if re.match(r" *(?:- )?no_log:", line)
    }
    assert not found


def test_every_python_file_of_the_collection_names_its_licence() -> None:
    parts = ("plugins", "tools", "tests")
    python = [
        path for path in FILES if path.suffix == ".py" and path.parts[0] in parts and (CLONE / path).stat().st_size
    ]
    assert python
    assert not [str(path) for path in python if "SPDX-License-Identifier: GPL-3.0-or-later" not in _head(path)]


def _head(path: Path) -> str:
    with open(CLONE / path, encoding="utf-8") as file:
        return file.read(600)


@pytest.mark.parametrize("role", EVERY_ROLE, ids=lambda role: role.name)
def test_role_is_typed_and_documented(role: Path) -> None:
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]
    assert specs["short_description"]
    defaults = role / "defaults" / "main.yml"
    public = (
        {name for name in yaml.safe_load(defaults.read_text()) or {} if not name.startswith("__")}
        if defaults.exists()
        else set()
    )
    assert public <= set(specs["options"]), "defaults that argument_specs.yml does not know"
    assert not [name for name in public if not name.startswith(role.name)], (
        "public variables begin with the role's name"
    )


@pytest.mark.parametrize("role", EVERY_ROLE, ids=lambda role: role.name)
def test_what_preflight_reads_of_a_role_asks_no_server(role: Path) -> None:
    """A task has such a lookup in variables of its own. A server that is not there yet would hold preflight up."""
    read = [role / "defaults" / "main.yml", role / "vars" / "main.yml", role / "meta" / "platform.yml"]
    asking = re.compile(r"(?:lookup|query|q)\(\s*'(?:kubernetes\.core|ansible\.builtin\.url|community\.)")
    assert not [path for path in read if path.exists() and asking.search(path.read_text())]


@pytest.mark.parametrize("role", DECLARATIONS, ids=lambda role: role.name)
def test_a_declaration_is_whole_and_nothing_else(role: Path) -> None:
    files = {path.relative_to(role).as_posix() for path in role.rglob("*") if path.is_file()}
    assert files == {"defaults/main.yml", "meta/argument_specs.yml", "meta/platform.yml"}


@pytest.mark.parametrize(
    "role", [role for role in ROLES if role.name not in PROVEN_ELSEWHERE], ids=lambda role: role.name
)
def test_role_has_a_scenario(role: Path) -> None:
    assert (CLONE / "molecule" / role.name / "molecule.yml").exists()


MARKDOWN = [path for path in FILES if path.suffix == ".md"]


@pytest.mark.parametrize("page", MARKDOWN, ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (CLONE / page).read_text(encoding="utf-8"))
    assert not [link for link in links if not (CLONE / page.parent / link).exists()]


def test_every_variable_that_tests_read_is_explained() -> None:
    read = re.compile(r'environ(?:\.get\(|\[)"((?:PLATFORM|KUBEBUILDER)_\w+)"')
    found = {
        name
        for path in FILES
        if path.suffix == ".py" and path.parts[0] in ("tools", "tests")
        for name in read.findall((CLONE / path).read_text())
    }
    page = (CLONE / "CONTRIBUTING.md").read_text()
    assert found
    assert not {name for name in found if f"| `{name}` |" not in page}


def test_the_index_names_every_page() -> None:
    index = (CLONE / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [path.relative_to("docs") for path in MARKDOWN if path.parts[0] == "docs" and path.name != "README.md"]
    assert not [str(page) for page in pages if f"]({page})" not in index]
