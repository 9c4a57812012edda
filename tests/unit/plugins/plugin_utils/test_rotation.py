# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rotation of an encryption key: each step, again after an interruption, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import rotation
from ansible_collections.banking.platform.plugins.plugin_utils.authorities import Keyring, Store
from ansible_collections.banking.platform.tests.unit.action.conftest import make_action

HOSTS = ("cp-a1", "cp-b1", "cp-c1")


class Platform:
    """The list on the controller, and what the API servers have loaded of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "passphrase").write_text("correct horse battery\n")
        self.variables: dict[str, Any] = {
            "platform_ca_dir": str(folder / "ca"),
            "platform_ca_passphrase": f"file:{folder}/passphrase",
        }
        self.store = Store(str(folder / "ca"), Keyring(reference=f"file:{folder}/passphrase"))
        self.store.create_keys("secrets")
        self.loaded: dict[str, list[str]] = {}
        self.bring(*HOSTS)

    @property
    def keys(self) -> list[str]:
        return [key["name"] for key in self.store.keys("secrets")]

    def bring(self, *hosts: str) -> None:
        self.loaded |= dict.fromkeys(hosts, self.keys)

    def step(self, state: str, check: bool = False) -> dict[str, Any]:
        arguments = {"name": "secrets", "state": state, "loaded": self.loaded}
        action = make_action("encryption_keys", arguments, **self.variables)
        action._task.check_mode = check
        result: dict[str, Any] = action.run(task_vars=self.variables)
        return result

    def refused(self, state: str) -> str:
        before = self.store.keys("secrets")
        result = self.step(state)
        assert result["failed"]
        assert not result["changed"]
        assert self.store.keys("secrets") == before
        return str(result["msg"])


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path)


def test_a_rotation_from_its_beginning_to_its_end(platform: Platform) -> None:
    (old,) = platform.keys
    assert platform.step("added")["changed"]
    assert platform.keys[0] == old
    new = platform.keys[1]
    platform.bring(*HOSTS)
    result = platform.step("promoted")
    assert result["keys"] == platform.keys == [new, old]
    assert result["plan"][0]["before"] == {"keys": [old, new]}
    platform.bring(*HOSTS)
    assert platform.step("dropped")["keys"] == platform.keys == [new]
    # Backups of etcd from before can be read with it only.
    assert [key["name"] for key in platform.store.keys("secrets.retired")] == [old]


def test_nothing_of_a_key_but_its_name_is_shown(platform: Platform) -> None:
    shown = str([platform.step("added", check=True), platform.step("added")])
    assert not [key for key in platform.store.keys("secrets") if key["secret"] in shown]
    assert len(platform.keys) == 2


def test_a_step_that_was_done_changes_nothing(platform: Platform) -> None:
    platform.step("added")
    platform.bring(*HOSTS)
    added = platform.keys
    assert not platform.step("added")["changed"]
    platform.step("promoted")
    platform.bring("cp-a1")  # and there it was interrupted
    assert not platform.step("added")["changed"]
    assert not platform.step("promoted")["changed"]
    assert platform.keys == added[::-1]


def test_one_that_was_interrupted_at_its_end_is_not_begun_anew(platform: Platform) -> None:
    for state in rotation.STATES:
        platform.step(state)
        platform.bring(*(HOSTS if state != "dropped" else HOSTS[:1]))
    assert platform.loaded["cp-a1"] != platform.loaded["cp-b1"]
    for state in rotation.STATES:
        assert not platform.step(state)["changed"]
    platform.bring(*HOSTS)
    assert platform.step("added")["changed"]


def test_check_mode_writes_nothing(platform: Platform) -> None:
    before = platform.keys
    assert platform.step("added", check=True)["changed"]
    assert platform.keys == before


def test_a_key_that_a_server_cannot_read_with_does_not_come_first(platform: Platform) -> None:
    platform.step("added")
    platform.bring("cp-a1", "cp-c1")
    assert f"cp-b1 cannot read with the new key {platform.keys[1]} yet" in platform.refused("promoted")


def test_a_key_that_a_server_still_encrypts_with_is_not_dropped(platform: Platform) -> None:
    platform.step("added")
    platform.bring(*HOSTS)
    assert "encrypts nothing yet" in platform.refused("dropped")
    platform.step("promoted")
    platform.bring("cp-a1")
    assert "cp-b1, cp-c1 do not encrypt with the new key" in platform.refused("dropped")


def test_another_list_than_that_of_the_servers_is_refused(platform: Platform) -> None:
    platform.loaded["cp-b1"] = ["key-of-yesterday"]
    for state in rotation.STATES:
        assert "cp-b1 (key-of-yesterday)" in platform.refused(state)


def test_servers_without_encryption_are_refused(platform: Platform) -> None:
    platform.loaded["cp-b1"] = []
    assert "cp-b1: no key is loaded" in platform.refused("added")
    platform.loaded = {}
    assert "nobody says" in platform.refused("added")


@pytest.mark.parametrize("made", [["1", "1"], ["1", "2", "3"], ["", ""]])
def test_a_list_that_does_not_say_where_the_rotation_stands_is_refused(made: list[str]) -> None:
    keys = [{"name": f"key-{number}", "secret": "", "made": when} for number, when in enumerate(made)]
    with pytest.raises(Failure, match="does not say which of them is the newest"):
        rotation.phase(keys)


def test_a_list_from_before_keys_had_a_time_is_rotated(platform: Platform) -> None:
    (key,) = platform.store.keys("secrets")
    platform.store.write_keys("secrets", [{"name": key["name"], "secret": key["secret"]}])
    platform.step("added")
    assert rotation.phase(platform.store.keys("secrets")) == "added"
