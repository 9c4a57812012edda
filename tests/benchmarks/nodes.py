#!/usr/bin/env python3
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare `converge` with the usual modules, task by task, on the nodes of the lab.

Both bring the same content to the same nodes, in whole runs of ansible-playbook, one after the other: files, sysctls,
units and kernel modules, for the first time and once more. The lab must be up (`make lab`). Everything that the
benchmark puts on a node is under names of its own, and is removed again.

Run it with `make bench`. It prints a table and writes it, with the figures as JSON, to docs/benchmarks/.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from textwrap import dedent

CLONE = Path(__file__).resolve().parents[2]
FILES, UNITS = 40, 5
# Of the node's own network namespace, so that no node touches another's. Every second one is changed by the first run.
SYSCTLS = {
    **{
        f"net.ipv4.conf.all.{key}": 0
        for key in ("accept_redirects", "secure_redirects", "send_redirects", "log_martians")
    },
    **{f"net.ipv4.conf.default.{key}": 0 for key in ("accept_redirects", "secure_redirects", "send_redirects")},
    **{
        f"net.ipv4.conf.lo.{key}": 0 for key in ("accept_redirects", "secure_redirects", "send_redirects", "arp_ignore")
    },
    **{f"net.ipv6.conf.all.{key}": 0 for key in ("accept_redirects", "accept_source_route", "accept_ra", "autoconf")},
    **{f"net.ipv6.conf.lo.{key}": 0 for key in ("accept_redirects", "accept_source_route", "accept_ra", "autoconf")},
    "net.ipv4.tcp_syncookies": 1,
    "net.ipv4.tcp_fin_timeout": 30,
    "net.ipv4.tcp_keepalive_time": 600,
    "net.ipv4.tcp_keepalive_intvl": 30,
    "net.ipv4.tcp_keepalive_probes": 5,
    "net.ipv4.tcp_tw_reuse": 1,
    "net.ipv4.tcp_syn_retries": 4,
    "net.ipv4.tcp_synack_retries": 4,
    "net.ipv4.icmp_echo_ignore_broadcasts": 1,
    "net.ipv4.icmp_ignore_bogus_error_responses": 1,
    "net.ipv4.ip_local_port_range": "20000 60000",
}
MODULES = [f"platform_bench_{number}" for number in range(10)]
FOLDER = "/etc/platform-bench"
_FILE = """\
# {{ ansible_managed }}
[node]
name = {{ inventory_hostname }}
address = {{ platform_address }}
zone = {{ platform_zone }}
{% for host in groups['node'] | sort %}
peer_{{ loop.index }} = {{ hostvars[host].platform_address }}
{% endfor %}
"""
_UNIT = """\
[Unit]
Description=Unit {number} of the benchmark

[Service]
ExecStart=/bin/sleep infinity

[Install]
WantedBy=multi-user.target
"""
_ABOUT = """\
Made by `make bench` on the lab's nodes: whole runs of `ansible-playbook`, wall time, one form after the other on the
same nodes. The same content is brought by one `banking.platform.converge` task, or, in loops, by
`ansible.builtin.template`, `copy`, `lineinfile`, `systemd_service` and `ansible.posix.sysctl`. (`lineinfile` names the
kernel modules, in place of `community.general.modprobe`, which fails on a kernel without loadable modules like this.)
"""


@dataclass
class Timing:
    """How long whole runs took.

    Attributes:
        what: the form of the playbook.
        run: first or converged.
        nodes: how many nodes it was for.
        seconds: the median of its runs.
        runs: each run, in seconds.
    """

    what: str
    run: str
    nodes: int
    seconds: float
    runs: list[float]


def write_playbooks(folder: Path) -> None:
    """Write one role with the content and the two playbooks that bring it to the nodes."""
    role = folder / "roles" / "bench"
    root = role / "templates" / "root"
    names = [f"{FOLDER}/service-{number:02d}.conf" for number in range(FILES)]
    units = [f"platform-bench-{number}.service" for number in range(UNITS)]
    for name in names:
        _put(root / f"{name[1:]}.j2", _FILE)
    for number, unit in enumerate(units):
        _put(root / "etc/systemd/system" / unit, _UNIT.format(number=number))
    sysctls = json.dumps(SYSCTLS)
    _put(
        role / "tasks" / "main.yml",
        dedent(
            f"""\
            - name: Converge
              banking.platform.converge:
                sysctl: {sysctls}
                modules: {json.dumps(MODULES)}
                units: {json.dumps({unit: {"state": "started", "enabled": True} for unit in units})}
            """
        ),
    )
    head = "- name: Benchmark\n  hosts: node\n  gather_facts: false\n  become: true\n"
    _put(folder / "converge.yml", head + "  roles: [bench]\n")
    _put(folder / "tasks.yml", head + _tasks(root, names, units, sysctls))
    _put(folder / "reset.yml", head + _reset(units))


def _tasks(root: Path, names: list[str], units: list[str], sysctls: str) -> str:
    return f"""\
  vars:
    sysctls: {sysctls}
  tasks:
    - name: Make the folder
      ansible.builtin.file: {{path: {FOLDER}, state: directory, mode: "0755"}}
    - name: Write the files
      ansible.builtin.template: {{src: "{root}{{{{ item }}}}.j2", dest: "{{{{ item }}}}", mode: "0644"}}
      loop: {json.dumps(names)}
    - name: Write the units
      ansible.builtin.copy:
        src: "{root}/etc/systemd/system/{{{{ item }}}}"
        dest: "/etc/systemd/system/{{{{ item }}}}"
        mode: "0644"
      loop: {json.dumps(units)}
      notify: Reload systemd
    - name: Set the sysctls
      ansible.posix.sysctl:
        name: "{{{{ item.key }}}}"
        value: "{{{{ item.value }}}}"
        sysctl_file: /etc/sysctl.d/60-bench.conf
        sysctl_set: true
      loop: "{{{{ sysctls | dict2items }}}}"
    - name: Name the modules
      ansible.builtin.lineinfile:
        path: /etc/modules-load.d/bench.conf
        line: "{{{{ item }}}}"
        create: true
        mode: "0644"
      loop: {json.dumps(MODULES)}
    - name: Read the units before they start
      ansible.builtin.meta: flush_handlers
    - name: Start the units
      ansible.builtin.systemd_service: {{name: "{{{{ item }}}}", state: started, enabled: true}}
      loop: {json.dumps(units)}
  handlers:
    - name: Reload systemd
      ansible.builtin.systemd_service: {{daemon_reload: true}}
"""


def _reset(units: list[str]) -> str:
    # The lab's kernel has no module files; by this list converge sees the benchmark's modules as builtin ones.
    return f"""\
  tasks:
    - name: Make every node as it was
      ansible.builtin.shell: |
        systemctl disable --now {" ".join(units)} 2> /dev/null
        rm -rf {FOLDER} /etc/systemd/system/platform-bench-*.service /var/lib/banking-platform/converge/platform-bench-*
        rm -f /etc/sysctl.d/60-bench.conf /etc/modules-load.d/bench.conf /etc/modules-load.d/platform_bench_*.conf
        systemctl daemon-reload
        folder=/lib/modules/$(uname -r)
        if [ "{{{{ bench_done | default(false) }}}}" = "True" ]; then
          sed -i /platform_bench/d "$folder/modules.builtin" && find /lib/modules -empty -delete
        else
          mkdir -p "$folder" && printf 'kernel/%s.ko\\n' {" ".join(MODULES)} > "$folder/modules.builtin"
        fi
      changed_when: true
"""


def _put(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


class Bench:
    """Runs playbooks against some of the lab's nodes."""

    def __init__(self, folder: Path, inventory: str) -> None:
        self.folder = folder
        self.inventory = inventory

    def run(self, playbook: Path | str, hosts: list[str], *extra: str) -> float:
        """Run a playbook and return its wall time in seconds; its output is shown when it fails."""
        # The default output, so that both forms print alike, and no record of the one before.
        environment = {
            **os.environ,
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
            "ANSIBLE_ROLES_PATH": str(self.folder / "roles"),
        }
        command = [str(Path(sys.executable).parent / "ansible-playbook"), str(playbook), "-i", self.inventory]
        start = time.monotonic()
        done = subprocess.run(
            [*command, "--limit", ",".join(hosts), *extra],
            cwd=CLONE,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.monotonic() - start
        if done.returncode:
            sys.exit(f"{playbook} failed:\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}\nIs the lab up? make lab")
        self.output = done.stdout
        return seconds

    def hosts(self) -> list[str]:
        """The lab's nodes, so that each three of them are one a zone."""
        command = [str(Path(sys.executable).parent / "ansible-inventory"), "-i", self.inventory, "--list"]
        groups = json.loads(subprocess.run(command, cwd=CLONE, capture_output=True, text=True, check=True).stdout)
        zones = [sorted(group["hosts"]) for name, group in sorted(groups.items()) if name.startswith("zone_")]
        return [host for row in zip(*zones, strict=True) for host in row]

    def compare(self, hosts: list[str], repeat: int) -> list[Timing]:
        """Time both forms on some nodes, for the first time and converged, in turns."""
        taken: dict[tuple[str, str], list[float]] = {}
        for _turn in range(repeat):
            for what in ("task by task", "converge"):
                playbook = self.folder / ("tasks.yml" if what == "task by task" else "converge.yml")
                self.run(self.folder / "reset.yml", hosts)
                taken.setdefault((what, "first"), []).append(self.run(playbook, hosts))
                taken.setdefault((what, "converged"), []).append(self.run(playbook, hosts))
                if "changed=0" not in self.output or any(f"changed={number}" in self.output for number in range(1, 10)):
                    sys.exit(f"{what}: the second run changed something:\n{self.output[-2000:]}")
        return [
            Timing(what, run, len(hosts), statistics.median(runs), [round(one, 2) for one in runs])
            for (what, run), runs in taken.items()
        ]

    def memory(self, host: str) -> float:
        """The module's largest resident set on a node, in MB (10**6 bytes), by a wrapper around its interpreter."""
        wrapper = "/tmp/platform-bench-python"
        script = (
            "#!/usr/bin/python3\nimport resource, subprocess, sys\n"
            "code = subprocess.call(['/usr/bin/python3', *sys.argv[1:]])\n"
            "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
            "open('/tmp/platform-bench-memory', 'w').write(str(peak))\nsys.exit(code)\n"
        )
        self._ad_hoc(host, "copy", {"dest": wrapper, "content": script, "mode": "0755"})
        self.run(self.folder / "converge.yml", [host], "-e", f"ansible_python_interpreter={wrapper}")
        peak = self._ad_hoc(host, "command", {"argv": ["cat", "/tmp/platform-bench-memory"]})
        self._ad_hoc(host, "command", {"argv": ["rm", wrapper, "/tmp/platform-bench-memory"]})
        return int(peak.strip().splitlines()[-1]) * 1024 / 1e6

    def _ad_hoc(self, host: str, module: str, arguments: dict[str, object]) -> str:
        command = [str(Path(sys.executable).parent / "ansible"), host, "-i", self.inventory, "--become"]
        return subprocess.run(
            [*command, "-m", f"ansible.builtin.{module}", "-a", json.dumps(arguments)],
            cwd=CLONE,
            capture_output=True,
            text=True,
            check=True,
        ).stdout


def table(timings: list[Timing], facts: dict[str, object]) -> str:
    """The figures as Markdown: forms side by side, with their ratio."""
    rows = [
        "| nodes | run | task by task | `converge` | ratio |",
        "| ---: | --- | ---: | ---: | ---: |",
    ]
    by_key = {(timing.what, timing.run, timing.nodes): timing.seconds for timing in timings}
    for nodes in sorted({timing.nodes for timing in timings}):
        for run in ("first", "converged"):
            old, new = by_key["task by task", run, nodes], by_key["converge", run, nodes]
            rows.append(f"| {nodes} | {run} | {old:.1f} s | {new:.1f} s | {old / new:.0f} |")
    return "\n".join([*rows, "", *(f"- {name}: {value}" for name, value in facts.items())])


def main() -> None:
    """Run the comparison, print it and keep it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inventory", default=str(CLONE / "inventories" / "lab"))
    parser.add_argument("--nodes", default="3,6,9", help="how many nodes, separated by commas")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each form; the median counts")
    parser.add_argument("--output", default=str(CLONE / "docs" / "benchmarks"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="platform-bench-") as name:
        folder = Path(name)
        write_playbooks(folder)
        bench = Bench(folder, options.inventory)
        hosts = bench.hosts()
        timings = []
        for count in [int(word) for word in options.nodes.split(",")]:
            print(f"{count} nodes ...", flush=True)
            timings += bench.compare(hosts[:count], options.repeat)
        facts: dict[str, object] = {
            "content": f"{FILES} templates, {len(SYSCTLS)} sysctls, {len(MODULES)} modules, {UNITS} units with files",
            "memory of the module on a node": f"{bench.memory(hosts[0]):.0f} MB",
        }
        bench.run(folder / "reset.yml", hosts, "-e", '{"bench_done": true}')
        bench.run(CLONE / "playbooks" / "nodes.yml", hosts)
        runs = [bench.run(CLONE / "playbooks" / "nodes.yml", hosts) for _turn in range(3)]
        facts[f"playbooks/nodes.yml, converged, {len(hosts)} nodes"] = f"{statistics.median(runs):.1f} s"
        facts["machine"] = f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    text = table(timings, facts)
    print(text)
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    (output / "nodes.json").write_text(
        json.dumps({"timings": [asdict(timing) for timing in timings], "facts": facts}, indent=2) + "\n"
    )
    (output / "nodes.md").write_text(f"# `converge` against the usual modules\n\n{_ABOUT}\n{text}\n")


if __name__ == "__main__":
    main()
