# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup `banking.platform.template`, beside Ansible's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template
from ansible.utils.collection_loader import AnsibleCollectionConfig

OURS, ANSIBLES = "banking.platform.template", "ansible.builtin.template"


class Uncopied:
    """A value that says when it is copied."""

    def __deepcopy__(self, _known: dict[int, Any]) -> Uncopied:
        raise AssertionError("copied")


def look_up(lookup: str, role: Path, arguments: str, **variables: Any) -> Any:
    if AnsibleCollectionConfig.collection_finder is None:
        init_plugin_loader()
    given = {"ansible_search_path": [str(role)], **variables}
    templar = Templar(DataLoader(), variables=given)
    return templar.template(trust_as_template("{{ lookup('" + lookup + "', " + arguments + ") }}"))


@pytest.fixture
def role(tmp_path: Path) -> Path:
    (tmp_path / "templates" / "parts").mkdir(parents=True)
    (tmp_path / "meta").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        "plain\n\n",
        "{% for zone in zones %}\n- {{ zone }}: {{ greeting }}\n{% endfor %}\nlast",
        "{% include 'parts/inner.j2' %}|{% include 'beside.j2' %}",
        "path: C:\\new\\table {{ '\\n' }}",
        "{{ zones }}",
        "a: {{ extra | default('none') }}\n  {% if zones %}\n  b\n  {% endif %}\n",
    ],
)
def test_renders_what_ansibles_own_renders(role: Path, text: str) -> None:
    (role / "templates" / "x.j2").write_text(text)
    (role / "templates" / "parts" / "inner.j2").write_text("in {{ greeting }}\n")
    (role / "templates" / "beside.j2").write_text("beside {{ zones | length }}")
    variables = {"zones": ["a", "b"], "greeting": trust_as_template("hello {{ zones | first }}")}
    for arguments in ("'x.j2'", "'x.j2', template_vars={'extra': 'more', 'zones': ['c']}"):
        ours, ansibles = (look_up(name, role, arguments, **variables) for name in (OURS, ANSIBLES))
        assert ours == ansibles


def test_file_with_its_whole_path(role: Path) -> None:
    (role / "meta" / "platform.yml").write_text("wave: {{ wave }}\n")
    assert look_up(OURS, role, f"'{role}/meta/platform.yml'", wave=3) == "wave: 3\n"


def test_variables_are_not_copied(role: Path) -> None:
    (role / "templates" / "x.j2").write_text("{{ greeting }}")
    variables = {"greeting": "hello", "large": Uncopied()}
    assert look_up(OURS, role, "'x.j2'", **variables) == "hello"
    with pytest.raises(AnsibleError):
        look_up(ANSIBLES, role, "'x.j2'", **variables)


def test_variables_of_one_file_stay_there(role: Path) -> None:
    (role / "templates" / "x.j2").write_text("{{ extra | default('none') }}")
    arguments = "'x.j2', template_vars={'extra': 'more'}) ~ lookup('" + OURS + "', 'x.j2'"
    assert look_up(OURS, role, arguments) == "morenone"


def test_missing_file_and_missing_variable_are_named(role: Path) -> None:
    (role / "templates" / "x.j2").write_text("{{ nowhere }}")
    with pytest.raises(AnsibleError, match=r"the template y\.j2 is not there - next: put it below templates"):
        look_up(OURS, role, "'y.j2'")
    with pytest.raises(AnsibleError, match="'nowhere' is undefined"):
        look_up(OURS, role, "'x.j2'")
