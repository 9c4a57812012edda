# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects are written again as they are: against a small API server with pages, conflicts and refusals."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.kube import rewrite
from ansible_collections.banking.platform.plugins.module_utils.kube.client import (
    ApiError,
    Client,
    Conflict,
    Connection,
    NotFound,
)
from ansible_collections.banking.platform.plugins.module_utils.kube.rewrite import Rewrite
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

_SECRET = re.compile(r"/api/v1/namespaces/([^/]+)/secrets/([^/]+)")


class Api(Client):
    """Holds secrets, and takes an update only of the version that it has."""

    def __init__(self, number: int) -> None:
        super().__init__(lambda: Connection("http://127.0.0.1:1"))
        self.secrets: dict[tuple[str, str], dict[str, Any]] = {}
        self.written: list[tuple[str, str]] = []
        self.refused: dict[tuple[str, str], ApiError] = {}
        self.changing: dict[tuple[str, str], int] = {}
        for index in range(number):
            key = ("bank", f"s{index}")
            meta = {"namespace": key[0], "name": key[1], "uid": str(index), "resourceVersion": "1"}
            self.secrets[key] = {"metadata": meta, "data": {"password": "aHVudGVyMg=="}}

    def _request(self, method: str, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
        found = _SECRET.fullmatch(path)
        key = (found[1], found[2]) if found else ("", "")
        if path == "/api/v1":
            return 200, {"resources": [{"name": "secrets", "kind": "Secret", "namespaced": True}]}
        if path == "/api/v1/secrets":
            return 200, self._page(options["query"])
        if key not in self.secrets:
            raise NotFound("not found", status=404, reason="NotFound")
        if method == "GET":
            return 200, copy.deepcopy(self.secrets[key])
        return 200, self._put(key, options["body"])

    def _page(self, query: Mapping[str, str]) -> dict[str, Any]:
        start, size = int(query.get("continue") or 0), int(query["limit"])
        names = sorted(self.secrets)[start : start + size]
        more = str(start + size) if start + size < len(self.secrets) else ""
        return {"metadata": {"continue": more}, "items": [copy.deepcopy(self.secrets[key]) for key in names]}

    def _put(self, key: tuple[str, str], body: Mapping[str, Any]) -> dict[str, Any]:
        if self.changing.get(key):
            self.changing[key] -= 1
            meta = self.secrets[key]["metadata"]
            meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 1)
        if key in self.refused:
            raise self.refused[key]
        if body["metadata"]["resourceVersion"] != self.secrets[key]["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified", status=409, reason="Conflict")
        assert body == {**self.secrets[key], "apiVersion": "v1", "kind": "Secret"}
        self.written.append(key)
        return dict(body)


def test_every_object_of_every_page_is_written_once_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewrite, "_BATCH", 7)
    api = Api(1203)
    writing = Rewrite(api, ["secrets"])
    writing.run()
    assert sorted(api.written) == sorted(api.secrets)
    assert writing.counts == {"secrets": 1203}
    result = writing.plan.result()
    assert result["changed"]
    assert result["plan"][0]["after"] == {"written again": 1203}
    assert "aHVudGVyMg" not in str(result)


def test_check_mode_counts() -> None:
    api = Api(12)
    writing = Rewrite(api, ["secrets"], check=True)
    writing.run()
    assert writing.counts == {"secrets": 12}
    assert writing.plan.changed
    assert api.written == []


def test_without_objects_nothing_changes() -> None:
    writing = Rewrite(Api(0), ["secrets"])
    writing.run()
    assert not writing.plan.changed


def test_one_that_was_changed_meanwhile_is_read_again() -> None:
    api = Api(3)
    api.changing["bank", "s1"] = 2
    Rewrite(api, ["secrets"]).run()
    assert api.secrets["bank", "s1"]["metadata"]["resourceVersion"] == "3"
    assert sorted(api.written) == sorted(api.secrets)


def test_one_that_is_gone_meanwhile_is_left() -> None:
    api = Api(3)
    page = api._page

    def and_then_gone(query: Mapping[str, str]) -> dict[str, Any]:
        found = page(query)
        api.secrets.pop(("bank", "s1"))
        return found

    api._page = and_then_gone  # type: ignore[method-assign]
    Rewrite(api, ["secrets"]).run()
    assert sorted(api.written) == [("bank", "s0"), ("bank", "s2")]


def test_what_is_refused_is_named_without_the_words_of_who_refuses_and_the_others_are_written() -> None:
    api = Api(9)
    api.refused["bank", "s4"] = ApiError("data.password: hunter2 is no password", status=422, reason="Invalid")
    api.changing["bank", "s5"] = 100
    writing = Rewrite(api, ["secrets"])
    with pytest.raises(Failure) as failed:
        writing.run()
    assert failed.value.cause.startswith(
        "2 of 9 objects could not be written again: bank/s4: Invalid (422); bank/s5: is"
    )
    assert "hunter2" not in failed.value.cause
    assert len(api.written) == 7
    assert writing.plan.result()["plan"][0]["state"] == "done"


def test_a_resource_that_is_not_there_is_refused_before_anything_is_written() -> None:
    api = Api(3)
    for unknown in ("secret", "tokens.bank.example"):
        with pytest.raises(Failure, match=f"no resource {unknown}"):
            Rewrite(api, ["secrets", unknown]).run()
    assert api.written == []
