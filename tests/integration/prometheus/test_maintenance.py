# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows of maintenance, opened and closed by the playbook at a real Alertmanager."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.tests.integration.vault.server import free_port
from ansible_collections.banking.platform.tools.suites import CLONE


class Alertmanager:
    """One on loopback."""

    def __init__(self, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        config = folder / "alertmanager.yml"
        config.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
        self.process = subprocess.Popen(
            [
                "prometheus-alertmanager",
                f"--config.file={config}",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address={self.url.removeprefix('http://')}",
                "--cluster.listen-address=",
            ],
            stdout=subprocess.DEVNULL,
            stderr=(folder / "log").open("w"),
        )
        for _again in range(100):
            try:
                self.silences()
                return
            except OSError:
                time.sleep(0.1)
        raise AssertionError((folder / "log").read_text())

    def silences(self) -> list[dict[str, Any]]:
        """Those that hold now."""
        with urllib.request.urlopen(f"{self.url}/api/v2/silences", timeout=5) as answer:
            return [item for item in json.load(answer) if item["status"]["state"] == "active"]

    def put(self, silence: dict[str, Any]) -> None:
        """Make one by hand."""
        request = urllib.request.Request(
            f"{self.url}/api/v2/silences", json.dumps(silence).encode(), {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=5).close()


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    one = Alertmanager(tmp_path)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.wait()


def play(one: Alertmanager, *options: str, good: bool = True, **variables: Any) -> tuple[bool, str]:
    """Run the playbook: whether it changed anything, and what it said."""
    told = {"prometheus_alertmanager_url": one.url, **variables}
    done = subprocess.run(
        ["ansible-playbook", "playbooks/maintenance.yml", "-i", "inventories/prod", "-e", json.dumps(told), *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=CLONE,
        env=os.environ | {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.json"},
    )
    assert (done.returncode == 0) == good, done.stdout + done.stderr
    said, _end = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{") :])
    return bool(said["stats"]["localhost"]["changed"]), done.stdout


def test_a_window_opens_once_and_closes_once(alertmanager: Alertmanager) -> None:
    assert play(alertmanager, "--check", window="zone-b", state="open")[0]
    assert alertmanager.silences() == []

    assert play(alertmanager, window="zone-b", state="open")[0]
    (silence,) = alertmanager.silences()
    assert silence["matchers"] == [{"name": "zone", "value": "zone-b", "isRegex": False, "isEqual": True}]
    assert silence["comment"].startswith("maintenance zone-b: ")
    assert not play(alertmanager, window="zone-b", state="open")[0]
    assert not play(alertmanager, "--check", window="zone-b", state="open")[0]
    assert [item["id"] for item in alertmanager.silences()] == [silence["id"]]

    # Another one beside it.
    assert play(alertmanager, window="zone-c", state="open", minutes=5)[0]
    assert len(alertmanager.silences()) == 2

    assert play(alertmanager, "--check", window="zone-b", state="closed")[0]
    assert len(alertmanager.silences()) == 2
    assert play(alertmanager, window="zone-b", state="closed")[0]
    assert [item["comment"].split(":")[0] for item in alertmanager.silences()] == ["maintenance zone-c"]
    assert not play(alertmanager, window="zone-b", state="closed")[0]


def test_what_others_silence_stays(alertmanager: Alertmanager) -> None:
    matcher = {"name": "zone", "value": "zone-b", "isRegex": False, "isEqual": True}
    times = {"startsAt": "2020-01-01T00:00:00Z", "endsAt": "2099-01-01T00:00:00Z"}
    alertmanager.put({"matchers": [matcher], "createdBy": "somebody", "comment": "by hand", **times})
    assert not play(alertmanager, window="zone-b", state="closed")[0]
    assert [item["comment"] for item in alertmanager.silences()] == ["by hand"]


def test_a_window_that_says_something_else_now_is_opened_anew(alertmanager: Alertmanager) -> None:
    first = {"disks": {"matchers": ['alertname="NodeDiskFills"'], "minutes": 5, "why": "a test"}}
    then = {"disks": {"matchers": ['node=~"worker-.*"', 'alertname!="ZoneLost"'], "minutes": 5, "why": "a test"}}
    assert play(alertmanager, window="disks", state="open", prometheus_maintenance=first)[0]
    assert play(alertmanager, window="disks", state="open", prometheus_maintenance=then)[0]
    (silence,) = alertmanager.silences()
    assert sorted(silence["matchers"], key=lambda item: item["name"]) == [
        {"name": "alertname", "value": "ZoneLost", "isRegex": False, "isEqual": False},
        {"name": "node", "value": "worker-.*", "isRegex": True, "isEqual": True},
    ]


@pytest.mark.parametrize("given", [{"window": "zone-x", "state": "open"}, {"window": "zone-a", "state": "ajar"}, {}])
def test_what_is_not_known_is_refused_by_name(alertmanager: Alertmanager, given: dict[str, str]) -> None:
    _changed, said = play(alertmanager, good=False, **given)
    assert "zone-a, zone-b, zone-c" in said
    assert alertmanager.silences() == []
