# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Job of the role `storage` against a real gateway of Ceph, with the role's own buckets and policies."""

from __future__ import annotations

import copy
import datetime
import importlib.util
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.banking.platform.tests.integration.storage.ceph import Ceph
from ansible_collections.banking.platform.tests.unit.roles.conftest import Rendered, rendered
from ansible_collections.banking.platform.tests.unit.roles.storage.test_rendered import storage, wanted
from ansible_collections.banking.platform.tools.suites import CLONE

__all__ = ["rendered"]
AUDIT, BACKUP = "platform-audit", "platform-backup-locked"


def script() -> Any:
    path = CLONE / "roles/storage/files/locked_buckets.py"
    spec = importlib.util.spec_from_file_location("locked_buckets", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


JOB = script()


@pytest.fixture(scope="module")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    one = Ceph(tmp_path_factory.mktemp("ceph"))
    try:
        yield one.start()
    finally:
        one.stop()


@pytest.fixture(scope="module")
def keys(ceph: Ceph) -> dict[str, tuple[str, str]]:
    return {
        name: ceph.user(name) for name in ("bucket-keeper", "audit-writer", "audit-reader", "backup-writer", "stranger")
    }


@pytest.fixture
def buckets(rendered: Callable[..., Rendered]) -> Any:
    return wanted(storage(rendered, "2024.1"))


class Speaker:
    """A user that speaks S3, and is told what came of it."""

    def __init__(self, url: str, keys: tuple[str, str]) -> None:
        self._url, self._keys = url, (*keys, "us-east-1")

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str, dict[str, str]]:
        url = f"{self._url}/{path}"
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        all_of = JOB.signed(method, url, sent, body, self._keys, datetime.datetime.now(datetime.UTC))
        request = urllib.request.Request(url, data=body or None, headers=all_of, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), dict(error.headers)

    def status(self, method: str, path: str, body: bytes = b"", **headers: str) -> int:
        return self.ask(method, path, body, **headers)[0]


def run(ceph: Ceph, keys: Any, buckets: Any, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    key, secret = keys["bucket-keeper"]
    environment = {
        "ENDPOINT": ceph.url,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "REGION": "us-east-1",
    }
    capsys.readouterr()
    failed = JOB.main(buckets, environment)
    out, errors = capsys.readouterr()
    return failed, out + errors


def test_what_is_locked_stays(ceph: Ceph, keys: Any, buckets: Any, capsys: pytest.CaptureFixture[str]) -> None:
    failed, said = run(ceph, keys, buckets, capsys)
    assert (failed, said) == (0, f"{AUDIT}: made, policy\n{BACKUP}: made, expires after 40 days, policy\n")
    failed, said = run(ceph, keys, buckets, capsys)
    assert (failed, said) == (0, f"{AUDIT}: nothing to do\n{BACKUP}: nothing to do\n")

    speaker = {name: Speaker(ceph.url, pair) for name, pair in keys.items()}
    keeper, writer, reader = speaker["bucket-keeper"], speaker["audit-writer"], speaker["audit-reader"]
    status, text, headers = writer.ask("PUT", f"{AUDIT}/batch-1", b"what happened")
    assert status == 200, text
    version = urllib.parse.quote(headers["x-amz-version-id"])
    # Nobody writes over it: that is a version beside it.
    assert writer.status("PUT", f"{AUDIT}/batch-1", b"what did not") == 200
    assert reader.ask("GET", f"{AUDIT}/batch-1?versionId={version}")[:2] == (200, "what happened")
    until = reader.ask("GET", f"{AUDIT}/batch-1?retention&versionId={version}")[1]
    assert "COMPLIANCE" in until
    said_until = datetime.datetime.fromisoformat(
        JOB.found(until, "RetainUntilDate").replace("Z", "+00:00")[:19] + "+00:00"
    )
    left = said_until - datetime.datetime.now(datetime.UTC)
    assert 2556 <= left.days <= 2557

    for name in ("audit-writer", "audit-reader", "stranger", "bucket-keeper"):
        assert speaker[name].status("DELETE", f"{AUDIT}/batch-1?versionId={version}") == 403, name
        assert speaker[name].status("DELETE", f"{AUDIT}/batch-1") == 403, name
    assert reader.status("PUT", f"{AUDIT}/batch-2", b"mine") == 403
    assert speaker["stranger"].status("GET", f"{AUDIT}/batch-1") == 403
    assert speaker["backup-writer"].status("PUT", f"{AUDIT}/batch-2", b"mine") == 403
    assert speaker["backup-writer"].status("PUT", f"{BACKUP}/vault-1", b"sealed") == 200
    assert keeper.status("DELETE", AUDIT) in (403, 409)

    # Not the policy alone: without it the lock still holds, for its owner and with all that may be said.
    assert keeper.status("DELETE", f"{AUDIT}?policy") in (200, 204)
    tried = keeper.ask("DELETE", f"{AUDIT}/batch-1?versionId={version}", x_amz_bypass_governance_retention="true")
    assert tried[0] == 403, tried
    assert "object lock" in tried[1], tried
    failed, said = run(ceph, keys, buckets, capsys)
    assert (failed, said) == (0, f"{AUDIT}: policy\n{BACKUP}: nothing to do\n")
    assert reader.ask("GET", f"{AUDIT}/batch-1?versionId={version}")[:2] == (200, "what happened")


def test_a_lock_is_never_made_weaker(ceph: Ceph, keys: Any, buckets: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ceph, keys, buckets, capsys)[0] == 0
    for change in ({"days": 30}, {"mode": "GOVERNANCE"}):
        weaker = copy.deepcopy(buckets)
        weaker[AUDIT].update(change)
        failed, said = run(ceph, keys, weaker, capsys)
        assert failed == 1, said
        assert "are less: not done" in said, said
        assert f"{BACKUP}: nothing to do" in said, said
    longer = copy.deepcopy(buckets)
    longer[BACKUP].update({"days": 36})
    assert run(ceph, keys, longer, capsys) == (0, f"{AUDIT}: nothing to do\n{BACKUP}: locked\n")
    longer[BACKUP].update({"expire_days": 50})
    assert run(ceph, keys, longer, capsys) == (0, f"{AUDIT}: nothing to do\n{BACKUP}: expires after 50 days\n")


def test_a_bucket_without_a_lock_is_said(
    ceph: Ceph, keys: Any, buckets: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    keeper = Speaker(ceph.url, keys["bucket-keeper"])
    assert keeper.status("PUT", "plain") == 200
    failed, said = run(ceph, keys, {"plain": buckets[AUDIT]}, capsys)
    assert failed == 1
    assert "plain is there without object lock - next:" in said


def test_encryption_that_is_asked_for_is_refused_without_a_token(ceph: Ceph, keys: Any) -> None:
    """docs/storage.md: clients leave it out, or storage_object_token_secret is set."""
    keeper = Speaker(ceph.url, keys["bucket-keeper"])
    assert keeper.status("PUT", "asked") == 200
    asked = keeper.ask("PUT", "asked/one", b"1", x_amz_server_side_encryption="AES256")
    assert asked[0] == 400, asked
