# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node as the reconciler meets it: commands and the places of the kernel. Tests put others in their place."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from typing import List, Optional, Sequence, Union

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure


@dataclass
class Completed:
    """What a command left behind: exit status, standard output and standard error as text."""

    status: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        """Whether the command exited with 0."""
        return self.status == 0

    def last_lines(self, most: int = 5) -> str:
        """The last lines that the command printed, standard error first, for an error message."""
        text = self.err.strip() or self.out.strip()
        return "\n".join(text.splitlines()[-most:]) or f"exit status {self.status}"


@dataclass
class System:
    """Where things are on this node.

    Attributes:
        state_dir: what the reconciler remembers: the digests that units run with.
        cache_dir: downloads that are not complete yet.
        artifact_dir: unpacked artifacts, a folder each.
        proc_sys: running sysctls.
        sys_module: loaded (and builtin) kernel modules.
        lib_modules: the running kernel's module files.
        tmp_dir: for check mode, where nothing may be written beside a target.
    """

    state_dir: str = "/var/lib/banking-platform/converge"
    cache_dir: str = "/var/cache/banking-platform"
    artifact_dir: str = "/opt/banking-platform"
    proc_sys: str = "/proc/sys"
    sys_module: str = "/sys/module"
    lib_modules: str = "/lib/modules/" + os.uname().release
    tmp_dir: Optional[str] = None

    def run(self, command: Union[str, Sequence[str]], timeout: float = 60) -> Completed:
        """Run a command without a shell.

        Args:
            command: a list of arguments, or a line that is split as a shell would.
            timeout: seconds after which it is killed and counts as failed (status 124).

        Raises:
            Failure: when there is no such program.
        """
        argv: List[str] = shlex.split(command) if isinstance(command, str) else list(command)
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                timeout=timeout,
                env=dict(os.environ, LC_ALL="C", SYSTEMD_PAGER="", SYSTEMD_COLORS="0"),
                check=False,
            )
        except FileNotFoundError as error:
            raise Failure(f"program {argv[0]!r} is not installed", "add its package to the role's packages") from error
        except OSError as error:
            raise Failure(f"program {argv[0]!r} cannot be started: {error.strerror}", "mend it on the node") from error
        except subprocess.TimeoutExpired:
            return Completed(124, "", f"{argv[0]} was still running after {timeout:g} s")
        return Completed(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def has_program(self, command: str) -> bool:
        """Whether the program that a command line starts is there."""
        return shutil.which(shlex.split(command)[0]) is not None
