# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module against a `ctr` that keeps its images in a file. (Against containerd itself: molecule/containerd.)"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan
from ansible_collections.banking.platform.plugins.modules import containerd_images
from ansible_collections.banking.platform.tests.integration.containerd import build_images

PAUSE = build_images.pause(b"a program", "registry.k8s.io/pause:3.9")
BUSYBOX = build_images.busybox(b"another")
PAUSE_NAME, BUSYBOX_NAME = "registry.k8s.io/pause:3.9", "docker.io/library/busybox:test"

# Keeps {name: digest} in state.json and says each call in calls; imports as containerd does, to a manifest of its own
# for the docker layout. With a file `broken` beside it, it fails as `ctr` does without containerd; with `deaf` it
# imports nothing.
CTR = """#!{python}
import json, pathlib, sys
sys.path[:0] = {path}
from ansible_collections.banking.platform.plugins.module_utils import image_archive
here = pathlib.Path(__file__).parent
state = json.loads((here / "state.json").read_text())
arguments = sys.argv[5:]
assert sys.argv[1:5] == ["--namespace", "k8s.io", "--connect-timeout", "10s"], sys.argv
with (here / "calls").open("a") as calls:
    calls.write(" ".join(arguments[:2]) + "\\n")
if (here / "broken").exists():
    sys.exit("ctr: failed to dial /run/containerd/containerd.sock")
if arguments[:2] == ["images", "ls"]:
    print("REF TYPE DIGEST SIZE PLATFORMS LABELS")
    for name, digest in state.items():
        print(f"{{name}} application/vnd.oci.image.manifest.v1+json {{digest}} 1.9 MiB linux/amd64 a=b")
elif arguments[:2] == ["images", "import"] and not (here / "deaf").exists():
    for image in image_archive.read(arguments[2]):
        state[image.name] = image.target or "manifest-of-" + image.config
    (here / "state.json").write_text(json.dumps(state))
elif arguments[:2] == ["content", "get"]:
    print(json.dumps({{"config": {{"digest": arguments[2].replace("manifest-of-", "")}}}}))
"""


class Node:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.archives = folder / "images"
        self.archives.mkdir()
        (folder / "state.json").write_text("{}")
        program = folder / "ctr"
        program.write_text(CTR.format(python=sys.executable, path=json.dumps(sys.path)))
        program.chmod(0o755)
        self.ctr = containerd_images.Ctr(str(program), "k8s.io", 60)

    def add(self, name: str, content: bytes) -> None:
        (self.archives / name).write_bytes(content)

    def plan(self, check: bool = False, paths: list[str] | None = None) -> Plan:
        return containerd_images.make_plan(paths or [str(self.archives)], self.ctr, check)

    def converge(self) -> bool:
        plan = self.plan()
        plan.apply()
        return plan.changed

    def state(self) -> dict[str, str]:
        return json.loads((self.folder / "state.json").read_text())

    def calls(self) -> list[str]:
        calls = self.folder / "calls"
        return calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_both_layouts_are_imported_once(node: Node) -> None:
    node.add("pause.tar", build_images.oci_archive(PAUSE))
    node.add("busybox.tar", build_images.docker_archive(BUSYBOX))
    assert node.converge() is True
    assert set(node.state()) == {PAUSE_NAME, BUSYBOX_NAME}
    before = len(node.calls())
    assert node.converge() is False
    assert node.calls()[before:] == ["images ls", "content get"]


def test_only_what_is_missing_is_imported(node: Node) -> None:
    node.add("pause.tar", build_images.oci_archive(PAUSE))
    node.converge()
    node.add("busybox.tar", build_images.oci_archive(BUSYBOX))
    plan = node.plan()
    assert [(Path(step.target).name, step.action) for step in plan.steps] == [
        ("busybox.tar", "create"),
        ("pause.tar", "none"),
    ]


@pytest.mark.parametrize("layout", [build_images.oci_archive, build_images.docker_archive])
def test_another_image_under_the_same_name_is_replaced(node: Node, layout) -> None:
    node.add("pause.tar", layout(PAUSE))
    node.converge()
    old = node.state()[PAUSE_NAME]
    node.add("pause.tar", layout(build_images.pause(b"a newer program", PAUSE_NAME)))
    step = node.plan().steps[0]
    assert (step.action, step.before) == ("update", {PAUSE_NAME: old})
    assert node.converge() is True
    assert node.state()[PAUSE_NAME] != old
    assert node.converge() is False


def test_without_archives_containerd_is_not_asked(node: Node) -> None:
    (node.folder / "broken").touch()
    (node.archives / "notes.txt").write_text("not an archive by its name")
    assert node.converge() is False
    assert node.calls() == []


def test_check_mode_imports_nothing_and_shows_names(node: Node) -> None:
    node.add("pause.tar", build_images.oci_archive(PAUSE))
    result = node.plan(check=True).result(with_diff=True)
    assert result["changed"] is True
    assert result["diff"][0]["after"].startswith(PAUSE_NAME + " sha256:")
    assert node.state() == {}


def test_check_mode_on_a_virgin_node_is_deferred(node: Node) -> None:
    (node.folder / "broken").touch()
    node.add("pause.tar", build_images.oci_archive(PAUSE))
    plan = node.plan(check=True, paths=[str(node.archives), "/var/lib/none/later.tar"])
    assert [step.action for step in plan.steps] == ["create", "create"]
    deferred = plan.result()["deferred"]
    assert "failed to dial" in deferred[0]
    assert deferred[1] == "image archive /var/lib/none/later.tar: the archive is not there yet"


def test_check_mode_without_the_folder_has_nothing_to_do(node: Node) -> None:
    assert node.plan(check=True, paths=["/none/images"]).steps == []
    with pytest.raises(OSError, match="/none/images"):
        node.plan(paths=["/none/images"])


def test_an_archive_that_is_named_twice_is_one(node: Node) -> None:
    node.add("pause.tar", build_images.oci_archive(PAUSE))
    assert len(node.plan(paths=[str(node.archives), str(node.archives / "pause.tar")]).steps) == 1


def test_containerd_down_is_an_error(node: Node) -> None:
    (node.folder / "broken").touch()
    node.add("pause.tar", build_images.oci_archive(PAUSE))
    with pytest.raises(Failure, match="failed to dial") as failure:
        node.converge()
    assert "journalctl -u containerd" in failure.value.next_step


def test_no_ctr_is_an_error(node: Node) -> None:
    node.ctr = containerd_images.Ctr("/none/ctr", "k8s.io", 60)
    node.add("pause.tar", build_images.oci_archive(PAUSE))
    with pytest.raises(Failure, match="/none/ctr: No such file"):
        node.converge()


def test_a_missing_archive_is_an_error(node: Node) -> None:
    with pytest.raises(OSError, match=r"none\.tar"):
        node.plan(paths=["/none.tar"])


def test_an_import_that_brings_nothing_is_an_error(node: Node) -> None:
    (node.folder / "deaf").touch()
    node.add("pause.tar", build_images.oci_archive(PAUSE))
    with pytest.raises(Failure, match=f"imported, but {PAUSE_NAME} is not there"):
        node.converge()


def test_two_archives_with_one_name_is_an_error(node: Node) -> None:
    node.add("a.tar", build_images.oci_archive(PAUSE))
    node.add("b.tar", build_images.docker_archive(PAUSE))
    with pytest.raises(Failure, match=r"is in both .*a\.tar and .*b\.tar"):
        node.converge()


def test_a_damaged_archive_stops_before_anything_is_imported(node: Node) -> None:
    node.add("a.tar", build_images.oci_archive(BUSYBOX))
    node.add("b.tar", build_images.oci_archive(PAUSE)[:2000])
    with pytest.raises(Failure, match=r"b\.tar"):
        node.converge()
    assert node.state() == {}


def test_an_import_that_hangs_ends(node: Node) -> None:
    (node.folder / "ctr").write_text("#!/bin/sh\nexec sleep 60\n")
    node.ctr.timeout = 1
    node.add("pause.tar", build_images.oci_archive(PAUSE))
    with pytest.raises(Failure, match="was not done after 1 s"):
        node.converge()
