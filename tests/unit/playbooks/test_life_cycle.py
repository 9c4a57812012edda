# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the playbooks of the life cycle refuse, run as a user runs them, in check mode: an inventory of this machine
under several names, and an API server that knows some nodes."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.banking.platform.plugins.plugin_utils.authorities import Keyring, Store

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="playbooks become root")]
CLONE = Path(__file__).resolve().parents[3]
SERVERS, WORKERS = ["cp-a1", "cp-b1", "cp-c1"], ["worker-a1", "worker-b1"]


class Platform:
    """An inventory, a kubeconfig and the API server behind it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ready = dict.fromkeys(SERVERS + WORKERS, True)
        self.writes: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps({"metadata": {}, "items": outer.nodes() if "/nodes" in self.path else []}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                outer.writes.append(f"{self.command} {self.path}")
                self.send_error(405)

            do_PUT = do_PATCH = do_DELETE = do_POST

            def log_message(self, *arguments: Any) -> None:
                """Say nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.write_inventory()

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {
                "metadata": {"name": name},
                "status": {"conditions": [{"type": "Ready", "status": str(ready), "message": "gone"}]},
            }
            for name, ready in self.ready.items()
        ]

    def write_inventory(self) -> None:
        address = f"http://127.0.0.1:{self.server.server_address[1]}"
        kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": address}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        (self.folder / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
        roles = ("node", "control_plane", "worker", "etcd", "vault")
        variables = {
            "platform_environment": "test",
            "platform_release": "2024.1",
            "platform_domain": "test.internal",
            "platform_zones": ["zone-a", "zone-b", "zone-c"],
            "platform_groups": {role: role for role in roles},
            "platform_kubeconfig": str(self.folder / "kubeconfig"),
            "platform_address": "10.9.0.1",
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            # Nobody listens there.
            "ansible_port": 1,
            "ansible_host": "127.0.0.1",
        }
        groups: dict[str, Any] = {
            f"zone_{zone}": {"hosts": {}, "vars": {"platform_zone": f"zone-{zone}"}} for zone in "abc"
        }
        for name in self.ready:
            groups[f"zone_{name[-2]}"]["hosts"][name] = {}
        children = {
            "node": {"children": groups},
            "control_plane": {"hosts": dict.fromkeys(SERVERS)},
            "worker": {"hosts": dict.fromkeys(WORKERS)},
            "etcd": {"children": {"control_plane": {}}},
            "vault": {"children": {"control_plane": {}}},
        }
        inventory = {"all": {"vars": variables, "children": children}}
        (self.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))

    def run(self, playbook: str, *arguments: str) -> str:
        """What a run that is refused said. Nothing was written to the API server."""
        own = {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "COLUMNS": "400"}
        argv = ["ansible-playbook", f"playbooks/{playbook}.yml", "-i", str(self.folder / "hosts.yml"), "--check"]
        done = subprocess.run(
            [*argv, *arguments],
            cwd=CLONE,
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode != 0, done.stdout[-3000:]
        assert self.writes == []
        return done.stdout + done.stderr


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    made = Platform(tmp_path)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_reset_has_to_be_asked_for_by_the_right_name(platform: Platform) -> None:
    for asked in ([], ["-e", "confirm_reset=prod"], ["-e", "confirm_reset=prod", "--limit", "worker-a1"]):
        said = platform.run("reset", *asked)
        assert "nothing was changed; to lose everything in test, say -e confirm_reset=test" in said
        assert "Take the lock" not in said


def test_a_node_has_to_be_named_to_be_taken_out(platform: Platform) -> None:
    assert "name one node of the inventory" in platform.run("remove_node")


@pytest.mark.parametrize("node", WORKERS[:1])
def test_a_node_is_not_taken_out_while_another_one_is_away(platform: Platform, node: str) -> None:
    platform.ready["cp-c1"] = False
    said = platform.run("remove_node", "-e", f"node={node}")
    assert "node cp-c1 is not ready: gone" in said
    assert "Drain it" not in said


def test_a_node_that_answers_is_not_lost(platform: Platform) -> None:
    said = platform.run("remove_node", "-e", "node=worker-a1", "-e", "node_is_lost=true")
    assert "worker-a1 answers, so it is not lost" in said


def test_a_node_that_does_not_answer_is_taken_out_only_when_that_is_said(platform: Platform) -> None:
    inventory = yaml.safe_load((platform.folder / "hosts.yml").read_text())
    host = {"ansible_connection": "ssh", "ansible_ssh_common_args": "-o BatchMode=yes"}
    inventory["all"]["children"]["node"]["children"]["zone_a"]["hosts"]["worker-a1"] = host
    (platform.folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
    said = platform.run("remove_node", "-e", "node=worker-a1")
    assert "worker-a1 does not answer, nothing was changed" in said
    assert "node_is_lost=true" in said
    # Said, it goes on to the next proof: the other nodes.
    platform.ready["cp-b1"] = False
    assert "node cp-b1 is not ready" in platform.run("remove_node", "-e", "node=worker-a1", "-e", "node_is_lost=true")


def test_a_node_that_is_not_in_the_inventory_is_not_added(platform: Platform) -> None:
    assert "name one node that is in hosts.yml" in platform.run("add_node", "-e", "node=worker-z9")


def test_no_node_is_added_to_half_a_control_plane(platform: Platform) -> None:
    platform.ready["cp-b1"] = False
    said = platform.run("add_node", "-e", "node=worker-a1")
    assert "node cp-b1 is not ready" in said
    assert "hardened" not in said


def test_a_rotation_leaves_no_server_out(platform: Platform) -> None:
    said = platform.run("rotate_keys", "--limit", "cp-a1")
    assert "an API server that is left out could not read what the others write" in said


def test_hosts_without_keys_are_no_cluster_to_rotate_them_in(platform: Platform) -> None:
    said = platform.run("rotate_keys", "-e", f"platform_ca_dir={platform.folder}/ca")
    assert f"there are no keys secrets in {platform.folder}/ca" in said


def test_servers_that_encrypt_nothing_have_no_key_to_rotate(platform: Platform) -> None:
    (platform.folder / "passphrase").write_text("correct horse battery\n")
    reference = f"file:{platform.folder}/passphrase"
    Store(str(platform.folder / "ca"), Keyring(reference=reference)).create_keys("secrets")
    variables = {"platform_ca_dir": str(platform.folder / "ca"), "platform_ca_passphrase": reference}
    said = platform.run("rotate_keys", "-e", json.dumps(variables))
    assert "cp-a1, cp-b1, cp-c1: no key is loaded" in said


def test_nodes_in_no_cluster_are_not_upgraded(platform: Platform) -> None:
    # What comes before is the proof of the inventory, which has tests of its own.
    start = ("--start-at-task", "See that all of them take part")
    said = platform.run("upgrade", *start)
    assert all(f"{name} is in no cluster" in said for name in SERVERS + WORKERS)
    assert "nothing was changed; run it without --limit" in platform.run("upgrade", *start, "--limit", "worker")
