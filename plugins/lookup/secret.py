# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: secret
short_description: The value that a reference to a secret stands for
version_added: 0.1.0
author: banking.platform contributors (@banking-platform)
description:
  - Reads a secret from Vault's or OpenBao's KV, a file, or the environment. A file may be encrypted by ansible-vault.
  - A secret of Vault is read once a process. Ansible runs each task of a host in a process of its own; values are not
    kept on disk between them.
  - In check mode nothing is made, and before Vault is there and unsealed, a value is a text that says so.
options:
  _terms:
    description:
      - References, V(vault:<mount>/<path>#<field>), V(file:<path>), V(env:<name>).
      - Without C(#<field>), a secret of Vault is a dictionary with all its fields.
    type: list
    elements: str
    required: true
  vault:
    description: Where Vault is and how to log in; the options of M(banking.platform.vault_config), each by its name.
    type: dict
    default: {}
    vars:
      - name: platform_secrets_vault
  generate:
    description:
      - Makes the field where it is not there, and writes it with check-and-set, so that two runs at once agree on one
        value. KV version 2 only.
      - C(length) is how many characters (32 by default, 12 at least), C(alphabet) which (letters and digits by
        default).
      - A secret that was deleted is not made again.
    type: dict
"""

EXAMPLES = r"""
- name: Configure the database
  banking.platform.vault_config:
    secret_engines:
      - type: database
        connections:
          - name: core
            password: "{{ lookup('banking.platform.secret', 'vault:kv/platform/postgresql#password') }}"

- name: Make a password where there is none
  ansible.builtin.set_fact:
    harbor_admin_password: "{{ lookup('banking.platform.secret', 'vault:kv/harbor#admin', generate={'length': 40}) }}"
  no_log: true
"""

RETURN = r"""
_raw:
  description: The values.
  type: list
  elements: raw
"""

import os
import secrets
import string
from collections.abc import Mapping
from typing import Any, ClassVar

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display

from ansible_collections.banking.platform.plugins.module_utils.http_session import HttpError
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure
from ansible_collections.banking.platform.plugins.module_utils.vault import CONNECTION, Vault

display = Display()

_LENGTH = 32
_SHORTEST = 12
_ALPHABET = string.ascii_letters + string.digits
_TO_COME = "generated-when-the-run-is-for-real"
_DEFERRED = "deferred: an unsealed Vault"
_ATTEMPTS = 3


class LookupModule(LookupBase):
    # One client a set of options, and what has been read by it.
    _clients: ClassVar[dict[str, Vault]] = {}
    _read: ClassVar[dict[tuple[str, str], tuple[str, dict[str, Any], int]]] = {}

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[Any]:
        """The values of references."""
        self.set_options(var_options=variables, direct=kwargs)
        known = variables or {}
        found = []
        for term in terms:
            kind, _colon, rest = str(term).partition(":")
            ways = {"vault": self._vault, "file": self._file, "env": self._env}
            try:
                if kind not in ways or not rest:
                    raise Failure("is no reference", "vault:<mount>/<path>#<field>, file:<path> or env:<name>")
                if self.get_option("generate") is not None and kind != "vault":
                    raise Failure("only secrets of Vault are generated", "leave generate out")
                found.append(ways[kind](rest, bool(known.get("ansible_check_mode"))))
            except Failure as failure:
                # A term that is no reference may be the secret itself.
                named = term if kind in ways else f"{kind[:12]}..."
                said = f"secret {named}: {failure.cause}"
                raise AnsibleError(f"{said} - next: {failure.next_step}" if failure.next_step else said) from None
        return found

    def _env(self, name: str, _check: bool) -> str:
        if name not in os.environ:
            raise Failure(f"{name} is not set in the environment of ansible-playbook", "set it")
        return os.environ[name]

    def _file(self, path: str, _check: bool) -> str:
        try:
            text: str = self._loader.get_text_file_contents(os.path.expanduser(path))
        except AnsibleError as error:
            raise Failure(
                f"cannot be read: {error.message}", "check the path, and the password of ansible-vault"
            ) from None
        return text.rstrip("\n")

    # Vault

    def _client(self) -> tuple[str, Vault]:
        options = {name: spec["default"] for name, spec in CONNECTION.items() if "default" in spec}
        given = dict(self.get_option("vault") or {})
        unknown = sorted(set(given) - set(CONNECTION))
        if unknown:
            raise Failure(f"vault has no option {', '.join(unknown)}", f"there are {', '.join(CONNECTION)}")
        options.update({name: value for name, value in given.items() if value is not None})
        key = repr(sorted(options.items()))
        if key not in self._clients:
            self._clients[key] = Vault(options)
        return key, self._clients[key]

    def _vault(self, reference: str, check: bool) -> Any:
        path, _hash, field = reference.partition("#")
        key, client = self._client()
        path = path.strip("/")
        kept = (key, path)
        if kept not in self._read:
            try:
                self._read[kept] = client.secret(path)
            except Failure:
                if check and not client.is_there():
                    display.warning(f"secret vault:{reference}: {_DEFERRED}")
                    return _DEFERRED
                raise
        place, fields, version = self._read[kept]
        if not field:
            if not fields:
                raise Failure("there is no such secret", "write it into Vault, or correct the path")
            return dict(fields)
        if field not in fields:
            wanted = self.get_option("generate")
            if wanted is None:
                there = f"the secret has no field {field} (it has {', '.join(sorted(fields))})"
                raise Failure(
                    there if fields else "there is no such secret", "write it into Vault, or ask for it by generate"
                )
            if check:
                return _TO_COME
            self._read[kept] = _generate(client, path, (place, fields, version), field, wanted)
        return self._read[kept][1][field]


def _generate(
    client: Vault, path: str, found: tuple[str, dict[str, Any], int], field: str, wanted: Mapping[str, Any]
) -> tuple[str, dict[str, Any], int]:
    """Make a field, unless somebody else has made it meanwhile."""
    unknown = sorted(set(wanted) - {"length", "alphabet"})
    length, alphabet = int(wanted.get("length", _LENGTH)), str(wanted.get("alphabet", _ALPHABET))
    if unknown or length < _SHORTEST or len(set(alphabet)) < 10:
        raise Failure("generate is unusable", f"length (at least {_SHORTEST}) and alphabet (at least 10 characters)")
    for _attempt in range(_ATTEMPTS):
        place, fields, version = found
        if version < 0:
            raise Failure("KV version 1 has no check-and-set", "use a mount of version 2")
        if field in fields:
            return found
        fields = {**fields, field: "".join(secrets.choice(alphabet) for _one in range(length))}
        try:
            answer = client.write(place, {"options": {"cas": version}, "data": fields}, idempotent=False)
        except HttpError as error:
            if error.status != 400 or "check-and-set" not in error.said:
                raise
            found = client.secret(path)
            continue
        return place, fields, int((answer.get("data") or {}).get("version") or version + 1)
    raise Failure("others write it all the time", "run again")
