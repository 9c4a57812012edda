# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates of a role, rendered on the controller with a host's variables."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import EncryptedString, is_encrypted_file
from ansible.template import Templar, trust_as_template

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

SUFFIX = ".j2"
_MANAGED = "Managed by Ansible (banking.platform): local changes are overwritten"
# Variables of Ansible's own that repeat what stands elsewhere; looking for secrets in them would cost and find nothing.
_NOT_SEARCHED = frozenset(("hostvars", "vars", "groups", "ansible_facts", "group_names", "ansible_play_hosts"))
# Anything shorter is found everywhere by accident.
_SHORTEST_SECRET = 6


class Renderer:
    """Renders files for one host.

    Args:
        templar: of the task.
        loader: of the task; it decrypts files that ansible-vault has encrypted.
        variables: of the task and host.
        searchpath: folders in which `include` and `import` of a template look.
    """

    def __init__(
        self, templar: Templar, loader: DataLoader, variables: Mapping[str, Any], searchpath: list[str]
    ) -> None:
        self._loader = loader
        self._variables = {"ansible_managed": _MANAGED, **variables}
        self._templar = templar
        self._searchpath = searchpath
        self._engine = templar.copy_with_new_env(searchpath=searchpath, available_variables=self._variables)

    def tree(self, root: str) -> Iterator[tuple[str, str]]:
        """The files of a tree: path below it (with a leading slash, without the suffix of a template) and source.

        Raises:
            Failure: when a file is there as a template and as it is.
        """
        for base, folders, names in os.walk(root, followlinks=True):
            folders.sort()
            for name in sorted(names):
                source = os.path.join(base, name)
                if f"{name}{SUFFIX}" in names:
                    raise Failure(f"{source} is there with and without {SUFFIX}", "keep one of them")
                path = "/" + os.path.relpath(source, root)
                yield path.removesuffix(SUFFIX), source

    def content(self, source: str, extra: Mapping[str, Any] | None = None) -> bytes:
        """What a file becomes for this host: rendered when it is a template, as it is otherwise.

        Args:
            source: on the controller.
            extra: variables for this file only.

        Raises:
            Failure: naming the file and the cause.
        """
        try:
            with open(self._loader.get_real_file(source), "rb") as file:
                raw = file.read()
            return self._render(raw.decode(), extra) if source.endswith(SUFFIX) else raw
        except OSError as error:
            raise Failure(f"{source} cannot be read: {error.strerror}", "mend it on the controller") from error
        except UnicodeDecodeError as error:
            raise Failure(f"template {source} is not UTF-8: {error}", f"encode it so, or drop {SUFFIX}") from error
        except AnsibleError as error:
            cause = getattr(error, "message", "") or str(error)
            next_step = "define it for this host" if "undefined" in cause else "mend the template or its variables"
            raise Failure(f"template {source} cannot be rendered: {cause.rstrip('.')}", next_step) from error

    @property
    def knows_secrets(self) -> bool:
        """Whether any variable is kept encrypted."""
        return bool(self._secrets)

    @functools.cached_property
    def _secrets(self) -> list[str]:
        return _long_enough(encrypted_texts(self._variables))

    def is_secret(self, content: bytes, source: str = "", extra: Mapping[str, Any] | None = None) -> bool:
        """Whether a file is kept secret at its source (if it has one), or took in a value that is."""
        if source and is_encrypted_file_at(source):
            return True
        return any(text.encode() in content for text in [*self._secrets, *_long_enough(encrypted_texts(extra or {}))])

    def _render(self, text: str, extra: Mapping[str, Any] | None) -> bytes:
        engine = self._engine
        if extra:
            engine = self._templar.copy_with_new_env(
                searchpath=self._searchpath, available_variables={**self._variables, **extra}
            )
        rendered = engine.template(
            trust_as_template(text), escape_backslashes=False, overrides={"trim_blocks": True, "lstrip_blocks": False}
        )
        return ("" if rendered is None else str(rendered)).encode()


def is_encrypted_file_at(path: str) -> bool:
    """Whether ansible-vault has encrypted a file."""
    with open(path, "rb") as file:
        return is_encrypted_file(file)


def _long_enough(texts: Iterable[str]) -> list[str]:
    """Texts that are found where they stand and not by accident; what surrounds them is often cut off by a template."""
    return [text.strip() for text in texts if len(text.strip()) >= _SHORTEST_SECRET]


def encrypted_texts(value: Any, _files: dict[str, bool] | None = None) -> Iterator[str]:
    """The texts among some variables that are encrypted where they are defined: alone, or with their whole file."""
    files: dict[str, bool] = {} if _files is None else _files
    if isinstance(value, Mapping):
        for key, item in value.items():
            if _files is not None or key not in _NOT_SEARCHED:
                yield from encrypted_texts(item, files)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from encrypted_texts(item, files)
    elif isinstance(value, EncryptedString):
        yield str(value)
    elif isinstance(value, str) and (_was_encrypted(value) or _comes_from_encrypted_file(value, files)):
        yield value


def _was_encrypted(value: str) -> bool:
    """Whether a value was decrypted on its way here, where this version of Ansible remembers it."""
    return any(tag.__name__ == "VaultedValue" for tag in getattr(value, "_ansible_tags_mapping", None) or {})


def _comes_from_encrypted_file(value: str, files: dict[str, bool]) -> bool:
    origin = _origin(value)
    if not origin:
        return False
    if origin not in files:
        files[origin] = os.path.isfile(origin) and is_encrypted_file_at(origin)
    return files[origin]


def _origin(value: str) -> str:
    """The file that a value was read from, where this version of Ansible remembers it."""
    for tag in (getattr(value, "_ansible_tags_mapping", None) or {}).values():
        path = getattr(tag, "path", None)
        if path:
            return str(path)
    return ""
