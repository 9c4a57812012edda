#!/usr/bin/python
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a service for a while, and says how long it was silent."""

from __future__ import annotations

DOCUMENTATION = r"""
module: availability
short_description: Ask a service again and again, and measure how long it was silent
version_added: 0.1.0
author:
  - banking.platform contributors (@banking-platform)
description:
  - For drills. It runs with C(async) while something is taken away, and returns the longest time between two answers
    as a figure of the run's record.
  - With O(etcd_key) it writes instead of reading, and proves at the end that no acknowledged write is lost.
attributes:
  check_mode:
    support: full
    description: Nothing is asked and nothing written.
  diff_mode:
    support: none
    description: Nothing is changed that could be shown.
  platform:
    support: full
    platforms: linux
    description: Linux with Python 3.8 or newer.
options:
  name:
    description: What the figure is called.
    type: str
    required: true
  urls:
    description:
      - Addresses of the service, https only. Another one is taken as soon as one does not answer.
      - An answer is a status below 400. With O(etcd_key) these are addresses of etcd's members.
    type: list
    elements: str
    required: true
  seconds:
    description: How long it asks.
    type: float
    required: true
  interval:
    description: Seconds from one question to the next.
    type: float
    default: 0.1
  timeout:
    description: Seconds after which a question counts as not answered. No shorter silence is measured well.
    type: float
    default: 0.5
  most:
    description: A longer silence than this, in seconds, is a failure.
    type: float
    required: true
  goal:
    description: The silence that is aimed at, in seconds. It stands beside the figure; missing it is no failure.
    type: float
  ca_path:
    description: File with the authorities of the service.
    type: path
    required: true
  client_cert:
    description: File with a client certificate.
    type: path
  client_key:
    description: File with its key.
    type: path
  etcd_key:
    description: A key of etcd that is counted up by each question, and removed at the end.
    type: str
"""

EXAMPLES = r"""
- name: Watch the API by its virtual address
  banking.platform.availability:
    name: silence of the API
    urls: ["https://10.20.0.10:8443/readyz"]
    ca_path: build/prod/ca/kubernetes.crt
    seconds: 60
    most: 30
    goal: 4
  async: 120
  poll: 0
  register: watched
"""

RETURN = r"""
answers:
  description: How many questions were answered.
  returned: not in check mode
  type: int
failures:
  description: How many were not.
  returned: not in check mode
  type: int
silences:
  description: Times without an answer in seconds, each from the last answer before to the first one after it.
  returned: not in check mode
  type: list
  elements: float
causes:
  description: Why questions were not answered, each cause once.
  returned: not in check mode
  type: list
  elements: str
measurements:
  description: The longest time between two answers, for the record of the run.
  returned: not in check mode
  type: list
  elements: dict
  sample: [{name: silence of the API, value: 1.9, unit: s, goal: "<= 4"}]
next_step:
  description: What to do after a failure.
  returned: failure
  type: str
"""

import base64
import http.client
import json
import ssl
import time
from typing import Any, Callable, Dict, List, Optional
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


class Service:
    """Something that answers by HTTPS on one or several addresses.

    Args:
        urls: its addresses; the one that answered last is asked first.
        tls: whom it trusts, and who the client is.
        timeout: seconds for connecting, and for each part of an answer.
    """

    def __init__(self, urls: List[str], tls: ssl.SSLContext, timeout: float) -> None:
        self.urls, self.tls, self.timeout = list(urls), tls, timeout

    def ask(self, path: str = "", body: Optional[Dict[str, str]] = None) -> Dict[str, Any]:
        """Ask the first address; when it does not answer, it becomes the last one.

        Returns:
            The answer to a body, empty without one.

        Raises:
            OSError, http.client.HTTPException: without an answer.
        """
        url = urlsplit(self.urls[0])
        connection = http.client.HTTPSConnection(url.netloc, timeout=self.timeout, context=self.tls)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request("GET" if body is None else "POST", (url.path + path) or "/", sent)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status >= 400:
                raise http.client.HTTPException(f"{url.netloc} answered {answer.status}")
            return json.loads(content) if body is not None else {}
        except (OSError, http.client.HTTPException, ValueError):
            self.urls.append(self.urls.pop(0))
            raise
        finally:
            connection.close()


# For how long etcd keeps what a drill wrote that was itself interrupted, in seconds: longer than any drill.
LEASE = 3600


class Watch:
    """Asks for a while.

    Attributes:
        answers: how many questions were answered; with a key in etcd, the number of the last write.
        silences: times without an answer in seconds, each from the last answer before to the first one after it.
        longest: the longest time between two answers in seconds, where all were answered too.
    """

    def __init__(self, service: Service, etcd_key: Optional[str] = None) -> None:
        self.service, self.key, self.lease = service, etcd_key, ""
        self.answers = self.failures = 0
        self.silences: List[float] = []
        self.causes: List[str] = []
        self.longest = 0.0
        self.clock: Callable[[], float] = time.monotonic
        self.sleep: Callable[[float], None] = time.sleep

    def run(self, seconds: float, interval: float) -> None:
        """Ask until the time is over.

        Raises:
            Failure: when it has never answered.
        """
        end = self.clock() + seconds
        last: Optional[float] = None
        silent = False
        while self.clock() < end:
            begun = self.clock()
            try:
                self._ask()
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failures += 1
                silent = True
                cause = str(error) or type(error).__name__
                if cause not in self.causes:
                    self.causes.append(cause)
            else:
                now = self.clock()
                if last is not None:
                    self.longest = max(self.longest, now - last)
                    if silent:
                        self.silences.append(now - last)
                last, silent = now, False
            self.sleep(max(0.0, interval - (self.clock() - begun)))
        if last is None:
            raise Failure(f"it has never answered: {'; '.join(self.causes[-3:])}", "see that it is up before a drill")
        if silent:
            # It may have begun to answer a moment later: this much is certain.
            self.silences.append(self.clock() - last)
            self.longest = max(self.longest, self.silences[-1])

    def _ask(self) -> None:
        if self.key:
            if not self.lease:
                self.lease = self.service.ask("/v3/lease/grant", {"TTL": str(LEASE)})["ID"]
            written = {"key": _b64(self.key), "value": _b64(str(self.answers + 1)), "lease": self.lease}
            self.service.ask("/v3/kv/put", written)
        else:
            self.service.ask()
        self.answers += 1

    def lost(self, tries: int = 20) -> int:
        """How many acknowledged writes etcd does not know any more; the key is removed.

        Raises:
            Failure: when it does not say.
        """
        key = _b64(self.key or "")
        for left in range(tries, 0, -1):
            try:
                kvs = self.service.ask("/v3/kv/range", {"key": key}).get("kvs") or []
                known = int(base64.b64decode(kvs[0]["value"])) if kvs else 0
                # With its lease goes the key, and a write that is still on its way comes to nothing.
                self.service.ask("/v3/lease/revoke", {"ID": self.lease})
                # A write without an answer may have been done all the same.
                return max(self.answers - known, 0)
            except (OSError, http.client.HTTPException, ValueError) as error:
                if left == 1:
                    raise Failure(f"etcd does not answer any more: {error}", "see playbooks/restore.yml") from error
                self.sleep(1.0)
        return 0


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "urls": {"type": "list", "elements": "str", "required": True},
            "seconds": {"type": "float", "required": True},
            "interval": {"type": "float", "default": 0.1},
            "timeout": {"type": "float", "default": 0.5},
            "most": {"type": "float", "required": True},
            "goal": {"type": "float"},
            "ca_path": {"type": "path", "required": True},
            "client_cert": {"type": "path"},
            "client_key": {"type": "path", "no_log": False},
            "etcd_key": {"type": "str", "no_log": False},
        },
        required_together=[("client_cert", "client_key")],
        supports_check_mode=True,
    )
    asked = module.params
    if module.check_mode:
        module.exit_json(changed=False)
    result: Dict[str, Any] = {"changed": False}
    try:
        tls = ssl.create_default_context(cafile=asked["ca_path"])
        if asked["client_cert"]:
            tls.load_cert_chain(asked["client_cert"], asked["client_key"])
        watch = Watch(Service(asked["urls"], tls, asked["timeout"]), asked["etcd_key"])
        watch.run(asked["seconds"], asked["interval"])
        figure = {"name": asked["name"], "value": round(watch.longest, 2), "unit": "s"}
        if asked["goal"] is not None:
            figure["goal"] = f"<= {asked['goal']:g}"
        result.update(
            answers=watch.answers,
            failures=watch.failures,
            silences=[round(silence, 2) for silence in watch.silences],
            causes=watch.causes,
            measurements=[figure],
        )
        lost = watch.lost() if asked["etcd_key"] else 0
        if lost:
            raise Failure(
                f"{lost} acknowledged writes are lost", "keep the members' data and logs, and look for the cause"
            )
        if watch.longest > asked["most"]:
            why = "; ".join(watch.causes[-3:]) or "slow answers"
            raise Failure(
                f"silent for {watch.longest:.1f} s, at most {asked['most']:g} are allowed: {why}",
                "see what it needs of the zone that was away (preflight's quorum table), mend that, and drill again",
            )
    except (Failure, OSError) as error:
        cause = getattr(error, "cause", str(error))
        step = getattr(error, "next_step", "see the paths of the certificates")
        module.fail_json(msg=f"{asked['name']}: {cause}", next_step=step, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
