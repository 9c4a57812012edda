#!/usr/bin/env python3
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare `vault_config` with community.hashi_vault and ansible.builtin.uri, task by task: the same configuration.

Whole runs of ansible-playbook, wall time, one form after the other, each on a real OpenBao of its own that is new.
Writes docs/benchmarks/vault.md and vault.json. Timings are reported, never asserted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ansible.plugins.loader import init_plugin_loader

init_plugin_loader()

from ansible_collections.banking.platform.tests.integration.vault.server import Server  # noqa: E402
from ansible_collections.banking.platform.tools import suites  # noqa: E402

CLONE = Path(__file__).resolve().parent.parent.parent
# How many of each kind are measured task by task; the rest is scaled, for they take most of a second each.
LOOPED = 20

_ABOUT = """\
Made by `make bench`: whole runs of `ansible-playbook`, wall time, the same configuration ({policies} policies,
{engines} secret engines of KV version 2, {roles} roles of AppRole), one form after the other in one run of the
benchmark, each on a new OpenBao of its own on loopback, with TLS, integrated storage and an audit log. `hashi_vault` is
`community.hashi_vault.vault_write` in a loop, as its documentation shows it (it has no module for policies, engines or
roles: each is a path that is written). `uri` is `ansible.builtin.uri`: each thing is read, and written where it
differs. These two are measured with {looped} of each kind (all {engines} engines) and scaled; a run's start counts
once.
"""


@dataclass
class Timing:
    """One form, one run: seconds, and whether it said that it changed something."""

    form: str
    run: str
    seconds: float
    changed: bool
    scaled: bool = False


def configuration(policies: int, engines: int, roles: int) -> dict[str, list[dict[str, Any]]]:
    """So many of each kind."""
    rule = 'path "engine-{}/data/app-{}/*" {{ capabilities = ["read", "list"] }}\n'
    role = {"token_ttl": 3600, "token_max_ttl": 14400, "secret_id_ttl": 86400}
    return {
        "policies": [
            {"name": f"app-{number}", "policy": rule.format(number % engines, number)} for number in range(policies)
        ],
        "engines": [{"path": f"engine-{number}", "type": "kv"} for number in range(engines)],
        "roles": [
            {"name": f"app-{number}", "token_policies": [f"app-{number % policies}"], **role} for number in range(roles)
        ],
    }


_OURS = """\
    - banking.platform.vault_config:
        url: ["{{ url }}"]
        ca_path: "{{ ca }}"
        token_file: "{{ token_file }}"
        policies: "{{ policies }}"
        secret_engines: "{{ engines | map('combine', {'options': {'version': '2'}}) | list }}"
        auth_methods:
          - {type: approle, roles: "{{ roles }}"}
"""

_HASHI = """\
    - community.hashi_vault.vault_write:
        path: "sys/policies/acl/{{ item.name }}"
        data: {policy: "{{ item.policy }}"}
      loop: "{{ policies }}"
      loop_control: {label: "{{ item.name }}"}
    - community.hashi_vault.vault_read:
        path: sys/mounts
      register: mounts
    - community.hashi_vault.vault_write:
        path: "sys/mounts/{{ item.path }}"
        data: {type: kv, options: {version: "2"}}
      loop: "{{ engines }}"
      when: (item.path ~ '/') not in mounts.data.data
      loop_control: {label: "{{ item.path }}"}
    - community.hashi_vault.vault_read:
        path: sys/auth
      register: auth
    - community.hashi_vault.vault_write:
        path: sys/auth/approle
        data: {type: approle}
      when: "'approle/' not in auth.data.data"
    - community.hashi_vault.vault_write:
        path: "auth/approle/role/{{ item.name }}"
        data: "{{ item | dict2items | rejectattr('key', 'eq', 'name') | items2dict }}"
      loop: "{{ roles }}"
      loop_control: {label: "{{ item.name }}"}
"""

_READ = """\
    - ansible.builtin.uri:
        url: "{{ url }}/v1/%PATH%"
        status_code: [200, 404]
      register: found
      loop: "{{ %LIST% }}"
      loop_control: {label: "{{ item.name }}"}
    - ansible.builtin.uri:
        url: "{{ url }}/v1/%PATH%"
        method: POST
        body_format: json
        body: "{{ %BODY% }}"
        status_code: [200, 204]
      loop: "{{ %LIST% }}"
      loop_control: {label: "{{ item.name }}", index_var: number}
      when: >-
        found.results[number].status == 404 or
        (%BODY% | dict2items | rejectattr('value', 'none') | list) | difference(
        (found.results[number].json.data | dict2items)) | length > 0
      changed_when: true
"""
_URI = (
    _READ.replace("%PATH%", "sys/policies/acl/{{ item.name }}")
    .replace("%LIST%", "policies")
    .replace("%BODY%", "{'policy': item.policy}")
    + """\
    - ansible.builtin.uri:
        url: "{{ url }}/v1/sys/mounts"
      register: mounts
    - ansible.builtin.uri:
        url: "{{ url }}/v1/sys/mounts/{{ item.path }}"
        method: POST
        body_format: json
        body: {type: kv, options: {version: "2"}}
        status_code: 204
      loop: "{{ engines }}"
      loop_control: {label: "{{ item.path }}"}
      when: (item.path ~ '/') not in mounts.json.data
      changed_when: true
    - ansible.builtin.uri:
        url: "{{ url }}/v1/sys/auth"
      register: auth
    - ansible.builtin.uri:
        url: "{{ url }}/v1/sys/auth/approle"
        method: POST
        body_format: json
        body: {type: approle}
        status_code: 204
      when: "'approle/' not in auth.json.data"
      changed_when: true
"""
    + _READ.replace("%PATH%", "auth/approle/role/{{ item.name }}")
    .replace("%LIST%", "roles")
    .replace("%BODY%", "item | dict2items | rejectattr('key', 'eq', 'name') | items2dict")
)
FORMS = {"vault_config": _OURS, "hashi_vault": _HASHI, "uri": _URI}
_DEFAULTS = """\
  module_defaults:
    group/community.hashi_vault.vault:
      url: "{{ url }}"
      token: "{{ lookup('ansible.builtin.file', token_file) }}"
      ca_cert: "{{ ca }}"
    ansible.builtin.uri:
      headers: {X-Vault-Token: "{{ lookup('ansible.builtin.file', token_file) }}"}
      ca_path: "{{ ca }}"
"""


def play(server: Server, folder: Path, tasks: str, wanted: dict[str, Any]) -> tuple[float, bool]:
    """Run tasks against a server; wall time in seconds, and whether they changed something."""
    (folder / "token").write_text(server.token)
    values = {**wanted, "url": server.url, "ca": str(server.ca), "token_file": str(folder / "token")}
    (folder / "values.json").write_text(json.dumps(values))
    listed = f"  tasks:\n{tasks}" if tasks else ""
    (folder / "play.yml").write_text(f"- hosts: localhost\n  gather_facts: false\n{_DEFAULTS}{listed}")
    program = str(Path(sys.executable).parent / "ansible-playbook")
    command = [program, str(folder / "play.yml"), "-i", "localhost,", "-c", "local", "-e", f"@{folder / 'values.json'}"]
    environment = {**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default"}
    start = time.monotonic()
    done = subprocess.run(
        [*command, "-e", f"ansible_python_interpreter={sys.executable}"],
        cwd=CLONE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - start
    if done.returncode:
        sys.exit(f"failed:\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}")
    return seconds, "changed=0" not in done.stdout


def compare(form: str, wanted: dict[str, list[dict[str, Any]]]) -> list[Timing]:
    """Time one form, for the first time and converged."""
    ours = form == "vault_config"
    some = wanted if ours else {**wanted, "policies": wanted["policies"][:LOOPED], "roles": wanted["roles"][:LOOPED]}
    whole, part = (sum(map(len, one.values())) for one in (wanted, some))
    done = []
    with tempfile.TemporaryDirectory(prefix="platform-bench-") as name:
        server = Server(Path(name) / "bao").start()
        try:
            server.initialise()
            empty = 0.0 if ours else play(server, Path(name), "", some)[0]
            for run in ("first", "converged"):
                seconds, changed = play(server, Path(name), FORMS[form], some)
                seconds = empty + (seconds - empty) * whole / part
                done.append(Timing(form, run, seconds, changed, scaled=not ours))
                print(f"  {form}, {run}: {seconds:.1f} s, changed={changed}", flush=True)
        finally:
            server.stop()
    return done


def table(timings: list[Timing], facts: dict[str, str]) -> str:
    """The figures as Markdown: forms side by side, with how many times `vault_config` is faster."""
    rows = ["| run | form | time | `vault_config` is faster | says changed |", "| --- | --- | ---: | ---: | --- |"]
    ours = {one.run: one.seconds for one in timings if one.form == "vault_config"}
    for one in sorted(timings, key=lambda one: (one.run == "converged", list(FORMS).index(one.form))):
        ratio = "" if one.form == "vault_config" else f"{one.seconds / ours[one.run]:.0f} times"
        scaled = " (scaled)" if one.scaled else ""
        says = "yes" if one.changed else "no"
        rows.append(f"| {one.run} | {one.form}{scaled} | {one.seconds:.1f} s | {ratio} | {says} |")
    return "\n".join([*rows, "", *(f"- {name}: {value}" for name, value in facts.items())])


def main() -> None:
    """Run the comparison, print it and keep it."""
    parser = argparse.ArgumentParser(description="vault_config beside community.hashi_vault and uri")
    parser.add_argument("--policies", type=int, default=200)
    parser.add_argument("--engines", type=int, default=20)
    parser.add_argument("--roles", type=int, default=300)
    parser.add_argument("--output", default=str(CLONE / "docs" / "benchmarks"))
    options = parser.parse_args()
    missing = suites.SUITES["vault"]()
    if missing:
        sys.exit(missing)
    load = os.getloadavg()[0]
    wanted = configuration(options.policies, options.engines, options.roles)
    timings = [timing for form in FORMS for timing in compare(form, wanted)]
    facts = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, load before {load:.1f}",
        "goal": "a converged run at least 20 times faster, and `changed=0`",
    }
    about = _ABOUT.format(policies=options.policies, engines=options.engines, roles=options.roles, looped=LOOPED)
    text = table(timings, facts)
    print(text)
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    (output / "vault.md").write_text(f"# vault_config beside the usual modules\n\n{about}\n{text}\n")
    kept = {"timings": [asdict(one) for one in timings], "facts": facts}
    (output / "vault.json").write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
