# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's half of certificates: tell what is there, make keys and requests, put signed certificates in place.

Keys are made by the node's `openssl` in a folder that only root may enter, and wait there until the certificate comes:
then both take their places together.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any, Dict, Iterable, Mapping

from ansible_collections.banking.platform.plugins.module_utils.node.files import Files, WantedFile, remove
from ansible_collections.banking.platform.plugins.module_utils.node.system import System
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan

PENDING = "/var/lib/banking-platform/certificates"


class Certificates:
    """The phases of one run on a node.

    Args:
        system: the node.
        check: whether nothing may be changed.
        pending: folder for keys whose certificates are not there yet.
    """

    def __init__(self, system: System, check: bool, pending: str = PENDING) -> None:
        self.system = system
        self.check = check
        self.pending = pending
        self.plan = Plan()

    def read(self, files: Mapping[str, Mapping[str, str]], keys: Iterable[str]) -> Dict[str, Any]:
        """What lies there: texts of public files, public halves of keys, and a plan of owners and modes.

        Args:
            files: owner, group and mode of all paths.
            keys: those of them that are private keys.
        """
        keys = list(keys)
        texts = {}
        for path in files:
            if path not in keys and os.path.isfile(path):
                with open(path, encoding="ascii", errors="replace") as file:
                    texts[path] = file.read()
        public = {path: self._public(path) for path in keys if os.path.isfile(path)}
        self._files(files, {}).plan(self.plan)
        return {
            "texts": texts,
            "public": public,
            "time": time.time(),
            "plan_changes": self.plan.changed,
            "plan": [step.as_dict() for step in self.plan.steps],
        }

    def request(self, keys: Iterable[str]) -> Dict[str, str]:
        """Make new keys; requests by the path that each key will have.

        Raises:
            Failure: when openssl is not there or does not do it.
        """
        os.makedirs(self.pending, mode=0o700, exist_ok=True)
        os.chmod(self.pending, 0o700)
        requests = {}
        for path in keys:
            place = self._place(path)
            remove(place)
            # Made empty and closed to others first: openssl keeps the mode of a file that is there.
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            curve = ["-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:named_curve"]
            self._openssl("genpkey", "-algorithm", "EC", *curve, "-out", place)
            requests[path] = self._openssl("req", "-new", "-key", place, "-subj", "/CN=node")
        return requests

    def install(
        self, files: Mapping[str, Mapping[str, str]], contents: Mapping[str, str], made: Iterable[str]
    ) -> Dict[str, Any]:
        """Put new contents and keys that wait into their places; owners and modes of all of them too.

        Args:
            contents: by path, what the controller sends.
            made: paths of keys that `request` made.
        """
        made = list(made)
        new = {path: text.encode() for path, text in contents.items()}
        for path in made:
            new[path] = b"" if self.check else self._pending_key(path)
        wanted = self._files(files, new)
        wanted.plan(self.plan)
        if not self.check:
            self.plan.apply()
            for path in made:
                remove(self._place(path))
        return dict(
            self.plan.result(),
            paths=sorted(step.target for step in self.plan.steps if step.changes and step.target in files),
        )

    def _files(self, files: Mapping[str, Mapping[str, str]], new: Mapping[str, bytes]) -> Files:
        wanted = {path: WantedFile(path, new.get(path), sensitive=True, **options) for path, options in files.items()}
        return Files(self.system, wanted, {}, {}, [], self.check)

    def _place(self, path: str) -> str:
        return os.path.join(self.pending, hashlib.sha256(path.encode()).hexdigest() + ".key")

    def _pending_key(self, path: str) -> bytes:
        try:
            with open(self._place(path), "rb") as file:
                return file.read()
        except OSError as error:
            raise Failure(f"the new key for {path} is gone", "run again") from error

    def _public(self, path: str) -> str:
        done = self.system.run(["openssl", "pkey", "-in", path, "-passin", "pass:", "-pubout"])
        return done.out if done.ok else ""

    def _openssl(self, *arguments: str) -> str:
        done = self.system.run(["openssl", *arguments])
        if not done.ok:
            raise Failure(f"openssl {arguments[0]}: {done.last_lines()}", "mend OpenSSL on the node and run again")
        return done.out
