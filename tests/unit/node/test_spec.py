# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What converge may be asked for: one error that names the parameter and the fix, before anything is sent to a node."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.node.spec import check_path, complete, nearest
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

from .conftest import wish


def failure_of(**parameters: Any) -> str:
    with pytest.raises(Failure) as caught:
        wish(**parameters)
    return f"{caught.value.cause} - next: {caught.value.next_step}"


class TestPaths:
    @pytest.mark.parametrize("parameter", ["files", "directories", "links", "absent"])
    def test_that_are_relative_are_refused_with_the_absolute_one(self, parameter: str) -> None:
        value: Any = ["etc/x/y"] if parameter == "absent" else {"etc/x/y": {}}
        said = failure_of(**{parameter: value})
        assert said == f"{parameter}: 'etc/x/y' is not an absolute path - next: write it as '/etc/x/y'"

    @pytest.mark.parametrize(
        ("path", "better"),
        [
            ("/etc/../etc/x", "/etc/x"),
            ("/etc//x", "/etc/x"),
            ("//etc/x", "/etc/x"),
            ("/etc/./x", "/etc/x"),
            ("/etc/x/..", "/etc"),
        ],
    )
    def test_that_are_not_normal_are_refused_with_the_normal_one(self, path: str, better: str) -> None:
        assert failure_of(files={path: {}}) == f"files: {path!r} is not a normal path - next: write it as {better!r}"

    @pytest.mark.parametrize("path", ["/", 7, None, ""])
    def test_that_are_no_paths_are_refused(self, path: Any) -> None:
        with pytest.raises(Failure, match="the tree"):
            check_path("the tree", path)

    @pytest.mark.parametrize("parameter", ["files", "links"])
    def test_of_files_and_links_do_not_end_with_a_slash(self, parameter: str) -> None:
        said = failure_of(**{parameter: {"/etc/x/": {}}})
        assert said == f"{parameter}: '/etc/x/' is the path of a directory - next: write it as '/etc/x'"

    def test_of_directories_may_end_with_a_slash(self) -> None:
        assert list(wish(directories={"/etc/x/": {}})["directories"]) == ["/etc/x"]
        assert wish(absent=["/etc/x/"])["absent"] == ["/etc/x"]

    @pytest.mark.parametrize("path", ["/", "/etc", "/etc/", "/usr"])
    def test_directly_below_the_root_are_never_removed(self, path: str) -> None:
        assert failure_of(absent=[path]).startswith("absent: ")

    def test_of_units_are_checked_too(self) -> None:
        said = failure_of(units={"x.service": {"restart_on": ["etc/x"]}})
        assert said.startswith("units[x.service].restart_on: 'etc/x' is not an absolute path")


class TestTheSamePathTwice:
    @pytest.mark.parametrize(
        "parameters",
        [
            {"files": {"/etc/x/y": {}}, "links": {"/etc/x/y": "/z"}},
            {"files": {"/etc/x/y": {}}, "directories": {"/etc/x/y": {}}},
            {"links": {"/etc/x/y": "/z"}, "directories": {"/etc/x/y/": {}}},
            {"absent": ["/etc/x/y"], "links": {"/etc/x/y": "/z"}},
            {"absent": ["/etc/x/y"], "directories": {"/etc/x/y": {}}},
            {"links": {"/etc/x/y": "/z"}, "artifacts": {"a": {"links": {"/etc/x/y": "bin"}}}},
            {"artifacts": {"a": {"links": {"/etc/x/y": "b"}}, "b": {"links": {"/etc/x/y": "b"}}}},
        ],
    )
    def test_as_different_things_is_refused(self, parameters: dict[str, Any]) -> None:
        assert "/etc/x/y is asked for twice, in " in failure_of(**parameters)

    def test_in_absent_and_files_is_fine_since_absent_wins(self) -> None:
        wish(absent=["/etc/x/y"], files={"/etc/x/y": {"mode": "0600"}})

    @pytest.mark.parametrize("parameter", ["directories", "links"])
    def test_below_one_that_is_absent_is_refused(self, parameter: str) -> None:
        said = failure_of(absent=["/etc/x"], **{parameter: {"/etc/x/y": {} if parameter == "directories" else "/z"}})
        assert (
            said == f"/etc/x/y, asked for in {parameter}, lies below /etc/x, which is absent - next: keep one of them"
        )


class TestKeysAndTypes:
    @pytest.mark.parametrize(
        ("parameters", "said"),
        [
            (
                {"files": {"/etc/x": {"onwer": "root"}}},
                "files[/etc/x]: unknown key 'onwer' - next: did you mean 'owner'?",
            ),
            (
                {"units": {"x.service": {"restarts_on": []}}},
                "units[x.service]: unknown key 'restarts_on' - next: did you mean 'restart_on'?",
            ),
            (
                {"units": {"x.service": {"ready": {"comand": "true"}}}},
                "units[x.service].ready: unknown key 'comand' - next: did you mean 'command'?",
            ),
            (
                {"directories": {"/etc/x": {"zzz": 1}}},
                "directories[/etc/x]: unknown key 'zzz' - next: known are group, mode, owner, purge",
            ),
            (
                {"units": {"x.service": {"state": "running"}}},
                "units[x.service]: state is 'running' - next: it may be started or stopped",
            ),
            (
                {"units": {"x.service": {"enabled": "yes"}}},
                "units[x.service]: enabled is 'yes' - next: give it as true or false",
            ),
            (
                {"units": {"x.service": {"restart_on": "/etc/x"}}},
                "units[x.service]: restart_on is '/etc/x' - next: give it as a list",
            ),
            (
                {"units": {"x.service": {"ready": "true"}}},
                "units[x.service]: ready is 'true' - next: give it as a mapping",
            ),
            (
                {"units": {"x.service": {"ready": {"command": "true", "timeout": "30"}}}},
                "units[x.service].ready: timeout is '30' - next: give it as a number",
            ),
            (
                {"units": {"x.service": {"ready": {"timeout": 3}}}},
                "units[x.service].ready: no command - next: give the command that exits with 0 once the unit is ready",
            ),
            (
                {"units": {"haproxy": {}}},
                "units[haproxy]: not the full name of a unit - next: write it with its suffix, as 'haproxy.service'",
            ),
            ({"files": {"/etc/x": {"mode": 420}}}, "files[/etc/x]: mode is 420 - next: give it as text in quotes"),
            (
                {"files": {"/etc/x": {"mode": "0888"}}},
                "files[/etc/x]: mode '0888' is not octal - next: write it as '0644'",
            ),
            (
                {"files": {"/etc/x": {"mode": "u=rw"}}},
                "files[/etc/x]: mode 'u=rw' is not octal - next: write it as '0644'",
            ),
            ({"files": {"/etc/x": ["0644"]}}, "files[/etc/x]: ['0644'] is not a mapping - next: write it as {"),
            (
                {"sysctl": {"a.b": True}},
                "sysctl[a.b]: True is neither a number nor text - next: give it as sysctl prints it",
            ),
            ({"sysctl": {"a.b": 0.5}}, "sysctl[a.b]: 0.5 is neither"),
            ({"unavailable": {"module": []}}, "unavailable: unknown key 'module' - next: did you mean 'modules'?"),
            (
                {"units": {"x.service": {"masked": True, "enabled": True}}},
                "units[x.service]: masked, and started or enabled as well - next: keep one of them",
            ),
            (
                {"units": {"x.service": {"check": "haproxy -c 'x"}}},
                'units[x.service].check: "haproxy -c \'x" cannot be split into words: No closing quotation - next: ',
            ),
            (
                {"files": {"/etc/x": {"validate": "haproxy -c '%s"}}},
                'files[/etc/x].validate: "haproxy -c \'%s" cannot be split into words: No closing quotation',
            ),
            (
                {"files": {"/etc/x": {"validate": "haproxy -c"}}},
                "files[/etc/x]: validate is 'haproxy -c' - next: write %s where the path of the new file goes",
            ),
            ({"files": {"/etc/x": {"template": "a", "content": "b"}}}, "files[/etc/x]: both template and content"),
            ({"files": {"/etc/x": {"vars": {"a": 1}}}}, "files[/etc/x]: vars without a template"),
        ],
    )
    def test_that_are_wrong_are_named_with_the_fix(self, parameters: dict[str, Any], said: str) -> None:
        assert failure_of(**parameters).startswith(said)

    def test_of_secrets_are_not_repeated(self) -> None:
        assert "12345678" not in failure_of(files={"/etc/x": {"content": 12345678}})

    @pytest.mark.parametrize(
        "unit", ["a.service", "a@.service", "a@b-c.timer", "srv-data.mount", r"dev-disk\x2d1.swap", "a:b.socket"]
    )
    def test_of_units_may_have_names_as_systemd_takes_them(self, unit: str) -> None:
        assert list(wish(units={unit: {}})["units"]) == [unit]

    @pytest.mark.parametrize("unit", ["../../etc/x.service", "a b.service", "a.services", ".service.d", "-x.service/y"])
    def test_of_units_may_not_be_anything_else(self, unit: str) -> None:
        assert "not the full name of a unit" in failure_of(units={unit: {}})


class TestWhatIsCompleted:
    def test_modes_have_four_digits(self) -> None:
        assert wish(files={"/etc/x": {"mode": "644"}})["files"]["/etc/x"]["mode"] == "0644"

    def test_owners_may_be_numbers(self) -> None:
        assert wish(files={"/etc/x": {"owner": 0, "group": 10}})["files"]["/etc/x"] == {"owner": "0", "group": "10"}

    def test_options_may_be_left_empty(self) -> None:
        assert wish(files={"/etc/x": None})["files"] == {"/etc/x": {}}
        assert wish(files={"/etc/x": {"mode": None}})["files"] == {"/etc/x": {}}

    def test_values_of_sysctls_are_text_as_the_kernel_prints_it(self) -> None:
        assert wish(sysctl={"a": 1, "b": "1\t2  3"})["sysctl"] == {"a": "1", "b": "1 2 3"}

    def test_completing_twice_changes_nothing(self) -> None:
        once = wish(
            files={"/etc/x": {"mode": "644", "owner": 0}},
            directories={"/etc/y/": {}},
            sysctl={"a": 1},
            absent=["/etc/z/"],
            units={"x.service": {"ready": {"command": "true", "timeout": 3}, "restart_on": ["/etc/x"]}},
            artifacts={"a": {"sha256": "0", "links": {"/bin/a": "a"}}},
        )
        assert complete(once) == once

    def test_the_callers_parameters_stay_as_they_are(self) -> None:
        files = {"/etc/x": {"mode": "644"}}
        wish(files=files)
        assert files == {"/etc/x": {"mode": "644"}}


def test_an_unknown_name_is_answered_with_the_nearest_or_with_all() -> None:
    assert nearest("contianerd", ["containerd", "runc"]) == "did you mean 'containerd'?"
    assert nearest("zzz", ["b", "a"]) == "known are a, b"
