# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rotation of a key that encrypts at rest. Where it stands follows from the list of keys alone.

New data takes the first key of the list, and each key of it can read. So a new key comes second, until every server can
read with it; then first; and when everything was written again with it, the old one goes.
https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/#rotating-a-decryption-key
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

Key = dict[str, str]
Loaded = Mapping[str, Sequence[str]]  # names of keys in order, by host
STATES = ("added", "promoted", "dropped")


def phase(keys: Sequence[Key]) -> str:
    """Where the rotation stands: none, added (the new key comes second) or promoted (it comes first).

    Raises:
        Failure: when the list cannot say it.
    """
    if len(keys) == 1:
        return "none"
    if len(keys) > 2 or keys[0]["made"] == keys[1]["made"]:
        raise Failure(
            f"the list has the keys {_names(keys)}, and does not say which of them is the newest",
            "bring it back from its backup",
        )
    return "promoted" if keys[0]["made"] > keys[1]["made"] else "added"


def change(state: str, keys: Sequence[Key], loaded: Loaded, make: Callable[[], Key]) -> list[Key]:
    """The list as it is to be for a step of the rotation; the same list when the step was done before.

    Args:
        state: one of STATES.
        keys: the list.
        loaded: what each server has loaded.
        make: makes a new key.

    Raises:
        Failure: when a server is not as far as the step needs, or encrypts with a key that the list lacks.
    """
    _refuse_foreign(keys, loaded)
    now = phase(keys)
    if state == "added":
        # Servers that know other keys as well were left behind by a rotation: it is brought to its end, not begun anew.
        behind = any(list(names) != [key["name"] for key in keys] for names in loaded.values())
        return [*keys, make()] if now == "none" and not behind else list(keys)
    if now == "none" or now == state:
        return list(keys)
    if state == "promoted":
        new = keys[1]["name"]
        _refuse_behind(f"cannot read with the new key {new} yet", [host for host in loaded if new not in loaded[host]])
        return [keys[1], keys[0]]
    if now == "added":
        raise Failure(f"the new key {keys[1]['name']} encrypts nothing yet", "make it the first one everywhere")
    new = keys[0]["name"]
    _refuse_behind(f"do not encrypt with the new key {new} yet", [host for host in loaded if loaded[host][0] != new])
    return [keys[0]]


def _refuse_foreign(keys: Sequence[Key], loaded: Loaded) -> None:
    known = {key["name"] for key in keys}
    if not loaded:
        raise Failure("nobody says what the servers have loaded", "give `loaded`")
    empty = sorted(host for host, names in loaded.items() if not names)
    if empty:
        raise Failure(f"{', '.join(empty)}: no key is loaded", "bring the cluster up first, with playbooks/cluster.yml")
    foreign = sorted(f"{host} ({names[0]})" for host, names in loaded.items() if names[0] not in known)
    if foreign:
        raise Failure(
            f"servers encrypt with a key that the list, {_names(keys)}, does not have: {', '.join(foreign)}",
            "correct platform_ca_dir, or bring the folder back from its backup: only that key reads what they wrote",
        )


def _refuse_behind(what: str, hosts: Sequence[str]) -> None:
    if hosts:
        raise Failure(f"{', '.join(sorted(hosts))} {what}", "bring the list to them first")


def _names(keys: Sequence[Key]) -> str:
    return ", ".join(key["name"] for key in keys)
