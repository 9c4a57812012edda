#!/usr/bin/env python3
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare `k8s_apply` with kubernetes.core.k8s and kubectl: the same objects, on a real API server.

Whole runs of ansible-playbook, wall time, one form after the other, each on a control plane of its own that is new.
Writes docs/benchmarks/kube.md and kube.json.
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

from ansible.plugins.loader import init_plugin_loader

init_plugin_loader()

from ansible_collections.banking.platform.tests.integration.kube import objects  # noqa: E402
from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster  # noqa: E402
from ansible_collections.banking.platform.tools import suites  # noqa: E402

CLONE = Path(__file__).resolve().parent.parent.parent
NAMESPACE = "bench"
PLAYBOOK = str(Path(sys.executable).parent / "ansible-playbook")
# How many objects of the loop are measured; the rest is scaled, for it takes seconds each.
LOOPED = 20

FORMS = {
    "k8s_apply": """\
    - banking.platform.k8s_apply:
        component: bench
        objects: "{{ objects }}"
""",
    "multi-document": """\
    - kubernetes.core.k8s:
        definition: "{{ objects }}"
        apply: true
        server_side_apply: {field_manager: bench}
""",
    "loop": """\
    - kubernetes.core.k8s:
        definition: "{{ item }}"
        apply: true
        server_side_apply: {field_manager: bench}
      loop: "{{ objects }}"
      loop_control: {label: "{{ item.metadata.name }}"}
""",
    "kubectl": """\
    - ansible.builtin.command:
        argv: [%KUBECTL%, apply, --server-side, -f, "{{ file }}"]
      register: applied
      changed_when: "'serverside-applied' in applied.stdout"
""",
}

_ABOUT = """\
Made by `make bench`: whole runs of `ansible-playbook`, wall time, the same objects (ConfigMaps, Secrets, Services,
Deployments, one namespace), one form after the other in one run of the benchmark, each on a new control plane of its
own: etcd, kube-apiserver and kube-controller-manager 1.28 on loopback. `multi-document` and `loop` are
`kubernetes.core.k8s` with server-side apply, given all objects in one task, or one an iteration; `kubectl` is
`kubectl apply --server-side` in one task of `ansible.builtin.command`. The loop is measured with {looped} objects and
scaled; a run's start counts once, and a playbook without a task takes {empty:.1f} s of each figure. Goals: at least 2
times faster than `multi-document` at first, 100 times faster than `loop` and 5 times converged; with 3000 objects 4
and 15 times.
"""


@dataclass
class Timing:
    """One form, one run: seconds, and whether it said that it changed something."""

    form: str
    objects: int
    run: str
    seconds: float
    changed: bool
    scaled: bool = False


class Bench:
    """Runs playbooks against control planes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.empty = 0.0

    def playbook(self, form: str, count: int) -> Path:
        """Write the objects and the playbook that applies them."""
        file = self.folder / f"{count}.json"
        wanted = objects.many(NAMESPACE, count)
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": wanted}))
        playbook = self.folder / f"{form}-{count}.yml"
        tasks = FORMS[form].replace("%KUBECTL%", str(suites.kubernetes_programs() / "kubectl"))
        playbook.write_text(
            "- hosts: localhost\n  gather_facts: false\n  vars:\n"
            f"    file: {file}\n"
            "    objects: \"{{ (lookup('ansible.builtin.file', file) | from_json)['items'] }}\"\n"
            f"  tasks:\n{tasks}"
        )
        return playbook

    def run(self, cluster: Cluster, playbook: Path, *extra: str, program: str = PLAYBOOK) -> tuple[float, bool]:
        """Run a playbook; wall time in seconds, and whether it changed something."""
        environment = {
            **os.environ,
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "K8S_AUTH_KUBECONFIG": cluster.admin,
            "KUBECONFIG": cluster.admin,
        }
        command = [
            program,
            str(playbook),
            "-i",
            "localhost,",
            "-c",
            "local",
        ]
        interpreter = [] if extra else ["-e", f"ansible_python_interpreter={sys.executable}"]
        start = time.monotonic()
        done = subprocess.run(
            [*command, *interpreter, *extra], cwd=CLONE, env=environment, capture_output=True, text=True, check=False
        )
        seconds = time.monotonic() - start
        if done.returncode:
            sys.exit(f"{playbook} failed:\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}")
        return seconds, "changed=0" not in done.stdout

    def compare(self, form: str, count: int) -> list[Timing]:
        """Time one form, for the first time and converged."""
        done = []
        with tempfile.TemporaryDirectory(prefix="platform-bench-") as name, Cluster(Path(name)) as cluster:
            if form == "loop":
                start = self.folder / "empty.yml"
                start.write_text("- hosts: localhost\n  gather_facts: false\n")
                self.empty = self.run(cluster, start)[0]
            playbook = self.playbook(form, LOOPED if form == "loop" else count)
            for run in ("first", "converged"):
                seconds, changed = self.run(cluster, playbook)
                if form == "loop":
                    seconds = self.empty + (seconds - self.empty) * count / LOOPED
                done.append(Timing(form, count, run, seconds, changed, scaled=form == "loop"))
                print(f"  {form}, {count} objects, {run}: {seconds:.1f} s, changed={changed}", flush=True)
        return done

    def memory(self, count: int, program: str = sys.executable) -> tuple[float, float]:
        """The largest resident set in MB (10**6 bytes) of a program's processes, first and converged, by a wrapper.

        Args:
            count: objects.
            program: Python, for the module alone, as it runs on another host; or ansible-playbook, which carries it
                out in a process of its own here.
        """
        wrapper, peak = self.folder / "wrapper", self.folder / "peak"
        wrapper.write_text(
            f"#!{sys.executable}\nimport resource, subprocess, sys\n"
            f"code = subprocess.call([{program!r}, *sys.argv[1:]])\n"
            f"used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
            f"open({str(peak)!r}, 'w').write(str(used))\nsys.exit(code)\n"
        )
        wrapper.chmod(0o755)
        figures = []
        with tempfile.TemporaryDirectory(prefix="platform-bench-") as name, Cluster(Path(name)) as cluster:
            playbook = self.playbook("k8s_apply", count)
            for _run in range(2):
                if program == sys.executable:
                    self.run(cluster, playbook, "-e", f"ansible_python_interpreter={wrapper}")
                else:
                    self.run(cluster, playbook, program=str(wrapper))
                figures.append(int(peak.read_text()) * 1024 / 1e6)
        return figures[0], figures[1]


def table(timings: list[Timing], facts: dict[str, str]) -> str:
    """The figures as Markdown: forms side by side, with how many times `k8s_apply` is faster."""
    rows = [
        "| objects | run | form | time | `k8s_apply` is faster | says changed |",
        "| ---: | --- | --- | ---: | ---: | --- |",
    ]
    ours = {(one.objects, one.run): one.seconds for one in timings if one.form == "k8s_apply"}
    for one in sorted(timings, key=lambda one: (one.objects, one.run == "converged", list(FORMS).index(one.form))):
        ratio = "" if one.form == "k8s_apply" else f"{one.seconds / ours[one.objects, one.run]:.1f} times"
        scaled = " (scaled)" if one.scaled else ""
        rows.append(
            f"| {one.objects} | {one.run} | {one.form}{scaled} | {one.seconds:.1f} s | {ratio} | "
            f"{'yes' if one.changed else 'no'} |"
        )
    return "\n".join([*rows, "", *(f"- {name}: {value}" for name, value in facts.items())])


def main() -> None:
    """Run the comparison, print it and keep it."""
    parser = argparse.ArgumentParser(description="k8s_apply beside kubernetes.core.k8s and kubectl")
    parser.add_argument("--small", type=int, default=300, help="objects with which all forms are measured")
    parser.add_argument("--large", type=int, default=3000, help="objects with which k8s_apply and multi-document are")
    parser.add_argument("--memory", type=int, default=5000, help="objects with which the module's memory is measured")
    parser.add_argument("--output", default=str(CLONE / "docs" / "benchmarks"))
    options = parser.parse_args()
    missing = suites.SUITES["api"]()
    if missing:
        sys.exit(missing)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="platform-bench-") as name:
        bench = Bench(Path(name))
        forms = [form for form in FORMS if form != "kubectl" or (suites.kubernetes_programs() / "kubectl").exists()]
        timings = [one for form in forms for one in bench.compare(form, options.small)]
        if options.large:
            timings += [one for form in ("k8s_apply", "multi-document") for one in bench.compare(form, options.large)]
        facts = {"load before and after": f"{load:.0f} and {os.getloadavg()[0]:.0f}"}
        if options.memory:
            for name, program in (("the module", sys.executable), ("ansible-playbook's largest process", PLAYBOOK)):
                first, converged = bench.memory(options.memory, program)
                facts[f"memory of {name}"] = (
                    f"{first:.0f} MB with {options.memory} objects applied, {converged:.0f} MB converged"
                )
        facts["machine"] = f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    text = table(timings, facts)
    print(text)
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    content = {"timings": [asdict(one) for one in timings], "facts": facts}
    (output / "kube.json").write_text(json.dumps(content, indent=2) + "\n")
    about = _ABOUT.format(looped=LOOPED, empty=bench.empty)
    (output / "kube.md").write_text(f"# `k8s_apply` against kubernetes.core.k8s and kubectl\n\n{about}\n{text}\n")


if __name__ == "__main__":
    main()
