# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendering a role's tree on the controller: what becomes of each file, and which of them hold a secret."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import EncryptedString, VaultLib, VaultSecret, VaultSecretsContext
from ansible.template import Templar, trust_as_template

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils.rendering import Renderer

from .conftest import in_child

PASSWORD = [("default", VaultSecret(b"the vault's password"))]
SECRET = "s3cr3t-vallue"


@pytest.fixture(autouse=True)
def _vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = VaultSecretsContext._current
    VaultSecretsContext._current = None
    VaultSecretsContext.initialize(VaultSecretsContext(secrets=PASSWORD))
    yield
    VaultSecretsContext._current = before


def encrypted(text: str) -> str:
    return VaultLib(PASSWORD).encrypt(text).decode()


def vaulted(text: str) -> EncryptedString:
    """A variable as `ansible-vault encrypt_string` writes it into an inventory."""
    return EncryptedString(ciphertext=encrypted(text))


class Tree:
    """A role's templates on the controller."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.root.mkdir()

    def put(self, path: str, content: str | bytes) -> str:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(target)

    def renderer(self, **variables: Any) -> Renderer:
        loader = DataLoader()
        loader.set_vault_secrets(PASSWORD)
        trusted = {
            key: trust_as_template(value) if isinstance(value, str) else value for key, value in variables.items()
        }
        return Renderer(Templar(loader=loader, variables=trusted), loader, trusted, [str(self.folder)])

    def render(self, template: str, extra: dict[str, Any] | None = None, **variables: Any) -> str:
        return self.renderer(**variables).content(self.put("x.j2", template), extra).decode()

    def fail(self, template: str | bytes, **variables: Any) -> Failure:
        source = self.put("x.j2", template)
        with pytest.raises(Failure) as caught:
            self.renderer(**variables).content(source)
        assert source in caught.value.cause
        assert caught.value.next_step
        return caught.value


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


class TestTheTree:
    def test_lists_every_file_once_with_its_path_on_the_node(self, tree: Tree) -> None:
        for path in ("root/etc/b.j2", "root/etc/a", "root/etc/deep/ü.conf.j2", "root/usr/bin/tool"):
            tree.put(path, "x")
        assert [path for path, _source in tree.renderer().tree(str(tree.root))] == [
            "/etc/a", "/etc/b", "/etc/deep/ü.conf", "/usr/bin/tool",
        ]  # fmt: skip

    def test_with_a_file_and_a_template_of_it_is_an_error(self, tree: Tree) -> None:
        tree.put("root/etc/a", "x")
        tree.put("root/etc/a.j2", "x")
        with pytest.raises(Failure, match=r"etc/a is there with and without \.j2"):
            list(tree.renderer().tree(str(tree.root)))

    def test_may_hold_links_to_folders(self, tree: Tree) -> None:
        tree.put("shared/a", "x")
        os.symlink(tree.folder / "shared", tree.root / "etc")
        assert [path for path, _source in tree.renderer().tree(str(tree.root))] == ["/etc/a"]


class TestContent:
    def test_of_a_template_is_rendered_with_the_hosts_variables(self, tree: Tree) -> None:
        assert tree.render("a={{ a }}\n", a="1") == "a=1\n"

    def test_of_anything_else_is_copied_byte_by_byte(self, tree: Tree) -> None:
        raw = bytes(range(256)) + b"{{ not_rendered }}\r\n"
        assert tree.renderer().content(tree.put("x", raw)) == raw

    @pytest.mark.parametrize("end", ["", "\n", "\n\n"])
    def test_ends_as_the_template_ends(self, tree: Tree, end: str) -> None:
        assert tree.render("x" + end) == "x" + end

    def test_has_no_line_left_of_a_block(self, tree: Tree) -> None:
        assert tree.render("{% for n in l %}\n{{ n }}\n{% endfor %}\n", l=[1, 2]) == "1\n2\n"

    def test_is_text_even_when_it_looks_like_something_else(self, tree: Tree) -> None:
        assert tree.render("{{ n }}", n=7) == "7"
        assert tree.render("[1, 2]") == "[1, 2]"
        assert tree.render("{{ l }}", l=[1]) == "[1]"
        assert tree.render("") == ""
        assert tree.render("{{ none }}", none=None) in ("", "None")

    def test_keeps_backslashes(self, tree: Tree) -> None:
        assert tree.render(r"a\tb {{ 'c\\d' }}") == r"a\tb c\d"

    def test_is_unicode(self, tree: Tree) -> None:
        assert tree.render("{{ n }}: Straße 東京 🏦\n", n="ü") == "ü: Straße 東京 🏦\n"

    def test_may_be_large(self, tree: Tree) -> None:
        assert len(tree.render("{{ line * 100000 }}", line="0123456789\n")) == 1_100_000

    def test_knows_who_manages_it(self, tree: Tree) -> None:
        assert "Ansible (banking.platform)" in tree.render("# {{ ansible_managed }}\n")

    def test_includes_templates_beside_it(self, tree: Tree) -> None:
        tree.put("macros.j2", "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}")
        assert tree.render("{% from 'macros.j2' import twice %}{{ twice(a) }}", a="1") == "11"

    def test_takes_variables_of_its_own_over_the_hosts(self, tree: Tree) -> None:
        assert tree.render("{{ a }}{{ b }}", extra={"a": "2"}, a="1", b="1") == "21"

    def test_does_not_render_what_a_value_holds_unless_it_is_trusted(self, tree: Tree) -> None:
        renderer = Renderer(
            Templar(loader=DataLoader(), variables={"a": "{{ 7 * 6 }}"}), DataLoader(), {"a": "{{ 7 * 6 }}"}, []
        )
        assert renderer.content(tree.put("x.j2", "{{ a }}")) == b"{{ 7 * 6 }}"


class TestBadTemplates:
    def test_with_an_undefined_variable_name_it(self, tree: Tree) -> None:
        failure = tree.fail("a={{ haproxy_prot }}\n")
        assert "'haproxy_prot' is undefined" in failure.cause
        assert failure.next_step == "define it for this host"

    def test_with_an_undefined_variable_deep_inside_name_it(self, tree: Tree) -> None:
        failure = tree.fail("{% for n in nodes %}{{ n.addres }}{% endfor %}", nodes=[{"address": "1"}])
        assert "addres" in failure.cause

    @pytest.mark.parametrize(
        "text", ["{{ a ", "{% if %}", "{% endfor %}", "{{ a | no_such_filter }}", "{% include 'none' %}"]
    )
    def test_with_a_mistake_say_so(self, tree: Tree, text: str) -> None:
        assert "cannot be rendered" in tree.fail(text, a="1").cause

    def test_in_another_encoding_say_so(self, tree: Tree) -> None:
        assert "is not UTF-8" in tree.fail("Straße".encode("latin-1")).cause

    @pytest.mark.parametrize("name", ["x", "x.j2"])
    def test_that_are_not_there_say_so(self, tree: Tree, name: str) -> None:
        source = tree.folder / name
        source.symlink_to("/nonexistent/x")
        with pytest.raises(Failure) as caught:
            tree.renderer().content(str(source))
        assert str(source) in caught.value.cause

    @pytest.mark.skipif(
        os.geteuid() != 0, reason="only root can become somebody who may not read: run the tests as root"
    )
    @pytest.mark.parametrize("name", ["x", "x.j2"])
    def test_that_may_not_be_read_say_so(self, tree: Tree, name: str) -> None:
        source = tree.put(name, "x")
        os.chmod(source, 0)

        def as_nobody() -> str:
            renderer = tree.renderer()
            os.setgroups([])
            os.setuid(65534)
            try:
                renderer.content(source)
            except Failure as failure:
                return failure.cause
            return "it was read"

        for folder in [*list(tree.folder.parents)[:3], tree.folder]:
            if folder.stat().st_uid == 0 and folder != Path("/"):
                folder.chmod(folder.stat().st_mode | 0o055)
        said = in_child(as_nobody)
        assert source in said
        assert "ermission" in said or "not readable" in said or "cannot be read" in said


class TestSecrets:
    @staticmethod
    def secret(tree: Tree, template: str, extra: dict[str, Any] | None = None, **variables: Any) -> bool:
        renderer = tree.renderer(**variables)
        source = tree.put("x.j2", template)
        return renderer.is_secret(renderer.content(source, extra), source, extra)

    def test_a_vaulted_variable_makes_the_file_secret(self, tree: Tree) -> None:
        assert tree.render("password={{ p }}\n", p=vaulted(SECRET)) == f"password={SECRET}\n"
        assert self.secret(tree, "password={{ p }}\n", p=vaulted(SECRET))

    def test_a_vaulted_variable_that_is_not_in_it_does_not(self, tree: Tree) -> None:
        assert not self.secret(tree, "a={{ a }}\n", a="1", p=vaulted(SECRET))

    def test_a_vaulted_variable_behind_another_variable_does(self, tree: Tree) -> None:
        assert self.secret(tree, "{{ url }}\n", url="https://u:{{ p }}@host", p=vaulted(SECRET))

    def test_a_vaulted_variable_in_a_list_of_mappings_does(self, tree: Tree) -> None:
        users = [{"name": "a", "password": vaulted(SECRET)}]
        assert self.secret(tree, "{% for u in users %}{{ u.name }}:{{ u.password }}{% endfor %}", users=users)

    def test_a_vaulted_variable_with_a_line_end_that_the_template_trims_does(self, tree: Tree) -> None:
        assert self.secret(tree, "p={{ p | trim }};\n", p=vaulted(SECRET + "\n"))

    def test_a_vaulted_variable_of_this_file_only_does(self, tree: Tree) -> None:
        assert self.secret(tree, "{{ p }}", extra={"p": vaulted(SECRET)})

    def test_a_vaulted_variable_that_was_decrypted_on_its_way_does(self, tree: Tree) -> None:
        loader = DataLoader()
        decrypted = Templar(loader=loader, variables={"p": vaulted(SECRET)}).template(trust_as_template("{{ p }}"))
        assert self.secret(tree, "{{ q }}", extra={"q": decrypted})

    def test_a_vaulted_variable_of_few_letters_does_not(self, tree: Tree) -> None:
        assert not self.secret(tree, "on the node", p=vaulted("on"))

    def test_a_vaulted_source_is_decrypted_and_secret(self, tree: Tree) -> None:
        source = tree.put("key.pem", encrypted("private key"))
        renderer = tree.renderer()
        assert renderer.content(source) == b"private key"
        assert renderer.is_secret(b"private key", source)

    def test_a_vaulted_template_is_decrypted_rendered_and_secret(self, tree: Tree) -> None:
        source = tree.put("x.conf.j2", encrypted("a={{ a }}\n"))
        renderer = tree.renderer(a="1")
        assert renderer.content(source) == b"a=1\n"
        assert renderer.is_secret(b"a=1\n", source)

    def test_a_literal_that_holds_a_vaulted_value_is_secret(self, tree: Tree) -> None:
        renderer = tree.renderer(p=vaulted(SECRET))
        assert renderer.is_secret(SECRET.encode())
        assert not renderer.is_secret(b"nothing")

    def test_variables_of_a_vaulted_file_are_secret(self, tree: Tree) -> None:
        path = tree.put("vault.yml", encrypted(f"p: {SECRET}\nplain: other-secret\n"))
        loader = DataLoader()
        loader.set_vault_secrets(PASSWORD)
        variables = loader.load_from_file(path, trusted_as_template=True)
        assert self.secret(tree, "{{ p }}", **variables)

    def test_a_source_that_cannot_be_decrypted_is_an_error_without_its_content(self, tree: Tree) -> None:
        source = tree.put("key.pem", encrypted("private key"))
        with pytest.raises(Failure) as caught:
            Renderer(Templar(loader=DataLoader(), variables={}), DataLoader(), {}, []).content(source)
        assert source in caught.value.cause
        assert "ANSIBLE_VAULT" not in caught.value.cause
