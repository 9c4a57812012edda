# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `converge` may be asked for: its parameters, checked on the controller before anything is sent to a node."""

from __future__ import annotations

import difflib
import posixpath
import re
import shlex
from typing import Any, Dict, Iterable, List, Mapping

from ansible_collections.banking.platform.plugins.module_utils.plan import APPROVED, Failure

# The parameters as AnsibleModule checks them; what lies below the mappings of names is checked by `complete`.
ARGUMENT_SPEC: Dict[str, Dict[str, Any]] = {
    "name": {"type": "str"},
    "root": {"type": "list", "elements": "path"},
    "files": {"type": "dict", "default": {}},
    "directories": {"type": "dict", "default": {}},
    "links": {"type": "dict", "default": {}},
    "absent": {"type": "list", "elements": "str", "default": []},
    "artifacts": {"type": "dict", "default": {}},
    "modules": {"type": "list", "elements": "str", "default": []},
    "sysctl": {"type": "dict", "default": {}},
    "units": {"type": "dict", "default": {}},
    "unavailable": {"type": "dict", "default": {}},
    "tree": {"type": "str", "no_log": True},
    **APPROVED,
}

_OWNERSHIP = {"owner": str, "group": str, "mode": str}
_FILE = {**_OWNERSHIP, "validate": str, "sensitive": bool, "template": str, "vars": dict, "content": str}
_DIRECTORY = {**_OWNERSHIP, "purge": bool}
_ARTIFACT = {"links": dict}
_UNIT = {
    "state": str,
    "enabled": bool,
    "masked": bool,
    "restart_on": list,
    "reload_on": list,
    "check": str,
    "ready": dict,
    "rollback": bool,
}
_READY = {"command": str, "timeout": (int, float)}
_STATES = ("started", "stopped")
_MODE = re.compile(r"[0-7]{3,4}")
_UNIT_NAME = re.compile(r"[A-Za-z0-9:_.\\@-]+\.(service|socket|timer|mount|automount|path|target|slice|swap)")


def complete(parameters: Mapping[str, Any]) -> Dict[str, Any]:
    """Check the parameters of `converge` and bring them into the form that the reconciler takes.

    Args:
        parameters: as AnsibleModule or the action plugin has them, with every key of ARGUMENT_SPEC.

    Returns:
        The same with modes as four digits and values as text. To do it twice changes nothing: it is done on both sides.

    Raises:
        Failure: naming the parameter, what is wrong with it, and what it may be.
    """
    wanted = dict(parameters)
    wanted["files"] = {_no_folder("files", path): _file(path, options) for path, options in parameters["files"].items()}
    wanted["directories"] = {
        _path("directories", path).rstrip("/"): _entry(f"directories[{path}]", options, _DIRECTORY)
        for path, options in parameters["directories"].items()
    }
    wanted["links"] = {_no_folder("links", path): str(target) for path, target in parameters["links"].items()}
    wanted["absent"] = [_removable(path) for path in parameters["absent"]]
    wanted["artifacts"] = {name: _artifact(name, options) for name, options in parameters["artifacts"].items()}
    wanted["modules"] = [str(module) for module in parameters["modules"]]
    wanted["sysctl"] = {str(key): _sysctl_value(key, value) for key, value in parameters["sysctl"].items()}
    wanted["units"] = {name: _unit(name, options) for name, options in parameters["units"].items()}
    unavailable = _entry("unavailable", parameters["unavailable"], {"modules": list, "sysctl": list, "features": list})
    wanted["unavailable"] = {key: unavailable.get(key, []) for key in ("modules", "sysctl", "features")}
    _only_once(wanted)
    return wanted


def check_path(where: str, path: Any) -> str:
    """A path on a node that is absolute, normal and not the root.

    Raises:
        Failure: naming the parameter and the path.
    """
    return _path(where, path)


def _path(where: str, path: Any) -> str:
    if not isinstance(path, str) or not path.startswith("/"):
        raise Failure(f"{where}: {path!r} is not an absolute path", f"write it as '/{str(path).lstrip('./')}'")
    normal = posixpath.normpath(path) + ("/" if path.endswith("/") and len(path) > 1 else "")
    if normal != path or path == "/" or path.startswith("//"):
        raise Failure(f"{where}: {path!r} is not a normal path", f"write it as '/{normal.lstrip('/')}'")
    return path


def _no_folder(where: str, path: Any) -> str:
    """The path of a file or link, without a trailing slash."""
    if _path(where, path).endswith("/"):
        raise Failure(f"{where}: {path!r} is the path of a directory", f"write it as {path.rstrip('/')!r}")
    return path


def _removable(path: Any) -> str:
    """A path that may be removed: nothing that lies directly below the root."""
    checked = _path("absent", path).rstrip("/")
    if checked.count("/") < 2:
        raise Failure(f"absent: {path!r} is too much to remove", "name what lies below it")
    return checked


def _entry(where: str, options: Any, known: Mapping[str, Any]) -> Dict[str, Any]:
    """The options of one name, with known keys and the right types."""
    options = {} if options is None else options
    if not isinstance(options, Mapping):
        raise Failure(f"{where}: {options!r} is not a mapping", f"write it as {{{', '.join(known)}}}")
    checked: Dict[str, Any] = {}
    for key, value in options.items():
        if key not in known:
            raise Failure(f"{where}: unknown key {key!r}", nearest(str(key), known))
        if value is None:
            continue
        if known[key] is str and isinstance(value, int) and not isinstance(value, bool) and key in ("owner", "group"):
            value = str(value)
        if not isinstance(value, known[key]):
            # What stands in these may be a secret.
            shown = "of another type" if key in ("content", "vars") else repr(value)
            raise Failure(f"{where}: {key} is {shown}", f"give it as {_type_name(known[key])}")
        checked[str(key)] = _mode(where, value) if key == "mode" else value
    return checked


def _type_name(kind: Any) -> str:
    names = {str: "text in quotes", bool: "true or false", dict: "a mapping", list: "a list"}
    return names.get(kind, "a number")


def _mode(where: str, mode: str) -> str:
    if not _MODE.fullmatch(mode):
        raise Failure(f"{where}: mode {mode!r} is not octal", "write it as '0644'")
    return mode.zfill(4)


def _file(path: str, options: Any) -> Dict[str, Any]:
    where = f"files[{path}]"
    checked = _entry(where, options, _FILE)
    if "template" in checked and "content" in checked:
        raise Failure(f"{where}: both template and content", "keep one of them")
    if "vars" in checked and "template" not in checked:
        raise Failure(f"{where}: vars without a template", "name the template that takes them")
    if "%s" not in checked.get("validate", "%s"):
        raise Failure(f"{where}: validate is {checked['validate']!r}", "write %s where the path of the new file goes")
    _command(f"{where}.validate", checked.get("validate", ""))
    return checked


def _artifact(name: str, options: Any) -> Dict[str, Any]:
    checked = _entry(f"artifacts[{name}]", options, {**_ARTIFACT, **_RESOLVED})
    links = checked.get("links", {})
    checked["links"] = {_no_folder(f"artifacts[{name}].links", path): str(member) for path, member in links.items()}
    return checked


# What the action plugin adds to an artifact from the catalog.
_RESOLVED = {"version": str, "urls": list, "sha256": str, "unpack": str, "strip": int, "file": str, "bundled": bool}


def _unit(name: str, options: Any) -> Dict[str, Any]:
    where = f"units[{name}]"
    if not _UNIT_NAME.fullmatch(name):
        raise Failure(f"{where}: not the full name of a unit", f"write it with its suffix, as '{name}.service'")
    checked = _entry(where, options, _UNIT)
    if checked.get("state", "started") not in _STATES:
        raise Failure(f"{where}: state is {checked['state']!r}", f"it may be {' or '.join(_STATES)}")
    if checked.get("masked") and (checked.get("enabled") or checked.get("state") == "started"):
        raise Failure(f"{where}: masked, and started or enabled as well", "keep one of them")
    ready = _entry(f"{where}.ready", checked.get("ready"), _READY)
    if ready and not ready.get("command"):
        raise Failure(f"{where}.ready: no command", "give the command that exits with 0 once the unit is ready")
    checked["ready"] = ready
    for key in ("restart_on", "reload_on"):
        checked[key] = [_path(f"{where}.{key}", path) for path in checked.get(key, [])]
    for key, command in (("check", checked.get("check", "")), ("ready", ready.get("command", ""))):
        _command(f"{where}.{key}", command)
    return checked


def _command(where: str, command: str) -> None:
    try:
        shlex.split(command)
    except ValueError as error:
        raise Failure(f"{where}: {command!r} cannot be split into words: {error}", "mind the quotes") from error


def _sysctl_value(key: Any, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise Failure(f"sysctl[{key}]: {value!r} is neither a number nor text", "give it as sysctl prints it")
    return " ".join(str(value).split())


def _only_once(wanted: Mapping[str, Any]) -> None:
    """No path may be asked for as two different things."""
    seen: Dict[str, str] = {}
    uses: List["tuple[str, Iterable[str]]"] = [
        ("directories", wanted["directories"]),
        ("links", wanted["links"]),
        ("absent", wanted["absent"]),
        *((f"artifacts[{name}].links", artifact["links"]) for name, artifact in wanted["artifacts"].items()),
    ]
    for where, paths in uses:
        for path in paths:
            if path in seen:
                raise Failure(f"{path} is asked for twice, in {seen[path]} and in {where}", "keep one of them")
            seen[path] = where
    for path, where in seen.items():
        for removed in wanted["absent"]:
            if path.startswith(f"{removed}/") and where != "absent":
                raise Failure(
                    f"{path}, asked for in {where}, lies below {removed}, which is absent", "keep one of them"
                )
    for path in wanted["files"]:
        # A path in `absent` wins over the tree, so settings for it may stay.
        if seen.get(path, "absent") != "absent":
            raise Failure(f"{path} is asked for twice, in {seen[path]} and in files", "keep one of them")


def nearest(name: str, known: Iterable[str]) -> str:
    """A next step for an unknown name: the nearest known one, or all of them."""
    found = difflib.get_close_matches(name, list(known), 1)
    return f"did you mean {found[0]!r}?" if found else f"known are {', '.join(sorted(known))}"
