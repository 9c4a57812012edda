# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three nodes in three zones, with nothing but OpenBao on them."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.lab import host, machine
from ansible_collections.banking.platform.plugins.modules import lab_fault
from ansible_collections.banking.platform.tools.suites import CLONE

NAME, NET = os.environ.get("LAB_NAME", "vtest"), os.environ.get("LAB_NET", "10.94")
NODES = {f"cp-{zone}1": f"{NET}.{number}.11" for number, zone in enumerate("abc", 1)}
STATE = CLONE / "build" / "lab" / NAME
_RECAP = re.compile(r"^(\S+) +: +ok=\d+ +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", re.MULTILINE)


def until(holds: Callable[[], object], seconds: float = 120) -> float:
    """Wait for something, and say for how long it was waited."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds
        time.sleep(0.1)
    return time.monotonic() - began


def playbook(path: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a playbook of the clone, whatever comes of it."""
    own = {
        "LAB_NAME": NAME,
        "LAB_NET": NET,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
    }
    return subprocess.run(
        ["ansible-playbook", path, *arguments],
        cwd=CLONE,
        env={**os.environ, **own, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


class Members:
    """The nodes, and what is asked of Vault on them past Ansible."""

    inventory = str(STATE / "inventory")
    urls = tuple(f"https://{address}:8200" for address in NODES.values())

    def play(self, path: str, *arguments: str) -> dict[str, int]:
        """Run a playbook on the nodes and return how many tasks changed something on each."""
        done = playbook(path, "-i", self.inventory, *arguments)
        assert done.returncode == 0, f"{path}:\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
        self.said = done.stdout
        changed = dict.fromkeys(NODES, 0)
        for name, count, _unreachable, _failed in _RECAP.findall(done.stdout):
            changed[name] = int(count)
        return changed

    def refused(self, path: str, *arguments: str) -> str:
        """Run a playbook that must fail, and return what it said."""
        done = playbook(path, "-i", self.inventory, *arguments)
        assert done.returncode != 0, done.stdout[-3000:]
        return done.stdout + done.stderr

    def converge(self, *arguments: str, initialise: bool = False) -> dict[str, int]:
        """The nodes' playbook, as far as it is about Vault."""
        own = [] if initialise else ["-e", "vault_init_output="]
        changed = self.play("playbooks/nodes.yml", "--tags", "vault", *own, *arguments)
        return {name: changed[name] for name in (*NODES, "localhost") if initialise or name in NODES}

    def operate(self, state: str, **options: Any) -> int:
        """Run vault_operator, and return how much it has changed."""
        given = {"state": state, "url": list(self.urls), "ca_path": str(STATE / "ca" / "vault.crt"), **options}
        return self.play("tests/integration/vault/operator.yml", "-e", json.dumps({"operate": given}))["localhost"]

    def state(self, node: str) -> str:
        """What a member is, in its own word; empty when it does not answer."""
        return self.on(node, "/usr/local/libexec/platform/vault-state", check=False).strip()

    def active(self) -> str:
        """The node that is active; empty while none is."""
        return next((node for node in NODES if self.state(node) == "active"), "")

    def bao(self, node: str, arguments: str, token: str = "", check: bool = True) -> str:
        """Run OpenBao's own program on a node, as root of Vault."""
        said = f"set -a; . /etc/vault/client.env; VAULT_TOKEN={token or self.token()}; exec /usr/local/bin/bao"
        return self.on(node, f"{said} {arguments}", check)

    @staticmethod
    def token() -> str:
        """The root token of the test."""
        return str(json.loads((STATE / "vault-init.json").read_text())["root_token"])

    @staticmethod
    def on(node: str, command: str, check: bool = True) -> str:
        """Run a shell command on a node."""
        done = subprocess.run(
            ["podman", "exec", f"{NAME}.{node}", "sh", "-c", command],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert not check or done.returncode == 0, f"{node}: {command}: {done.stdout}{done.stderr}"
        return done.stdout if done.returncode == 0 else ""

    @staticmethod
    def fault(**words: str) -> None:
        """Put a zone or a node into a fault, or heal it."""
        given: dict[str, Any] = {
            "name": NAME,
            "state_dir": str(STATE),
            "zone": None,
            "node": None,
            "fault": None,
            **words,
        }
        with host.lock():
            lab_fault.make_plan(given, machine.podman_settings(machine.look())).apply()


class Writer:
    """Writes one secret after the other through the members that are given, and counts what was acknowledged."""

    def __init__(self, node: str, members: list[str], token: str) -> None:
        # One connection per write: a client that begins anew finds the active member again.
        script = (
            "import json,ssl,sys,time,urllib.request\n"
            "context = ssl.create_default_context(cafile='/etc/vault/pki/ca.crt')\n"
            "number = 0\n"
            "while True:\n"
            f"    for member in {members!r}:\n"
            "        url = member + '/v1/kv/data/written/' + str(number)\n"
            "        body = json.dumps({'data': {'number': number}}).encode()\n"
            f"        asked = urllib.request.Request(url, body, {{'X-Vault-Token': {token!r}}})\n"
            "        try:\n"
            "            urllib.request.urlopen(asked, timeout=1, context=context).read()\n"
            "        except OSError:\n"
            "            continue\n"
            "        print(number, time.time(), flush=True)\n"
            "        number += 1\n"
        )
        command = ["podman", "exec", "-i", f"{NAME}.{node}", "python3", "-"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin
        self._process.stdin.write(script)
        self._process.stdin.close()
        self.acknowledged: list[tuple[int, float]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            number, when = line.split()
            self.acknowledged.append((int(number), float(when)))

    def longest_pause(self) -> float:
        """Seconds between two acknowledged writes, at most."""
        times = [when for _number, when in self.acknowledged]
        return max(after - before for before, after in itertools.pairwise(times))

    def stop(self) -> list[int]:
        self._process.kill()
        self._process.wait()
        self._thread.join(timeout=30)
        return [number for number, _when in self.acknowledged]


def made() -> Iterator[Members]:
    """The nodes, bare; nothing is left of them."""
    if NAME in host.labs():
        playbook("molecule/shared/destroy.yml")
    nodes = {
        name: {"zone": f"zone-{name[3]}", "address": address, "disks": [{"name": "lab-data0", "size_mb": 64}]}
        for name, address in NODES.items()
    }
    created = playbook("molecule/shared/create.yml", "-e", json.dumps({"lab_nodes": nodes}))
    try:
        assert created.returncode == 0, created.stdout[-5000:] + created.stderr
        yield Members()
    finally:
        playbook("molecule/shared/destroy.yml")
