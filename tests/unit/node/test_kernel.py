# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel modules and sysctls: running values, files for the next boot, and what a node may be without."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.node import kernel as kernel_module
from ansible_collections.banking.platform.plugins.module_utils.node.system import Completed

from .conftest import Node


def step_of(result: dict[str, Any], target: str) -> dict[str, Any]:
    return next(step for step in result["plan"] if step["target"] == target)


@pytest.fixture
def modprobe(node: Node) -> list[list[str]]:
    """A modprobe that has the modules br_netfilter and overlay; returns its calls."""
    calls: list[list[str]] = []

    def run(arguments: list[str]) -> Completed:
        calls.append(arguments)
        if arguments[-1] not in ("br_netfilter", "overlay"):
            return Completed(
                1, "", f"modprobe: FATAL: Module {arguments[-1]} not found in directory /lib/modules/6.1.0"
            )
        if arguments[0] != "--dry-run":
            node.put(f"sys/module/{arguments[-1]}/refcnt", "0")
            if arguments[-1] == "br_netfilter":
                node.put("proc/sys/net/bridge/bridge-nf-call-iptables", "0\n")
        return Completed(0, "", "")

    node.system.programs["modprobe"] = run
    return calls


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[str], str]]:
    """What the kernel makes of a value that is written to a file: by the file's name, an error or another value."""
    answers: dict[str, Callable[[str], str]] = {}
    real = kernel_module._write

    def write(path: str, value: str) -> None:
        real(path, answers.get(os.path.basename(path), str)(value))

    monkeypatch.setattr(kernel_module, "_write", write)
    return answers


def refuse(_value: str) -> str:
    raise OSError(errno.EACCES, os.strerror(errno.EACCES))


class TestModules:
    def test_are_loaded_now_and_at_boot(self, node: Node, modprobe: list[list[str]]) -> None:
        result = node.run(modules=["overlay", "br_netfilter"])
        assert modprobe[-2:] == [["overlay"], ["br_netfilter"]]
        assert node.read("etc/modules-load.d/test.conf") == "overlay\nbr_netfilter\n"
        assert step_of(result, "overlay")["after"] == {"loaded": True}
        modprobe.clear()
        assert not node.run(modules=["overlay", "br_netfilter"])["changed"]
        assert modprobe == []

    def test_that_are_loaded_are_known_under_either_spelling(self, node: Node, modprobe: list[list[str]]) -> None:
        node.put("sys/module/nf_conntrack/refcnt")
        assert step_of(node.run(modules=["nf-conntrack"]), "nf-conntrack")["action"] == "none"
        assert modprobe == []

    @pytest.mark.parametrize("line", ["kernel/fs/overlayfs/overlay.ko", "kernel/fs/overlayfs/overlay.ko.xz"])
    def test_that_are_builtin_need_no_loading(self, node: Node, modprobe: list[list[str]], line: str) -> None:
        node.put("lib/modules/6.1.0/modules.builtin", f"kernel/other/overlay_other.ko\n{line}\n")
        assert step_of(node.run(modules=["overlay"]), "overlay")["action"] == "none"
        assert modprobe == []

    @pytest.mark.parametrize("check", [True, False])
    def test_that_the_kernel_does_not_have_are_an_error_before_anything_changes(
        self, node: Node, modprobe: list[list[str]], check: bool
    ) -> None:
        before = node.listing()
        failure, _states = node.fail(check, modules=["overlay", "ip_vs"], tree={node.path("etc/x"): "x"})
        assert failure.cause.startswith(
            "kernel module ip_vs: the running kernel 6.1.0 does not have it: modprobe: FATAL"
        )
        assert "platform_unavailable.modules" in failure.next_step
        assert node.listing() == before

    def test_that_the_inventory_declares_unavailable_are_left_out_and_said(
        self, node: Node, modprobe: list[list[str]]
    ) -> None:
        result = node.run(modules=["overlay", "ip-vs"], unavailable={"modules": ["ip_vs"]})
        assert step_of(result, "ip-vs") == {
            "kind": "module", "target": "ip-vs", "action": "none",
            "note": "not available on this node, as the inventory declares",
        }  # fmt: skip
        assert node.read("etc/modules-load.d/test.conf") == "overlay\n"

    def test_that_cannot_be_loaded_are_an_error(self, node: Node) -> None:
        node.put("etc/x")
        node.system.programs["modprobe"] = lambda arguments: Completed(
            0 if arguments[0] == "--dry-run" else 1, "", "modprobe: ERROR: could not insert 'overlay': Key was rejected"
        )
        failure, states = node.fail(modules=["overlay"])
        assert "kernel module overlay: cannot be loaded" in failure.cause
        assert "Key was rejected" in failure.cause
        assert states["overlay"] == "failed"

    def test_are_not_loaded_in_check_mode(self, node: Node, modprobe: list[list[str]]) -> None:
        assert node.run(True, modules=["overlay"])["changed"]
        assert modprobe == [["--dry-run", "overlay"]]


class TestSysctl:
    def test_is_set_now_and_at_boot(self, node: Node) -> None:
        node.put("proc/sys/net/ipv4/ip_forward", "0\n")
        result = node.run(sysctl={"net.ipv4.ip_forward": 1})
        assert node.read("proc/sys/net/ipv4/ip_forward") == "1"
        assert node.read("etc/sysctl.d/60-test.conf") == "net.ipv4.ip_forward = 1\n"
        step = step_of(result, "net.ipv4.ip_forward")
        assert (step["before"], step["after"]) == ({"value": "0"}, {"value": "1"})
        before = node.listing()
        assert not node.run(sysctl={"net.ipv4.ip_forward": 1})["changed"]
        assert node.listing() == before

    def test_of_several_numbers_compares_whatever_lies_between_them(self, node: Node) -> None:
        node.put("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n")
        result = node.run(sysctl={"net.ipv4.ip_local_port_range": "32768   60999"})
        assert step_of(result, "net.ipv4.ip_local_port_range")["action"] == "none"

    def test_of_an_interface_with_a_dot_is_written_with_slashes(self, node: Node) -> None:
        node.put("proc/sys/net/ipv4/conf/eth0.100/rp_filter", "0\n")
        node.run(sysctl={"net/ipv4/conf/eth0.100/rp_filter": 1})
        assert node.read("proc/sys/net/ipv4/conf/eth0.100/rp_filter") == "1"

    def test_of_an_interface_with_a_dot_may_have_a_slash_in_place_of_it(self, node: Node) -> None:
        node.put("proc/sys/net/ipv4/conf/eth0.100/rp_filter", "0\n")
        node.run(sysctl={"net.ipv4.conf.eth0/100.rp_filter": 1})
        assert node.read("proc/sys/net/ipv4/conf/eth0.100/rp_filter") == "1"

    def test_with_a_star_is_compared_and_set_everywhere(self, node: Node) -> None:
        for interface, value in (("all", "0"), ("default", "1"), ("eth0", "1"), ("eth1", "0")):
            node.put(f"proc/sys/net/ipv4/conf/{interface}/send_redirects", f"{value}\n")
        key = "net.ipv4.conf.*.send_redirects"
        result = node.run(sysctl={key: 0})
        assert step_of(result, key)["before"] == {"value": "0, 1"}
        for interface in ("all", "default", "eth0", "eth1"):
            assert (node.read(f"proc/sys/net/ipv4/conf/{interface}/send_redirects") or "").strip() == "0"
        assert node.read("etc/sysctl.d/60-test.conf") == f"{key} = 0\n"
        assert not node.run(sysctl={key: 0})["changed"]
        node.put("proc/sys/net/ipv4/conf/eth2/send_redirects", "1\n")
        assert node.run(sysctl={key: 0})["changed"]

    @pytest.mark.parametrize("key", ["kernel.no_such", "net.ipv4.conf.*.no_such"])
    @pytest.mark.parametrize("check", [True, False])
    def test_that_the_kernel_does_not_have_is_an_error_before_anything_changes(
        self, node: Node, check: bool, key: str
    ) -> None:
        before = node.listing()
        failure, _states = node.fail(check, sysctl={key: 1})
        assert failure.cause == f"sysctl {key}: the running kernel does not have it"
        assert f"declare {key} in platform_unavailable.sysctl" in failure.next_step
        assert node.listing() == before

    def test_that_the_inventory_declares_unavailable_is_left_out_and_said(self, node: Node) -> None:
        node.put("proc/sys/kernel/panic", "0\n")
        result = node.run(sysctl={"kernel.panic": 10, "kernel.no_such": 1}, unavailable={"sysctl": ["kernel.no_such"]})
        assert step_of(result, "kernel.no_such")["note"] == "not available on this node, as the inventory declares"
        assert node.read("etc/sysctl.d/60-test.conf") == "kernel.panic = 10\n"

    def test_that_comes_with_a_module_of_this_run_is_deferred_in_check_mode_and_set_in_a_run(
        self, node: Node, modprobe: list[list[str]]
    ) -> None:
        key = "net.bridge.bridge-nf-call-iptables"
        wanted: dict[str, Any] = {"modules": ["br_netfilter"], "sysctl": {key: 1}}
        result = node.run(True, **wanted)
        assert result["deferred"] == [f"sysctl {key}: comes with a kernel module that is not loaded yet"]
        node.run(**wanted)
        assert node.read("proc/sys/net/bridge/bridge-nf-call-iptables") == "1"
        assert not node.run(**wanted)["changed"]

    def test_that_does_not_come_with_the_module_after_all_is_an_error(
        self, node: Node, modprobe: list[list[str]]
    ) -> None:
        failure, states = node.fail(modules=["overlay"], sysctl={"net.bridge.x": 1})
        assert "the kernel made nothing: it does not have it of it" not in failure.cause
        assert failure.cause == "sysctl net.bridge.x: the running kernel does not have it"
        assert states["net.bridge.x"] == "failed"

    def test_that_the_kernel_refuses_is_an_error(self, node: Node, kernel: dict[str, Callable[[str], str]]) -> None:
        node.put("proc/sys/kernel/panic", "0\n")
        kernel["panic"] = refuse
        failure, _states = node.fail(sysctl={"kernel.panic": 10})
        assert failure.cause == (
            "sysctl kernel.panic = 10: refused by the kernel: Permission denied; "
            "sysctl kernel.panic could not be put back: [Errno 13] Permission denied"
        )

    def test_that_the_kernel_clamps_is_an_error_and_the_old_value_is_back(
        self, node: Node, kernel: dict[str, Callable[[str], str]]
    ) -> None:
        node.put("proc/sys/kernel/pid_max", "32768\n")
        kernel["pid_max"] = lambda value: str(min(int(value), 65536))
        failure, states = node.fail(sysctl={"kernel.pid_max": 4194304})
        assert failure.cause == "sysctl kernel.pid_max = 4194304: the kernel made 65536 of it"
        assert node.read("proc/sys/kernel/pid_max") == "32768"
        assert states["kernel.pid_max"] == "failed"

    def test_with_a_star_of_which_one_is_refused_puts_all_back(
        self, node: Node, kernel: dict[str, Callable[[str], str]]
    ) -> None:
        for interface in ("all", "eth0"):
            node.put(f"proc/sys/net/ipv4/conf/{interface}/rp_filter", "0\n")

        def only_first(value: str) -> str:
            first = (node.read("proc/sys/net/ipv4/conf/all/rp_filter") or "").strip()
            return refuse(value) if value == "1" and first == "1" else value

        kernel["rp_filter"] = only_first
        node.fail(sysctl={"net.ipv4.conf.*.rp_filter": 1})
        assert node.read("proc/sys/net/ipv4/conf/all/rp_filter") == "0"

    def test_that_cannot_be_read_is_an_error(self, node: Node) -> None:
        Path(node.path("proc/sys/net/ipv4/route/flush")).mkdir(parents=True)
        failure, _states = node.fail(sysctl={"net.ipv4.route.flush": 1})
        assert failure.cause == "sysctl net.ipv4.route.flush: cannot be read: Is a directory"

    def test_is_not_set_in_check_mode(self, node: Node) -> None:
        node.put("proc/sys/kernel/panic", "0\n")
        before = node.listing()
        result = node.run(True, sysctl={"kernel.panic": 10})
        assert result["diff"][-1] == {
            "before_header": "kernel.panic", "after_header": "kernel.panic", "before": "0\n", "after": "10\n",
        }  # fmt: skip
        assert node.listing() == before

    def test_of_this_machine_can_be_read(self) -> None:
        from ansible_collections.banking.platform.plugins.module_utils.node.kernel import Kernel
        from ansible_collections.banking.platform.plugins.module_utils.node.system import System

        here = Kernel(System(), [], {}, [], [], False)
        assert list(here._values("kernel.osrelease").values()) == [os.uname().release]
        assert len(here._values("net.ipv4.conf.*.rp_filter")) >= 2
