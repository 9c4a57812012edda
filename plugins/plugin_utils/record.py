# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a run: events as JSON lines while it goes on, from which run.json is made."""

from __future__ import annotations

import base64
import json
import math
import operator
import os
import re
import ssl
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.plan import MASK

SCHEMA = 1
MOST_TEXT = 20_000  # characters of one text
MOST_PLANS = 4_000_000  # characters of all plans and diffs of a run
PROOF = ("findings", "topology", "quorum", "capacity", "versions")
FILES = ("events.jsonl", "run.json", "report.html")
_SHORTEST_SECRET = 6  # characters; anything shorter is found everywhere by accident

_SECRET_NAME = re.compile(r"pass(word|wd|phrase)?$|password|passphrase|token|secret|credential|key|_pass_", re.I)
_PASSWORD_NAME = re.compile(r"(password|passwd|passphrase|_pass|token|secret)$", re.I)
_SECRET_VALUE = re.compile(
    r"\$ANSIBLE_VAULT;|-----BEGIN [A-Z ]*PRIVATE KEY-----|^eyJ[\w-]+\.eyJ|://[^/\s:@]+:[^/\s@]+@"
)
# A goal is one of these and a number, such as "<= 30"; a number alone is the most that a figure may be.
_GOALS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "=": operator.eq}
_GOAL = re.compile(r"\s*(<=|>=|<|>|=|)\s*([-+]?\d+(?:\.\d+)?)\s*")
_RUN_NAME = re.compile(r"\d{8}T\d{6}Z(-\d+)?")


def is_secret(name: str, value: Any) -> bool:
    """Whether a variable is a secret by its name or by what its value looks like."""
    return bool(_SECRET_NAME.search(name)) or (isinstance(value, str) and bool(_SECRET_VALUE.search(value)))


def is_password(name: str) -> bool:
    """Whether a variable holds a secret itself, and not a file or a name of one."""
    return bool(_PASSWORD_NAME.search(name))


def mask(value: Any, name: str = "", found: Hidden | None = None) -> Any:
    """A copy as JSON types in which secrets are masked; their texts are added to `found`."""
    if is_secret(name, value):
        if found is not None:
            found.update(_texts(value))
        return MASK
    if isinstance(value, Mapping):
        return {str(key): mask(item, str(key), found) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [mask(item, "", found) for item in value]
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple, set)):
        for item in value:
            yield from _texts(item)
    elif value is not None and not isinstance(value, bool) and len(str(value)) >= _SHORTEST_SECRET:
        yield str(value)


def task_names(task: Any) -> tuple[str, str]:
    """The role of one of Ansible's tasks (or nothing) and the task's name without it: how a record finds it again."""
    role = task._role.get_name(False) if task._role else ""
    prefix = f"{task._role.get_name()} : " if task._role else ""
    return role, task.get_name().removeprefix(prefix)


class Hidden:
    """The secrets that are known so far, in every form in which a text may show them."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._forms: list[str] | None = None

    def update(self, texts: Iterable[str]) -> None:
        """Learn secrets. Of one with several lines, every line is one too."""
        for text in texts:
            for part in (text, text.strip(), *text.splitlines()):
                if len(part.strip()) >= _SHORTEST_SECRET and part not in self._known:
                    self._known.add(part)
                    self._forms = None

    def mask(self, text: str) -> str:
        """The text without them."""
        if self._forms is None:
            forms = {form for secret in self._known for form in _forms(secret)}
            # The longest first: of a secret that begins with another one the rest would stay.
            self._forms = sorted(forms, key=lambda form: (-len(form), form))
        for form in self._forms:
            text = text.replace(form, MASK)
        return text


def _forms(secret: str) -> Iterable[str]:
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    yield secret.replace("'", "'\"'\"'")  # as a shell's word
    yield urllib.parse.quote(secret, safe="")
    yield base64.b64encode(secret.encode(errors="surrogateescape")).decode()


def bounded(value: Any, hidden: Hidden, most: int = MOST_TEXT) -> Any:
    """A copy as JSON types without the hidden texts; a long text is cut, with a note that says how much is missing."""
    if isinstance(value, Mapping):
        return {hidden.mask(str(key)): bounded(item, hidden, most) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [bounded(item, hidden, most) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return value if hidden.mask(str(value)) == str(value) else MASK
    text = hidden.mask(str(value))
    return text if len(text) <= most else text[:most] + f"\n({len(text) - most} more characters are not in the record)"


class Writer:
    """The events of a run that goes on, each in the file as soon as it happened."""

    def __init__(self, runs: Path) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        number = 1
        while True:
            self.folder = runs / (stamp if number == 1 else f"{stamp}-{number}")
            try:
                self.folder.mkdir(parents=True, mode=0o700)
                break
            except FileExistsError:
                number += 1
        self.path = self.folder / FILES[0]
        self._file = open(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")  # noqa: SIM115

    def write(self, event: str, **data: Any) -> None:
        """Append one event; when it returns the operating system has it."""
        self._file.write(json.dumps({"event": event, "at": time.time()} | data, separators=(",", ":")) + "\n")
        self._file.flush()

    def close(self) -> None:
        """No event any more."""
        self._file.close()


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events of a file; a last line that was cut off by the end of the program is left out."""
    events = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                events.append(event)
    return events


def fold(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The record of a run from its events. Without an end it is `interrupted`."""
    run: dict[str, Any] = {"schema": SCHEMA, "outcome": "interrupted", "started": 0.0, "ended": 0.0, "plays": []}
    run |= {"tasks": [], "failures": [], "measurements": [], "hosts": {}, "cut": False} | dict.fromkeys(PROOF)
    tasks: dict[str, dict[str, Any]] = {}
    for event in events:
        kind, at = event["event"], event["at"]
        data = {key: value for key, value in event.items() if key not in ("event", "at")}
        run["ended"] = max(run["ended"], at)
        if kind == "start":
            run |= data | {"started": at}
        elif kind == "play":
            run["plays"].append(data | {"started": at})
        elif kind == "task":
            entry = {key: value for key, value in data.items() if key != "id"}
            entry |= {"play": len(run["plays"]) - 1, "started": at, "ended": at, "results": []}
            # A play with `serial` runs the same task once a batch.
            tasks[data["id"]] = entry
            run["tasks"].append(entry)
        elif kind == "result" and data["task"] in tasks:
            _add_result(run, tasks[data.pop("task")], data, at)
        elif kind in ("facts", "proof", "end"):
            run |= data
    for play, following in zip(run["plays"], [*run["plays"], None][1:], strict=True):
        play["ended"] = following["started"] if following else run["ended"]
    if run["outcome"] == "ok" and any(not failure.get("forgiven") for failure in run["failures"]):
        run["outcome"] = "failed"
    return run


def _add_result(run: dict[str, Any], task: dict[str, Any], data: dict[str, Any], at: float) -> None:
    result = data | {"ended": at}
    result.setdefault("started", task["started"])
    task["ended"] = max(task["ended"], at)
    task["results"].append(result)
    for figure in result.pop("measurements", []):
        where = {"host": result["host"], "role": task["role"], "task": task["name"]}
        run["measurements"].append(figure | {"reached": reached(figure["value"], figure["goal"])} | where)
    counts = run["hosts"].setdefault(result["host"], {})
    counts[result["status"]] = counts.get(result["status"], 0) + 1
    if result["status"] in ("failed", "unreachable"):
        where = {"host": result["host"], "role": task["role"], "task": task["name"], "path": task["path"]}
        said = {key: result.get(key, "") for key in ("status", "cause", "next_step", "forgiven")}
        run["failures"].append(where | said)


def measured(entry: Any) -> dict[str, Any] | None:
    """A figure as the record keeps it: `name`, `value`, `unit` and `goal`; nothing for what is no figure."""
    if not isinstance(entry, Mapping) or not entry.get("name") or entry.get("value") is None:
        return None
    figure = {"name": str(entry["name"])} | {key: entry.get(key) for key in ("value", "unit", "goal")}
    # JSON has no NaN and no infinity.
    return {key: str(item) if isinstance(item, float) and not math.isfinite(item) else item
            for key, item in figure.items()}  # fmt: skip


def goal(given: Any) -> tuple[str, float] | None:
    """A goal as a comparison and a number; nothing for what is no goal."""
    found = None if isinstance(given, bool) or given is None else _GOAL.fullmatch(str(given))
    return (found[1] or "<=", float(found[2])) if found else None


def reached(value: Any, given: Any) -> bool | None:
    """Whether a figure reached its goal; None without a goal, or when the two cannot be compared."""
    wanted = goal(given)
    if wanted is None or isinstance(value, bool):
        return None
    try:
        figure = float(value)
    except (TypeError, ValueError):
        return None
    return bool(_GOALS[wanted[0]](figure, wanted[1])) if math.isfinite(figure) else None


def write_whole(path: Path, text: str) -> None:
    """Write a file, whole or not at all, that only its owner can read."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
    os.replace(file.name, path)


def save(folder: Path, run: Mapping[str, Any]) -> None:
    """Write run.json, whole or not at all, and point `latest` at its folder."""
    write_whole(folder / FILES[1], json.dumps(run, indent=1))
    latest, new = folder.parent / "latest", folder.parent / f".latest.{os.getpid()}"
    if not latest.exists() or latest.is_symlink():
        new.unlink(missing_ok=True)
        new.symlink_to(folder.name)
        os.replace(new, latest)


def prune(runs: Path, keep: int) -> None:
    """Remove all but the last `keep` runs: only folders named as we name them, and only files that we write."""
    if keep < 1:
        return
    ours = sorted(path for path in runs.iterdir() if _RUN_NAME.fullmatch(path.name) and not path.is_symlink())
    for folder in ours[:-keep]:
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
        try:
            folder.rmdir()
        except OSError:
            pass  # somebody put a file of their own there


class _Stay(urllib.request.HTTPRedirectHandler):
    """Redirects are refused: they would carry the token to another place."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def send(url: str, token: str, body: bytes, method: str = "PUT", tries: int = 3, pause: float = 1.0) -> str:
    """Send the record to the store. Returns why it could not be sent, or nothing; the token is in neither."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        return "the store's address must begin with https://"
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    opener = urllib.request.build_opener(_Stay())
    why = ""
    for attempt in range(tries):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            with opener.open(urllib.request.Request(url, body, headers, method=method), timeout=10):
                return ""
        except urllib.error.HTTPError as error:
            why = f"{parts.hostname} answered {error.code} {error.reason}"
            if error.code < 500 and error.code not in (408, 429):
                break
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                authorities = os.environ.get("SSL_CERT_FILE") or "this machine"
                return (
                    f"the certificate of {parts.netloc.rpartition('@')[2]} is refused: {reason.verify_message} "
                    f"(trusted are the authorities of {authorities}; SSL_CERT_FILE names a file with others)"
                )
            why = f"{parts.hostname}: {reason}"
    return why
