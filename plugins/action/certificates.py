# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare a node's certificates with those wanted, and sign what the node asks for; keys stay on the node."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.plugin_utils import authorities
from ansible_collections.banking.platform.plugins.plugin_utils.authorities import Store, Wish, store_of

_MODULE = "banking.platform.certificates"
_MOST_SKEW = 240
_OWNERSHIP = {"owner": "root", "group": "root"}
_AUTHORITY = {"name", "path", "key", "owner", "group", "mode", "key_mode"}
_PAIR = {"name", "key", "public", "owner", "group", "mode", "key_mode"}


class ActionModule(ActionBase):
    """The controller's half of `banking.platform.certificates`."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read, compare, sign, install; say of a failure which host it is about."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        host = variables["inventory_hostname"]
        try:
            result.update(self._run(variables))
        except (Failure, AnsibleError) as error:
            result.update(failed=True, msg=getattr(error, "cause", str(error)), plan=[])
            result["next_step"] = getattr(error, "next_step", "")
        except (OSError, TypeError, ValueError) as error:
            result.update(failed=True, msg=f"certificates: {error}", plan=[])
        if result.get("failed") and "plan" in result:
            next_step = result.get("next_step")
            result["msg"] = f"certificates on {host}: {result['msg']}" + (f" - next: {next_step}" if next_step else "")
        return result

    def _run(self, variables: dict[str, Any]) -> dict[str, Any]:
        wishes, shared, pairs = self._wanted()
        store = store_of(self, variables)
        files = _files(wishes, shared, pairs)
        keys = [wish.key for wish in wishes] + [entry["key"] for entry in [*shared, *pairs] if entry.get("key")]
        found = self._module(variables, phase="read", files=files, keys=keys)
        if found.get("failed"):
            return found
        skew = found["time"] - time.time()
        if abs(skew) > _MOST_SKEW:
            raise Failure(
                f"the node's clock is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}: "
                "certificates would not be valid when they should be",
                "mend the time synchronisation of the node (chronyc tracking) and run again",
            )
        contents: dict[str, str] = {}
        deferred: list[str] = []
        why: dict[str, str] = {}
        for entry in shared:
            self._share(store, entry, found, contents, deferred)
        for entry in pairs:
            self._pair(store, entry, found, contents, deferred)
        asked: list[Wish] = []
        for wish in wishes:
            authority = None if self._lacks(store, wish.authority, deferred) else store.authority(wish.authority)
            text, public = found["texts"].get(wish.path, ""), found["public"].get(wish.key, "")
            why[wish.path] = authorities.why_not(wish, authority, text, public) if authority else "there is none"
            if why[wish.path]:
                asked.append(wish)
        if not contents and not asked and not found["plan_changes"]:
            return {"changed": False, "plan": found["plan"], "deferred": [], "paths": []}
        return self._install(variables, store, files, found, contents, asked, why, deferred)

    def _wanted(self) -> tuple[list[Wish], list[dict[str, Any]], list[dict[str, Any]]]:
        arguments = self._task.args
        unknown = sorted(set(arguments) - {"certificates", "authorities", "key_pairs"})
        if unknown:
            raise Failure(f"unknown parameters {', '.join(unknown)}", "give certificates, authorities, key_pairs")
        known = {item.name for item in fields(Wish)}
        wishes = [
            authorities.wish_of(_entry("certificates", entry, known, {"path", "key", "authority", "common_name"}))
            for entry in arguments.get("certificates") or []
        ]
        shared = [
            _entry("authorities", entry, _AUTHORITY, {"name", "path"}) for entry in arguments.get("authorities") or []
        ]
        pairs = [
            _entry("key_pairs", entry, _PAIR, {"name", "key", "public"}) for entry in arguments.get("key_pairs") or []
        ]
        return wishes, shared, pairs

    def _lacks(self, store: Store, name: str, deferred: list[str]) -> bool:
        """In check mode, whether an authority is still to be made; that it is, is noted."""
        if store.has(name) or not self._task.check_mode:
            return False
        text = f"authority {name}: playbooks/ca.yml makes it"
        if text not in deferred:
            deferred.append(text)
        return True

    def _share(
        self,
        store: Store,
        entry: Mapping[str, Any],
        found: Mapping[str, Any],
        contents: dict[str, str],
        deferred: list[str],
    ) -> None:
        """What a node needs of an authority: its certificates, and its key only where that is another one there."""
        name, path, key = entry["name"], entry["path"], entry.get("key")
        if self._lacks(store, name, deferred):
            contents.update(dict.fromkeys([path, *([key] if key else [])], ""))
            return
        authority = store.authority(name)
        if found["texts"].get(path, "") != authority.bundle:
            contents[path] = authority.bundle
        if key and found["public"].get(key, "").strip() != authorities.public_pem(authority.certificate).strip():
            contents[key] = self._clear_key(store, name)

    def _pair(
        self,
        store: Store,
        entry: Mapping[str, Any],
        found: Mapping[str, Any],
        contents: dict[str, str],
        deferred: list[str],
    ) -> None:
        name = entry["name"]
        if self._lacks(store, name, deferred):
            contents.update({entry["key"]: "", entry["public"]: ""})
            return
        public = store.public_key(name)
        if found["texts"].get(entry["public"], "") != public:
            contents[entry["public"]] = public
        if found["public"].get(entry["key"], "").strip() != public.strip():
            contents[entry["key"]] = self._clear_key(store, name)

    def _clear_key(self, store: Store, name: str) -> str:
        if self._task.check_mode:
            return ""
        return authorities.private_pem(store.private_key(name))

    def _install(
        self,
        variables: dict[str, Any],
        store: Store,
        files: dict[str, dict[str, str]],
        found: Mapping[str, Any],
        contents: dict[str, str],
        asked: list[Wish],
        why: Mapping[str, str],
        deferred: list[str],
    ) -> dict[str, Any]:
        if self._task.check_mode:
            contents.update(dict.fromkeys((wish.path for wish in asked), ""))
        elif asked:
            made = self._module(variables, phase="request", keys=[wish.key for wish in asked])
            if made.get("failed"):
                return made
            for wish in asked:
                contents[wish.path] = store.sign(wish, made["requests"][wish.key])
        result = self._module(
            variables, phase="install", files=files, contents=contents, made=[wish.key for wish in asked]
        )
        for wish in asked:
            self._explain(result, wish, found["texts"].get(wish.path, ""), contents[wish.path], why[wish.path])
        result["deferred"] = [*deferred, *result.get("deferred", [])]
        return result

    def _explain(self, result: dict[str, Any], wish: Wish, old: str, new: str, why: str) -> None:
        """Tell a certificate's step by what the certificates say, not by their bytes."""
        before, after = authorities.parse(old), authorities.parse(new)
        said = {"before": authorities.shown(before) if before else None}
        said["after"] = authorities.shown(after) if after else {**wish.facts, "authority": wish.authority}
        for step in result.get("plan", []):
            if step["target"] == wish.path:
                step.update(kind="certificate", note=why, **{key: value for key, value in said.items() if value})
        if self._task.diff:
            result.setdefault("diff", []).append(
                {
                    "before_header": wish.path,
                    "after_header": wish.path,
                    "before": _lines(said["before"]),
                    "after": _lines(said["after"]),
                }
            )

    def _module(self, variables: dict[str, Any], **arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(module_name=_MODULE, module_args=arguments, task_vars=variables)
        return result


def _entry(where: str, entry: Any, known: set[str], needed: set[str]) -> dict[str, Any]:
    """One entry of a list, with no unknown key and none missing."""
    if not isinstance(entry, Mapping):
        raise Failure(f"{where}: {entry!r} is no mapping", "see the module's documentation")
    unknown, missing = sorted(set(entry) - known), sorted(needed - set(entry))
    if unknown or missing:
        words = [f"unknown {', '.join(unknown)}"] * bool(unknown) + [f"no {', '.join(missing)}"] * bool(missing)
        name = entry.get("path") or entry.get("name") or ""
        raise Failure(f"{where} {name}: {'; '.join(words)}", f"known: {', '.join(sorted(known))}")
    return dict(entry)


def _files(wishes: list[Wish], shared: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Owner, group and mode of each path."""
    files: dict[str, dict[str, str]] = {}

    def add(path: str, entry: Mapping[str, Any], mode: str) -> None:
        if path in files:
            raise Failure(f"{path} is wanted twice", "give each file a path of its own")
        files[path] = {**{key: str(entry.get(key) or value) for key, value in _OWNERSHIP.items()}, "mode": mode}

    for wish in wishes:
        add(wish.path, vars(wish), wish.mode)
        add(wish.key, vars(wish), wish.key_mode)
    for entry in shared:
        add(entry["path"], entry, str(entry.get("mode", "0644")))
        if entry.get("key"):
            add(entry["key"], entry, str(entry.get("key_mode", "0600")))
    for entry in pairs:
        add(entry["public"], entry, str(entry.get("mode", "0644")))
        add(entry["key"], entry, str(entry.get("key_mode", "0600")))
    return files


def _lines(facts: Mapping[str, Any] | None) -> str:
    return "".join(
        f"{key}: {', '.join(value) if isinstance(value, list) else value}\n" for key, value in (facts or {}).items()
    )
