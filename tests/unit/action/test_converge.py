# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's half of converge: what a node is sent, what is refused, and that no secret is shown."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret

from .conftest import Controller, Play, results

SECRET = "s3cr3t-Vaulted-Pässword"
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="a node is converged by root: run the tests as root")


class TestTheTree:
    def test_is_rendered_where_it_ends_in_j2_and_copied_elsewhere(self, controller: Controller) -> None:
        controller.variables = {"port": 8443}
        controller.tree("etc/x.conf.j2", "port={{ port }}\n")
        controller.tree("etc/as-it-is", b"\x00{{ port }}\xff")
        assert controller.files() == {"/etc/x.conf": b"port=8443\n", "/etc/as-it-is": b"\x00{{ port }}\xff"}

    def test_keeps_what_is_executable_executable(self, controller: Controller) -> None:
        controller.tree("usr/bin/tool", mode=0o755)
        controller.tree("usr/bin/other.j2", mode=0o755)
        controller.tree("usr/bin/plain")
        controller.run(files={"/usr/bin/other": {"mode": "0700"}})
        assert controller.sent[0]["files"] == {"/usr/bin/tool": {"mode": "0755"}, "/usr/bin/other": {"mode": "0700"}}

    def test_of_the_inventory_wins_path_by_path(self, controller: Controller) -> None:
        controller.tree("etc/a", "role")
        controller.tree("etc/b.j2", "role")
        controller.put("inventory/overlay/demo/etc/b", "inventory")
        controller.put("inventory/overlay/demo/etc/c.j2", "only {{ where }}")
        controller.put("inventory/overlay/other/etc/a", "of another role")
        controller.variables = {"where": "there"}
        assert controller.files() == {"/etc/a": b"role", "/etc/b": b"inventory", "/etc/c": b"only there"}

    def test_named_later_wins_and_the_inventory_over_all(self, controller: Controller) -> None:
        one, two = (controller.put(f"{name}/etc/{name}").parent.parent for name in ("one", "two"))
        for name in ("one", "two"):
            controller.put(f"{name}/etc/both", name)
            controller.put(f"{name}/etc/all", name)
        controller.put("inventory/overlay/demo/etc/all", "inventory")
        tree = controller.files(root=[str(one), str(two)])
        assert (tree["/etc/both"], tree["/etc/all"]) == (b"two", b"inventory")
        assert set(tree) == {"/etc/one", "/etc/two", "/etc/both", "/etc/all"}

    def test_of_none_leaves_the_named_files_as_the_inventory_has_them(self, controller: Controller) -> None:
        for name in "abc":
            controller.tree(f"etc/{name}", "role")
        controller.put("inventory/overlay/demo/etc/b", "inventory")
        controller.put("inventory/overlay/demo/etc/c", "inventory")
        files = {f"/etc/{name}": {"template": f"root/etc/{name}", "mode": "0600"} for name in "ab"}
        assert controller.files(root=[], files=files) == {"/etc/a": b"role", "/etc/b": b"inventory"}
        assert controller.sent[-1]["files"] == {"/etc/a": {"mode": "0600"}, "/etc/b": {"mode": "0600"}}

    def test_that_is_named_and_not_there_is_an_error(self, controller: Controller) -> None:
        assert "root: there is no folder /no/such - next: correct its path" in controller.fail(root=["/no/such"])

    def test_is_left_out_where_a_path_is_absent(self, controller: Controller) -> None:
        controller.tree("etc/gone.j2", "{{ undefined_and_not_rendered }}")
        controller.tree("etc/d/below.j2", "{{ undefined_and_not_rendered }}")
        controller.tree("etc/d-stays")
        tree = controller.files(
            absent=["/etc/gone", "/etc/d"], files={"/etc/gone": {"mode": "0600"}, "/etc/d/below": {}}
        )
        assert tree == {"/etc/d-stays": b"x\n"}
        assert controller.sent[0]["files"] == {}

    def test_may_be_missing(self, controller: Controller) -> None:
        assert controller.files(sysctl={"kernel.panic": 10}) == {}
        assert controller.sent[0]["sysctl"] == {"kernel.panic": "10"}

    def test_takes_unicode_and_a_megabyte(self, controller: Controller) -> None:
        controller.tree("etc/spähtrupp/鍵.j2", "{{ '🏦' * 10 }}")
        controller.tree("var/big", b"0123456789abcdef" * 65536)
        tree = controller.files()
        assert tree["/etc/spähtrupp/鍵"] == "🏦".encode() * 10
        assert len(tree["/var/big"]) == 1 << 20


class TestFiles:
    def test_may_be_of_one_template_with_variables_of_their_own(self, controller: Controller) -> None:
        controller.put("roles/demo/templates/hosts.toml.j2", "server={{ registry }} {{ shared }}\n")
        controller.variables = {"shared": "s", "registry": "nobody"}
        files = {
            f"/etc/certs.d/{name}/hosts.toml": {"template": "hosts.toml.j2", "vars": {"registry": name}}
            for name in "ab"
        }
        assert controller.files(files=files) == {
            "/etc/certs.d/a/hosts.toml": b"server=a s\n",
            "/etc/certs.d/b/hosts.toml": b"server=b s\n",
        }
        assert controller.sent[0]["files"] == {path: {} for path in files}

    def test_may_be_literal_and_win_over_the_tree(self, controller: Controller) -> None:
        controller.tree("etc/k", "tree")
        assert controller.files(files={"/etc/k": {"content": "literal ü {{ no }}", "mode": "0600"}}) == {
            "/etc/k": "literal ü {{ no }}".encode()
        }
        assert controller.sent[0]["files"] == {"/etc/k": {"mode": "0600"}}

    def test_that_are_nowhere_keep_only_owner_and_mode(self, controller: Controller) -> None:
        assert controller.files(files={"/etc/shadow": {"mode": "0640"}}) == {}
        assert controller.sent[0]["files"] == {"/etc/shadow": {"mode": "0640"}}

    @pytest.mark.parametrize("options", [{"validate": "true %s"}, {"sensitive": True}])
    def test_with_settings_that_need_content_and_are_nowhere_are_an_error(
        self, controller: Controller, options: dict[str, Any]
    ) -> None:
        controller.tree("etc/haproxy.cfg")
        said = controller.fail(files={"/etc/haproxi.cfg": options})
        assert said == (
            "demo on worker-b2: files[/etc/haproxi.cfg]: there is no such file in the tree"
            " - next: did you mean '/etc/haproxy.cfg'?"
        )

    def test_of_a_template_that_is_not_there_are_an_error(self, controller: Controller) -> None:
        said = controller.fail(files={"/etc/x": {"template": "none.j2"}})
        assert "file /etc/x: " in said
        assert "none.j2" in said


class TestBadInput:
    def test_names_the_role_the_host_the_file_the_variable_and_the_fix(self, controller: Controller) -> None:
        source = controller.tree("etc/x.conf.j2", "{{ demo_prot }}")
        assert controller.fail() == (
            f"demo on worker-b2: file /etc/x.conf: template {source} cannot be rendered: 'demo_prot' is undefined"
            " - next: define it for this host"
        )

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ({"files": {"etc/x": {}}}, "files: 'etc/x' is not an absolute path - next: write it as '/etc/x'"),
            (
                {"units": {"haproxy": {}}},
                "units[haproxy]: not the full name of a unit - next: write it with its suffix",
            ),
            ({"sysctls": {}}, "sysctls"),
            ({"files": []}, "files"),
        ],
    )
    def test_is_refused_before_the_node_hears_of_it(
        self, controller: Controller, arguments: dict[str, Any], said: str
    ) -> None:
        assert said in controller.fail(**arguments)

    def test_without_a_name_outside_a_role_is_refused(self, controller: Controller) -> None:
        assert "outside a role, a name is needed" in controller.fail(in_role=False)

    def test_of_a_node_comes_with_role_and_host_too(self, controller: Controller) -> None:
        controller.answers = [{"failed": True, "plan": [], "msg": "unit x.service is masked", "next_step": "say so"}]
        assert controller.run()["msg"] == "demo on worker-b2: unit x.service is masked - next: say so"

    def test_of_a_crash_is_left_as_it_is(self, controller: Controller) -> None:
        crash = {"failed": True, "module_stdout": "", "msg": "MODULE FAILURE"}
        controller.answers = [crash]
        assert controller.run()["msg"] == "MODULE FAILURE"


class TestWhatANodeCannotDo:
    def test_comes_from_the_inventory(self, controller: Controller) -> None:
        controller.variables = {
            "platform_unavailable": {"modules": ["{{ bridge }}"], "features": ["dm_crypt"]},
            "bridge": "br",
        }
        controller.run(modules=["br"])
        assert controller.sent[0]["unavailable"] == {"modules": ["br"], "sysctl": [], "features": ["dm_crypt"]}

    def test_may_be_given_to_the_task(self, controller: Controller) -> None:
        controller.variables = {"platform_unavailable": {"modules": ["br"]}}
        controller.run(unavailable={"sysctl": ["a"]})
        assert controller.sent[0]["unavailable"] == {"modules": [], "sysctl": ["a"], "features": []}


class TestArtifacts:
    @pytest.fixture
    def catalog(self, controller: Controller) -> Controller:
        controller.variables = {"platform_release": "2024.1", "ansible_facts": {"architecture": "x86_64"}}
        return controller

    def test_are_completed_from_the_catalog(self, catalog: Controller) -> None:
        catalog.run(artifacts={"containerd": {"links": {"/usr/local/bin/containerd": "bin/containerd"}}})
        sent = catalog.sent[0]["artifacts"]["containerd"]
        assert sent["links"] == {"/usr/local/bin/containerd": "bin/containerd"}
        assert len(sent["sha256"]) == 64
        assert sent["urls"][0].startswith("https://")
        assert (sent["bundled"], sent["unpack"]) == (False, "tar.gz")

    def test_that_the_catalog_does_not_have_are_an_error_with_the_nearest(self, catalog: Controller) -> None:
        assert "'containerd'" in catalog.fail(artifacts={"contianerd": {}})

    def test_of_a_bundle_are_brought_when_the_node_lacks_them(self, catalog: Controller) -> None:
        catalog.variables.update(artifacts_source="bundle", artifacts_bundle=str(catalog.folder / "bundle"))
        release = catalog.variables["platform_release"]
        catalog.put("bundle/bundle.json", json.dumps({"schema": 1, "release": release, "files": {}}))
        catalog.run(artifacts={"runc": {}})
        assert catalog.sent[0]["artifacts"]["runc"]["bundled"] is True
        assert catalog.brought == []
        missing = {"changed": False, "missing_artifacts": ["runc"]}
        catalog.sent.clear()
        catalog.answers = [missing, {"changed": True, "plan": []}]
        result = catalog.run(artifacts={"runc": {}})
        assert "the bundle has no" in result["msg"]
        local = result["msg"].split("the bundle has no ")[1].split(" - next")[0]
        catalog.put(str(Path(local).relative_to(catalog.folder)))
        catalog.sent.clear()
        result = catalog.run(artifacts={"runc": {}})
        assert result["changed"] is True
        assert "missing_artifacts" not in result
        assert catalog.brought == [local]
        assert catalog.sent[1]["artifacts"]["runc"]["file"] == "/tmp/of-the-node/runc"

    @pytest.mark.parametrize(
        ("index", "message"),
        [
            (None, "has no bundle.json: it is no bundle"),
            ('{"schema": 1, "release": "1999.1", "files": {}}', "is a bundle of another release, 1999.1 in place of"),
            ('{"schema": 1, "release": "2024', "a damaged index"),
            ('{"schema": 7, "release": "2024.1", "files": {}}', "not an index that this collection reads"),
        ],
    )
    def test_of_a_wrong_bundle_are_refused(self, catalog: Controller, index: str | None, message: str) -> None:
        catalog.variables.update(artifacts_source="bundle", artifacts_bundle=str(catalog.folder / "bundle"))
        if index:
            catalog.put("bundle/bundle.json", index)
        assert message in catalog.fail(artifacts={"runc": {}})
        assert catalog.sent == []

    def test_are_not_looked_up_when_none_is_asked_for(self, controller: Controller) -> None:
        assert not controller.run().get("failed")


@AS_ROOT
class TestAPlaybook:
    """A real run on this machine: everything that it prints is searched."""

    def test_never_shows_a_secret_changes_nothing_in_check_mode_and_nothing_the_second_time(
        self, controller: Controller, play: Play, tmp_path: Path
    ) -> None:
        etc = tmp_path / "node" / "etc"
        below = str(etc)[1:]
        (tmp_path / "password").write_text("of the vault")
        vault = VaultLib([("default", VaultSecret(b"of the vault"))])
        variable = subprocess.run(
            [Path(sys.executable).with_name("ansible-vault"), "encrypt_string", "--vault-password-file", "password",
             "--stdin-name", "demo_password"],
            cwd=tmp_path, input=SECRET, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        controller.put("inventory/group_vars/all/one.yml", variable)
        controller.put("inventory/group_vars/all/vault.yml", vault.encrypt(f"demo_of_file: of-file-{SECRET}\n"))
        controller.tree(f"{below}/from-variable.conf.j2", "password={{ demo_password }}\n")
        controller.tree(f"{below}/from-file.conf.j2", "password={{ demo_of_file }}\n")
        controller.tree(f"{below}/behind-another.conf.j2", "url=https://u:{{ demo_url }}@host\n")
        controller.tree(f"{below}/plain.conf.j2", "plain={{ demo_plain }}\n")
        controller.tree(f"{below}/key.pem", vault.encrypt(SECRET))
        controller.put("roles/demo/templates/one.j2", "of the task={{ token }}\n")
        files = {
            f"{etc}/literal": {"content": "{{ demo_password }}"},
            f"{etc}/own": {"template": "one.j2", "vars": {"token": "{{ demo_password }}"}},
            f"{etc}/named": {"content": f"not vaulted {SECRET[::-1]}", "sensitive": True},
        }
        tasks: list[dict[str, Any]] = [
            {"name": "Plan", "banking.platform.converge": {"files": files}, "check_mode": True},
            {"name": "Look", "ansible.builtin.stat": {"path": str(etc)}},
            {"name": "Apply", "banking.platform.converge": {"files": files}},
            {"name": "Repeat", "banking.platform.converge": {"files": files}},
        ]
        controller.put("roles/demo/tasks/main.yml", json.dumps(tasks))
        variables = {"demo_plain": "shown", "demo_url": "{{ demo_password }}"}
        answer = play.run(
            [{"hosts": "localhost", "gather_facts": False, "vars": variables, "roles": ["demo"]}],
            "--diff", "--vault-password-file", "password", "-vvv",
        )  # fmt: skip
        planned, look, applied, repeated = (results(answer)[task["name"]] for task in tasks)

        for form in (SECRET, SECRET[::-1], json.dumps(SECRET)[1:-1], hashlib.sha256(SECRET.encode()).hexdigest()):
            assert form not in answer["text"]
        assert "plain=shown" in answer["text"]
        assert look["stat"]["exists"] is False
        assert planned["plan"] == applied["plan"]
        assert (planned["changed"], applied["changed"], repeated["changed"]) == (True, True, False)
        assert (repeated["paths"], repeated["diff"]) == ([], [])
        assert (etc / "from-variable.conf").read_text() == f"password={SECRET}\n"
        assert (etc / "from-file.conf").read_text() == f"password=of-file-{SECRET}\n"
        assert (etc / "key.pem").read_text() == (etc / "literal").read_text() == SECRET
        assert (etc / "own").read_text() == f"of the task={SECRET}\n"
        hidden = {
            Path(step["target"]).name for step in applied["plan"] if step.get("note") == "content differs; not shown"
        }
        assert hidden == {
            "from-variable.conf", "from-file.conf", "behind-another.conf", "key.pem", "literal", "own", "named",
        }  # fmt: skip
