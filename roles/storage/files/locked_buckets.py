# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make buckets with object lock, and keep them as they are declared.

Rook's claims of buckets know no object lock (https://github.com/rook/rook/issues/17883), and a bucket gets it when it
is made: so this runs in Ceph's image (Python 3.6 is enough, and its standard library), and speaks S3. A second run
changes nothing. What would weaken a lock is refused: another mode than COMPLIANCE in its place, or fewer days.

Environment: ENDPOINT, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, REGION, AUTHORITY (a file of PEM;
empty for plain HTTP).
The argument is a file of JSON: by bucket `mode`, `days`, `expire_days` (0 for never), `policy` (of S3, or null).
"""

import base64
import datetime
import hashlib
import hmac
import json
import os
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from xml.etree import ElementTree

SPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


class Refused(Exception):
    """Something that is not done, and why."""


def signature(secret, day, region, text):
    """The hexadecimal signature of a text (AWS Signature Version 4, derived from day, region and service)."""
    key = ("AWS4" + secret).encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def signed(method, url, headers, body, credentials, now):
    """The headers of a request, signed.

    Args:
        method, url, body: of the request; the query of the url is `name` or `name=value`, and the path is quoted.
        headers: those to be sent beside, with names in lower case.
        credentials: the key, the secret, the region.
        now: the time, in UTC.

    Returns:
        All headers. Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
    """
    key, secret, region = credentials
    parts = urllib.parse.urlsplit(url)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    digest = hashlib.sha256(body).hexdigest()
    everything = {**headers, "host": parts.netloc, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    names = ";".join(sorted(everything))
    query = "&".join(sorted(item if "=" in item else item + "=" for item in parts.query.split("&") if item))
    lines = [method, parts.path or "/", query, *(f"{name}:{everything[name].strip()}" for name in sorted(everything))]
    canonical = "\n".join([*lines, "", names, digest])
    scope = f"{day}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    everything["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={names}, "
        f"Signature={signature(secret, day, region, text)}"
    )
    return everything


class Store:
    """An object store that is spoken to as one user."""

    def __init__(self, endpoint, credentials, authority):
        self._endpoint, self._credentials = endpoint.rstrip("/"), credentials
        self._context = ssl.create_default_context(cafile=authority) if authority else None

    def ask(self, method, bucket, query="", body=b"", headers=None, missing=()):
        """The answer's body, or None where its status or its code of an error is one of `missing`."""
        url = f"{self._endpoint}/{urllib.parse.quote(bucket)}" + (f"?{query}" if query else "")
        now = datetime.datetime.now(datetime.timezone.utc)  # noqa: UP017
        sent = signed(method, url, headers or {}, body, self._credentials, now)
        request = urllib.request.Request(url, data=body or None, headers=sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60, context=self._context) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            said = error.read()
            if error.code in missing or any(str(code).encode() in said for code in missing):
                return None
            raise Refused(f"{method} {bucket}?{query}: {error.code} {said.decode(errors='replace')[:300]}") from error


def found(text, path):
    """The text of an element below the root, whatever its namespace; empty when it is missing."""
    here = ElementTree.fromstring(text)  # noqa: S314  # of the platform's own store
    for name in path.split("/"):
        here = next((item for item in here if item.tag.rpartition("}")[2] == name), None)
        if here is None:
            return ""
    return (here.text or "").strip()


def lock(mode, days):
    rule = f"<Rule><DefaultRetention><Mode>{mode}</Mode><Days>{days}</Days></DefaultRetention></Rule>"
    return (
        f'<ObjectLockConfiguration xmlns="{SPACE}"><ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}'
        "</ObjectLockConfiguration>"
    ).encode()


def lifecycle(days):
    rule = (
        "<Rule><ID>expire</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status>"
        f"<Expiration><Days>{days}</Days></Expiration>"
        "<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration></Rule>"
    )
    return f'<LifecycleConfiguration xmlns="{SPACE}">{rule}</LifecycleConfiguration>'.encode()


def digests(body):
    """What S3 asks for beside such a body: a checksum, no protection."""
    return {"content-md5": base64.b64encode(hashlib.md5(body).digest()).decode()}  # noqa: S324


def keep_lock(store, name, mode, days):
    """The lock of a bucket, which is made with it. Never made weaker."""
    there = store.ask("HEAD", name, missing=(404,)) is not None
    if not there:
        store.ask("PUT", name, headers={"x-amz-bucket-object-lock-enabled": "true"})
    said = store.ask("GET", name, "object-lock", missing=(404, "ObjectLockConfigurationNotFoundError"))
    if said is None or found(said, "ObjectLockEnabled") != "Enabled":
        raise Refused(
            f"{name} is there without object lock - next: take another name, or empty and remove it by hand; a bucket "
            "gets its lock when it is made"
        )
    has_mode = found(said, "Rule/DefaultRetention/Mode")
    has_days = int(found(said, "Rule/DefaultRetention/Days") or 0) + 365 * int(
        found(said, "Rule/DefaultRetention/Years") or 0
    )
    if (has_mode, has_days) == (mode, days):
        return "made" if not there else ""
    if (has_mode == "COMPLIANCE" and mode != "COMPLIANCE") or days < has_days:
        raise Refused(f"{name} is locked for {has_days} days in {has_mode}, and {days} in {mode} are less: not done")
    body = lock(mode, days)
    store.ask("PUT", name, "object-lock", body, digests(body))
    return "locked" if there else "made"


def keep_expiry(store, name, days):
    said = store.ask("GET", name, "lifecycle", missing=(404, "NoSuchLifecycleConfiguration"))
    if int((said and found(said, "Rule/Expiration/Days")) or 0) == days:
        return ""
    if not days:
        store.ask("DELETE", name, "lifecycle")
        return "expires no more"
    body = lifecycle(days)
    store.ask("PUT", name, "lifecycle", body, digests(body))
    return f"expires after {days} days"


def keep_policy(store, name, policy):
    said = store.ask("GET", name, "policy", missing=(404, "NoSuchBucketPolicy"))
    if (json.loads(said) if said else None) == policy:
        return ""
    if policy is None:
        store.ask("DELETE", name, "policy")
    else:
        store.ask("PUT", name, "policy", json.dumps(policy, sort_keys=True).encode())
    return "policy"


def main(wanted, environment):
    """Bring all buckets to what is wanted. Returns the number of those that could not be."""
    credentials = (environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"], environment["REGION"])
    store = Store(environment["ENDPOINT"], credentials, environment.get("AUTHORITY", ""))
    failed = 0
    for name, wish in sorted(wanted.items()):
        try:
            done = [
                keep_lock(store, name, wish["mode"], wish["days"]),
                keep_expiry(store, name, wish["expire_days"]),
                keep_policy(store, name, wish["policy"]),
            ]
            print(f"{name}: {', '.join(filter(None, done)) or 'nothing to do'}", flush=True)
        except (Refused, OSError) as error:
            failed += 1
            print(f"{name}: {error}", file=sys.stderr, flush=True)
    return failed


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        sys.exit(1 if main(json.load(file), os.environ) else 0)
