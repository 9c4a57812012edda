# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the progress callback says, from what has happened: no Ansible run, no terminal."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible import constants as C
from ansible.utils.display import get_text_width

from ansible_collections.banking.platform.plugins.callback.progress import Timings, command_line, live_wanted
from ansible_collections.banking.platform.plugins.plugin_utils import progress as ui
from ansible_collections.banking.platform.plugins.plugin_utils.progress import Failure, Run, Stage

HOSTS = ["cp-a1", "worker-a1", "worker-b1"]
LAST = [("Preflight", [("Prove", 3.0)]), ("Nodes", [("A", 10.0), ("B", 20.0), ("C", 5.0)]), ("Cluster", [("D", 60.0)])]


def run_in_stage(**kwargs) -> Run:
    """A run that began at 0 and whose second of three stages, Nodes, began at 100."""
    run = Run("site.yml", 0.0, 3, **kwargs)
    run.stages += [Stage("Preflight", 1, HOSTS[:], 0.0), Stage("Nodes", 2, HOSTS[:], 100.0)]
    return run


def stats(**counts) -> dict[str, int]:
    return dict.fromkeys(("ok", "changed", "failures", "unreachable", "skipped", "rescued", "ignored"), 0) | counts


# -- words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.6, "1m 00s"),
        (3599, "59m 59s"),
        (3600, "1h 00m"),
    ],
)
def test_span(seconds, text):
    assert ui.span(seconds) == text


def test_count_and_some():
    assert [ui.count(1, "host"), ui.count(2, "host"), ui.count(2, "directory")] == [
        "1 host",
        "2 hosts",
        "2 directories",
    ]
    assert ui.some(["a", "b", "c"], 2) == "a, b and 1 more"
    assert ui.some(["a", "b"], 2) == "a, b"


def test_clean_leaves_no_control_characters():
    assert ui.clean("a\x1b[31mb\nc\x07") == "a [31mb c "


def test_cut_counts_columns_not_characters():
    assert ui.cut("abcdef", 6) == "abcdef"
    assert ui.cut("abcdef", 4) == "abc~"
    assert ui.cut("日本語", 5) == "日本~"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\nb\n", "a\nb"),
        ({"msg": "inner", "failed": True}, "inner"),
        ('{"msg": "inner"}', "inner"),
        ("{not json", "{not json"),
        (["a", {"b": 1}], "a\nb: 1"),
        (None, "None"),
    ],
)
def test_plain(value, text):
    assert ui.plain(value) == text


def test_table_aligns():
    assert ui.table([["host", "ok"], ["a", "12"]], left=0) == ["host  ok", "a     12"]


# -- the stage that runs


def test_estimate_goes_by_the_tasks_that_are_left():
    run = run_in_stage(last=LAST)
    run.begin("1", "A", 100.0)
    assert ui.remaining(run, 104.0) == (6.0 + 25.0, 31.0 + 60.0)
    run.begin("2", "B", 104.0)
    assert ui.remaining(run, 109.0) == (15.0 + 5.0, 20.0 + 60.0)


def test_estimate_of_a_task_that_takes_longer_is_what_comes_after_it():
    run = run_in_stage(last=LAST)
    run.begin("2", "B", 100.0)
    assert ui.remaining(run, 500.0) == (5.0, 65.0)


def test_no_estimate_without_a_record_of_this_stage():
    assert ui.remaining(run_in_stage(), 101.0) is None
    run = run_in_stage(last=LAST)
    run.stage.name = "Renamed"
    assert ui.remaining(run, 101.0) is None


def test_a_new_task_does_not_move_the_estimate():
    run = run_in_stage(last=LAST)
    run.begin("1", "A", 100.0)
    run.begin("2", "Not there last time", 110.0)
    assert ui.remaining(run, 115.0) == (25.0, 85.0)


def test_tasks_of_the_same_name_count_one_by_one():
    known = [("A", 1.0), ("B", 1.0), ("A", 1.0), ("C", 1.0)]
    assert [ui.after(names, known) for names in ([], ["A"], ["A", "A"], ["A", "A", "B"])] == [0, 1, 3, 3]


def test_live_line_says_where_the_run_is():
    run = run_in_stage(last=LAST)
    run.begin("1", "A", 100.0)
    for host in HOSTS:
        run.begin_on("1", host, 100.0)
    run.end_on("1", "cp-a1", 103.0)
    assert ui.live_line(run, 104.0, 120) == (
        "[2/3] Nodes  1/3 hosts  task 1/3  4s  about 31s left (run: 1m 31s)  A on worker-a1, worker-b1"
    )


def test_live_line_without_estimate_and_with_failures():
    run = run_in_stage()
    run.begin("1", "A", 100.0)
    run.gone.add("cp-a1")
    run.stage.failed = 1
    assert ui.live_line(run, 104.0, 120) == "[2/3] Nodes  1 failed  0/2 hosts  task 1  4s  A"


def test_live_line_of_a_task_that_runs_once_and_is_retried():
    run = run_in_stage()
    run.begin("1", "A", 100.0, run_once=True)
    assert run.retry("1", "cp-a1", 5)
    assert not run.retry("1", "cp-a1", 5)
    assert ui.live_line(run, 104.0, 120) == "[2/3] Nodes  0/1 host  task 1  4s  A (attempt 3)"


def test_live_line_of_strategy_free_counts_busy_hosts():
    run = run_in_stage()
    run.stage.lockstep = False
    run.begin("1", "A", 100.0)
    run.begin_on("1", "cp-a1", 100.0)
    assert "1 of 3 hosts busy" in ui.live_line(run, 104.0, 120)


def test_live_line_fits_any_width():
    run = run_in_stage(last=LAST)
    run.begin("1", "A task with a long name and ümläuts 日本語 " * 3, 100.0)
    assert [width for width in range(200) if get_text_width(ui.live_line(run, 104.0, width)) > width] == []


def test_narrow_live_line_keeps_what_matters():
    run = run_in_stage(last=LAST)
    run.begin("1", "A", 100.0)
    assert ui.live_line(run, 104.0, 30) == "[2/3] Nodes  0/3 hosts  4s"


def test_stage_lines():
    run = run_in_stage()
    run.stage.lost, run.stage.hosts = 1, HOSTS[:2]
    assert ui.stage_start(run) == ("[2/3] Nodes: 2 hosts (1 failed before)", "")
    assert ui.stage_end(run, 190.0) == ("[2/3] Nodes: done, 2 hosts, 0 tasks, 1m 30s", "OK")
    run.stage.changed, run.stage.failed = 4, 1
    assert ui.stage_end(run, 190.0) == ("[2/3] Nodes: failed, 2 hosts, 0 tasks, 1m 30s, 4 changed, 1 failed", "ERROR")


def test_heartbeat_comes_once_an_interval():
    run = run_in_stage()
    run.begin("1", "A", 100.0)
    run.begin_on("1", "cp-a1", 100.0)
    run.begin_on("1", "worker-a1", 100.0)
    run.end_on("1", "worker-a1", 120.0)
    run.retry("1", "cp-a1", 10)
    assert ui.heartbeats(run, 129.0, 30) == []
    assert ui.heartbeats(run, 131.0, 30) == [
        ("  still running for 31s: A on cp-a1, attempt 2 of 10, 1 host done", "VERBOSE")
    ]
    assert ui.heartbeats(run, 140.0, 30) == []
    assert len(ui.heartbeats(run, 161.0, 30)) == 1


def test_no_heartbeat_before_the_first_stage():
    assert ui.heartbeats(Run("site.yml", 0.0), 100.0, 30) == []


def test_a_host_whose_errors_were_cleared_is_back():
    run = run_in_stage()
    run.stage.hosts.remove("cp-a1")
    run.gone.add("cp-a1")
    run.begin("1", "A", 100.0)
    run.begin_on("1", "cp-a1", 101.0)
    assert "cp-a1" in run.stage.hosts
    assert not run.gone


def test_plan_counts():
    actions = ["file create", "file update", "file none", "directory delete", "unit restart"]
    plan = [dict(zip(("kind", "action"), action.split(), strict=True)) for action in actions] + ["not a step"]
    assert ui.plan_counts(plan) == "2 files, 1 directory removed, 1 unit restarted"


# -- failures


def test_details_never_cut_the_message():
    message = "\n".join(f"line {n} " + "x" * 300 for n in range(100))
    assert ui.details({"msg": message}) == [("error", message)]


def test_details_of_a_command():
    found = ui.details(
        {"msg": "non-zero return code", "rc": 3, "cmd": ["sh", "-c", "exit 3"], "stderr": "no", "stdout": "out"}
    )
    assert found == [
        ("error", "non-zero return code"),
        ("command", "sh -c 'exit 3' (exit code 3)"),
        ("stderr", "no"),
        ("stdout", "out"),
    ]


def test_details_keep_the_tail_of_an_output_and_say_so():
    text = dict(ui.details({"msg": "m", "stderr": "\n".join(map(str, range(30)))}))["stderr"]
    assert text.splitlines()[0] == "(10 lines before these, see them with -v)"
    assert text.splitlines()[1:] == [str(n) for n in range(10, 30)]


def test_details_do_not_say_twice_what_the_message_says():
    assert ui.details({"msg": "bad node", "stderr": "ode"}) == [("error", "bad node"), ("stderr", "ode")]
    assert ui.details({"msg": "failed: no such host", "stderr": "no such host\n"}) == [
        ("error", "failed: no such host")
    ]


def test_details_of_a_plan_that_stopped_half_way():
    plan = [
        {"kind": "file", "target": "/a", "action": "update", "state": "put back"},
        {"kind": "unit", "target": "x.service", "action": "restart", "state": "failed", "note": "/a"},
        {"kind": "file", "target": "/b", "action": "create", "state": "not done"},
        {"kind": "file", "target": "/c", "action": "none"},
    ]
    assert ui.details({"msg": "m", "plan": plan, "journal": ["one", "two"]}) == [
        ("error", "m"),
        ("plan", "update file /a: put back\nrestart unit x.service: failed: /a\nnot done: 1 file"),
        ("journal", "one\ntwo"),
    ]


def test_details_of_an_assertion():
    found = ui.details({"msg": "Assertion failed", "assertion": "a == 1", "evaluated_to": False})
    assert ("asserted", "a == 1, which is False") in found


def test_origin_shows_the_deepest_place_that_is_not_the_task_itself():
    def event(context, chain=None, help_text=None):
        chain = SimpleNamespace(event=chain) if chain else None
        return SimpleNamespace(formatted_source_context=context, help_text=help_text, chain=chain)

    assert ui.origin(None) == []
    assert ui.origin(SimpleNamespace(event=event("task", event("task")))) == []
    deep = event("task", event("args", event("line 2", help_text="look there")))
    assert ui.origin(SimpleNamespace(event=deep)) == [("source", "line 2"), ("help", "look there")]


def test_failure_block():
    failure = Failure("worker-b2", "containerd : Converge", "roles/containerd/tasks/main.yml:3",
                      [("error", "config rejected:\nline 14"), ("next", "fix it")])  # fmt: skip
    text, color = ui.failure_block(failure)
    assert color == "ERROR"
    assert text.splitlines() == [
        "FAILED  worker-b2  containerd : Converge",
        "  at       roles/containerd/tasks/main.yml:3",
        "  error    config rejected:",
        "           line 14",
        "  next     fix it",
    ]


@pytest.mark.parametrize(
    ("unreachable", "mark", "word", "color"),
    [
        (True, "", "UNREACHABLE  ", "UNREACHABLE"),
        (False, "ignored", "FAILED (ignored)  ", "WARN"),
        (False, "rescued", "FAILED (rescued)  ", "WARN"),
    ],
)
def test_failure_block_says_which_kind(unreachable, mark, word, color):
    text, shown = ui.failure_block(Failure("h", "s", "p", [], unreachable, mark))
    assert text.startswith(word)
    assert shown == color


# -- the end


def test_recap_of_a_run_that_went_well():
    run = run_in_stage()
    run.begin("1", "A", 100.0)
    for host, seconds in (("cp-a1", 2.0), ("worker-a1", 30.0)):
        run.begin_on("1", host, 100.0)
        run.end_on("1", host, 100.0 + seconds)
    run.begin("2", "B", 100.0)
    run.begin_on("2", "cp-a1", 100.0)
    run.end_on("2", "cp-a1", 101.0)
    texts = [
        text
        for text, _colour in ui.recap(run, {"worker-a1": stats(ok=3), "cp-a1": stats(ok=12, changed=1)}, 130, 5, "x")
    ]
    assert texts == [
        "",
        "host       ok  changed  failed  unreachable  skipped  time",
        "cp-a1      12        1       0            0        0  3.0s",
        "worker-a1   3        0       0            0        0   30s",
        "",
        "longest  total  hosts  slowest steps",
        "    30s    32s      2  A (longest on worker-a1)",
        "   1.0s   1.0s      1  B (on cp-a1)",
        "",
        "site.yml: done in 2m 10s, 2 hosts, 1 changed",
    ]


def test_recap_of_a_run_that_failed():
    run = run_in_stage()
    run.failures = [
        Failure("cp-a1 -> localhost", "A", "a.yml:1", []),
        Failure("worker-a1", "B", "b.yml:1", [], unreachable=True),
        Failure("worker-b1", "C", "c.yml:1", [], mark="rescued"),
    ]
    texts = [
        text for text, _colour in ui.recap(run, {"cp-a1": stats(failures=1, ignored=1)}, 130, 0, "ansible-playbook x")
    ]
    assert "rescued" not in texts[1]
    assert texts[1].split() == ["host", "ok", "changed", "failed", "unreachable", "skipped", "ignored", "time"]
    assert texts[-4:] == [
        "failed: cp-a1 -> localhost  A  a.yml:1",
        "unreachable: worker-a1  B  b.yml:1",
        "site.yml: failed in 2m 10s, 1 host, 0 changed, 2 hosts failed or unreachable",
        "run again: ansible-playbook x --limit cp-a1,worker-a1",
    ]


def test_recap_in_check_mode_counts_what_was_deferred():
    run = run_in_stage(check=True, changed_in_check=1)
    run.deferred["cp-a1"] = 2
    texts = [text for text, _colour in ui.recap(run, {"cp-a1": stats(changed=3)}, 130, 0, "x")]
    assert texts[1].split() == "host ok would change failed unreachable skipped deferred time".split()
    assert texts[-3:] == [
        "site.yml: done in 2m 10s, 1 host, 3 would change",
        "2 steps deferred: what they need comes from an earlier step or stage",
        "Check mode: nothing was changed, apart from what 1 with check_mode: false did",
    ]


# -- around it


@pytest.mark.parametrize(
    ("option", "terminal", "environment", "wanted"),
    [
        ("auto", True, {"TERM": "xterm"}, True),
        ("auto", False, {"TERM": "xterm"}, False),
        ("auto", True, {"TERM": "dumb"}, False),
        ("auto", True, {}, False),
        ("auto", True, {"TERM": "xterm", "CI": "true"}, False),
        ("auto", True, {"TERM": "xterm", "AWX_ISOLATED_DATA_DIR": "/runner"}, False),
        ("always", False, {}, True),
        ("never", True, {"TERM": "xterm"}, False),
    ],
)
def test_live_wanted(option, terminal, environment, wanted):
    assert live_wanted(option, terminal, environment) is wanted


def test_command_line_hides_values_and_leaves_the_limit_to_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli = {"args": (str(tmp_path / "site.yml"),), "inventory": (str(tmp_path / "inventories/lab"),), "subset": "cp-a1",
           "check": True, "tags": ("node", "etcd"), "skip_tags": (), "start_at_task": "x",
           "extra_vars": ("password=hunter2", "@vars.yml")}  # fmt: skip
    assert (
        command_line(cli) == "ansible-playbook site.yml -i inventories/lab --tags node,etcd --check -e ... -e @vars.yml"
    )


def test_timings_are_kept_a_kind_of_run(tmp_path):
    cli = {"inventory": ("/x/inventories/lab",), "tags": ("all",)}
    timings = Timings("/x/site.yml", cli, str(tmp_path))
    assert timings.load() == []
    timings.save(LAST)
    assert Timings("/x/site.yml", cli, str(tmp_path)).load() == LAST
    assert Timings("/x/site.yml", {"inventory": ("/x/inventories/lab/hosts.yml",)}, str(tmp_path)).load() == LAST
    assert Timings("/x/site.yml", cli | {"check": True}, str(tmp_path)).load() == []
    assert Timings("/x/site.yml", {"inventory": ("/x/inventories/prod/hosts.yml",)}, str(tmp_path)).load() == []
    assert [path.parent.name for path in tmp_path.rglob("timings.json")] == ["lab"]


def test_timings_of_a_playbook_without_a_project_are_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(C, "CONFIG_FILE", "/etc/ansible/ansible.cfg")
    one = Timings("/x/site.yml", {"inventory": ("/x/lab",)}, None).path
    other = Timings("/x/site.yml", {"inventory": ("/y/lab",)}, None).path
    assert one.parent.parent == tmp_path / "banking.platform"
    assert one != other
    monkeypatch.setattr(C, "CONFIG_FILE", "/x/ansible.cfg")
    assert Timings("/x/site.yml", {"inventory": ("/x/lab",)}, None).path == Path("/x/build/lab/timings.json")


@pytest.mark.parametrize("content", ["", "[]", "{", '{"site.yml {}": [["a"]]}', '{"site.yml {}": 1}', "\x00"])
def test_a_broken_record_is_no_record(tmp_path, content):
    timings = Timings("/x/site.yml", {"inventory": ("lab",)}, str(tmp_path))
    timings.path.parent.mkdir()
    timings.path.write_text(content)
    assert timings.load() == []
    timings.save(LAST)
    assert timings.load() == LAST


def test_a_record_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    Timings("/x/site.yml", {}, str(tmp_path / "file")).save(LAST)


def test_timings_do_not_grow_without_end(tmp_path):
    for number in range(30):
        Timings("/x/site.yml", {"subset": str(number)}, str(tmp_path)).save(LAST)
    (path,) = Path(tmp_path).rglob("timings.json")
    assert len(json.loads(path.read_text())) == 20
