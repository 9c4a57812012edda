# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The progress callback in real runs on localhost, with a terminal and without."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HOSTS = """\
all:
  vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  children: {node: {hosts: {cp-a1: , worker-a1: , worker-b1: }}}
"""
# As an action plugin: no module has to be started, which is what takes the time.
ACTION = """\
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        plan = [dict(kind="file", target=f"/f{n}", action="create") for n in range(3)]
        result = super().run(tmp, task_vars) | dict(
            changed=True, plan=plan + [dict(kind="unit", target="x.service", action="restart")],
            diff=[dict(before="old\\n", after="new\\n", before_header="/f0", after_header="/f0")],
            deferred=["unit x.service: package x"] if self._task.check_mode else [], warnings=["a warning"])
        if self._task.args.get("fail"):
            result |= dict(failed=True, msg="first line\\nsecond line", next_step="do this", journal=["a line"])
        return result
"""
# A callback whose class comes on top of ours, as that of AWX does, and in which we crash at the first failure.
CRASHING = '''\
DOCUMENTATION = """
name: crashing
type: stdout
short_description: crashes
extends_documentation_fragment: [default_callback, result_format_callback]
"""
from ansible_collections.banking.platform.plugins.callback import progress

class CallbackModule(progress.CallbackModule):
    CALLBACK_NAME = "crashing"
    def next_step(self, result):
        raise RuntimeError("our own fault")
'''


@pytest.fixture
def project(tmp_path):
    """A folder with an inventory of three hosts that are all this machine, an action, and no ansible.cfg of ours."""
    for name, text in {
        "hosts.yml": HOSTS,
        "action_plugins/converge_like.py": ACTION,
        "callbacks/crashing.py": CRASHING,
        # What lies in the user's folder of collections must not shadow the clone.
        "ansible.cfg": "[defaults]\ncollections_path = none\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def environment(project: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("ANSIBLE_")}
    return kept | {
        "ANSIBLE_CONFIG": str(project / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(project / "callbacks"),
        "ANSIBLE_STDOUT_CALLBACK": "banking.platform.progress",
        "ANSIBLE_LOCAL_TEMP": str(project / "tmp"),
        "TERM": "xterm-256color",
        **more,
    }


def command(project: Path, plays: str, *arguments: str) -> list[str]:
    (project / "site.yml").write_text(plays)
    playbook = Path(sys.executable).with_name("ansible-playbook")
    return [str(playbook), "-i", "hosts.yml", "site.yml", *arguments]


def run_piped(project: Path, plays: str, *arguments: str, code: int = 0, **more: str) -> str:
    """The output of a run without a terminal."""
    done = subprocess.run(
        command(project, plays, *arguments), cwd=project, env=environment(project, **more), check=False, timeout=60,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    return done.stdout


def run_on_terminal(project: Path, plays: str, columns: int, **more: str) -> str:
    """All that a run writes to a terminal of so many columns."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with subprocess.Popen(
        command(project, plays), cwd=project, env=environment(project, **more), stdin=side, stdout=side, stderr=side
    ):
        os.close(side)
        written = b""
        try:
            while data := os.read(main, 65536):
                written += data
        except OSError:
            pass  # how Linux says that the other side is closed
    os.close(main)
    return written.decode()


def screen(written: str) -> list[str]:
    """The lines that are left on a terminal in the end."""
    lines = [line.rsplit("\r\x1b[2K", 1)[-1].strip("\r") for line in written.split("\n")]
    return [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]


PLAYS = """\
- name: Nodes
  hosts: node
  gather_facts: false
  tasks:
    - name: Converge
      converge_like:
    - name: Loop
      ansible.builtin.raw: "true"
      loop: [one, two]
      changed_when: item == 'two'
      when: inventory_hostname == 'cp-a1'
    - name: Secret
      ansible.builtin.raw: echo {{ item }}
      loop: [hunter1, hunter2]
      no_log: true
      run_once: true
    - name: Ask
      ansible.builtin.debug: {msg: [first, second]}
      run_once: true
    - name: Ignored
      ansible.builtin.raw: "false"
      changed_when: false
      ignore_errors: true
      run_once: true
    - name: Guarded
      block:
        - name: Included
          ansible.builtin.include_tasks: inner.yml
      rescue:
        - name: Rescue
          ansible.builtin.meta: noop
"""
INNER = """\
- name: Inner
  ansible.builtin.fail: {msg: "{{ {'msg': 'nested'} | to_json }}"}
  when: inventory_hostname == 'worker-a1'
"""


def test_plain_output(project):
    (project / "inner.yml").write_text(INNER)
    out = run_piped(project, PLAYS)
    lines = out.splitlines()
    assert "\x1b" not in out
    assert "\r" not in out
    assert lines[0] == "[1/1] Nodes: 3 hosts"
    for host in ("cp-a1    ", "worker-a1", "worker-b1"):
        assert f"  changed  {host}  Converge: 3 files, 1 unit restarted" in lines
    assert "  changed  cp-a1      Loop: two" in lines
    assert "  changed  cp-a1      Secret" in lines
    assert "hunter" not in out
    assert out.count("[WARNING]: a warning") == 1
    assert "  info  cp-a1      Ask: first\n      second\n" in out
    assert "FAILED (ignored)  cp-a1  Ignored\n  at       site.yml:" in out
    assert "FAILED (rescued)  worker-a1  Inner\n  at       inner.yml:1\n  error    nested\n" in out
    assert "run again" not in out
    assert re.search(r"^site.yml: done in [0-9.]+s, 3 hosts, 5 changed$", out, re.M)
    assert (project / "build" / project.name / "timings.json").is_file()


FAILING = """\
- name: Nodes
  hosts: node
  gather_facts: false
  tasks:
    - name: Break
      converge_like: {fail: true}
      when: inventory_hostname == 'cp-a1'
    - name: Undefined
      ansible.builtin.debug:
        msg: "{{ not_there }}"
      when: inventory_hostname == 'worker-a1'
    - name: Away
      ansible.builtin.ping:
      vars: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}
      when: inventory_hostname == 'worker-b1'
"""
BROKEN = """\
FAILED  cp-a1  Break
  at       site.yml:5
  error    first line
           second line
  plan     create file /f0
           create file /f1
           create file /f2
           restart unit x.service
  journal  a line
  next     do this
"""


def test_failures_are_whole(project):
    out = run_piped(project, FAILING, code=4)
    assert BROKEN in out
    assert "FAILED  worker-a1  Undefined\n  at       site.yml:8\n" in out
    assert "'not_there' is undefined\n  source   Origin: " in out
    assert "UNREACHABLE  worker-b1  Away\n  at       site.yml:12\n  error    Task failed: Failed to connect" in out
    again = "ansible-playbook site.yml -i hosts.yml --limit"
    assert f"  next     fix the cause, then: {again} worker-b1\n" in out
    assert "to leave out what comes before: --start-at-task Away\n" in out
    assert out.rstrip().endswith(f"run again: {again} cp-a1,worker-a1,worker-b1")
    assert not list(project.rglob("timings.json"))


def test_verbose_is_the_default_callback_and_our_failures(project):
    out = run_piped(project, FAILING, "-v", code=4)
    assert "TASK [Break] ***" in out
    assert "fatal: [cp-a1]: FAILED! => {" in out
    assert BROKEN in out
    assert "PLAY RECAP ***" in out
    assert "still running" not in out


def test_a_crash_of_ours_hides_no_failure(project):
    out = run_piped(project, FAILING, code=4, ANSIBLE_STDOUT_CALLBACK="crashing")
    assert "progress callback: v2_runner_on_failed: RuntimeError: our own fault; the default output follows" in out
    assert 'fatal: [worker-a1]: FAILED! => {"changed": false, "msg": "Task failed:' in out or "next_step" in out
    assert "fatal: [worker-b1]: UNREACHABLE! =>" in out
    assert "PLAY RECAP ***" in out


def test_check_and_diff(project):
    plays = PLAYS.split("    - name: Loop", maxsplit=1)[0]
    out = run_piped(project, plays, "--check", "--diff", "--limit", "cp-a1")
    assert out.startswith("Check mode: nothing will be changed\n")
    assert "  diff  cp-a1  Converge\n--- before: /f0\n+++ after: /f0\n@@ -1 +1 @@\n-old\n+new\n" in out
    assert "  deferred  cp-a1  Converge: 1 step: unit x.service: package x\n" in out
    assert "  would change  cp-a1  Converge: 3 files, 1 unit restarted\n" in out
    assert out.rstrip().endswith("Check mode: nothing was changed")


SLOW = """\
- name: Batches
  hosts: node
  gather_facts: false
  serial: 2
  tasks:
    - name: Wait
      ansible.builtin.raw: sleep {{ 1.9 if inventory_hostname == 'cp-a1' else 0.1 }}
      register: wait
      changed_when: inventory_hostname == 'cp-a1'
- name: Free
  hosts: node
  gather_facts: false
  strategy: ansible.builtin.free
  tasks:
    - name: Leave
      ansible.builtin.meta: end_host
      when: inventory_hostname == 'cp-a1'
    - name: Until
      ansible.builtin.raw: "false"
      register: tried
      until: tried.rc == 0
      retries: 2
      delay: 0
      failed_when: false
      changed_when: false
      when: inventory_hostname == 'worker-a1'
"""


def test_batches_free_retries_and_heartbeat(project):
    out = run_piped(project, SLOW, PLATFORM_PROGRESS_HEARTBEAT="1")
    assert "[1/2] Batches (batch 1 to 2 of 3): 2 hosts\n" in out
    assert "[1/2] Batches (batch 3 to 3 of 3): done, 1 host, 1 task, " in out
    assert re.search(r"^  still running for [12]s: Wait on cp-a1, 1 host done$", out, re.M)
    assert re.search(r"^  retrying  worker-a1  Until: \d attempts at most$", out, re.M)
    assert "[2/2] Free: done, 3 hosts, " in out


def test_live_line(project):
    # The first time on a narrow terminal without colours, and without an estimate.
    written = run_on_terminal(project, SLOW, 30, NO_COLOR="1")
    drawn = re.findall(r"(\[\d/\d\] [^\r\n]*)\r\x1b\[2K", written)
    assert drawn
    assert max(map(len, drawn)) < 30
    assert not re.search(r"\x1b\[[0-9;]*m", written)

    written = run_on_terminal(project, SLOW, 100)
    assert re.search(r"\(batch 1 to 2 of 3\)  1/2 hosts  task 1/1  \ds  about \ds left.*  Wait on cp-a1", written)
    assert "\x1b[0;33m  changed" in written
    # Nothing of the live line is left, and a stage in which nothing changed is one line.
    left = screen(written)
    assert "  changed  cp-a1      Wait" in left
    assert [re.sub(r"[0-9.]+s", "Ns", line) for line in left if line.startswith("[")] == [
        "[1/2] Batches (batch 1 to 2 of 3): 2 hosts",
        "[1/2] Batches (batch 1 to 2 of 3): done, 2 hosts, 1 task, Ns, 1 changed",
        "[1/2] Batches (batch 3 to 3 of 3): done, 1 host, 1 task, Ns",
        "[2/2] Free: 3 hosts",
        "[2/2] Free: done, 3 hosts, 2 tasks, Ns",
    ]
