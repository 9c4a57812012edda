# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What preflight finds: one shape for every check, so that all findings come at once and in one order."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Iterable, List

# From the worst to the mildest. Only an error stops the run.
SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True)
class Finding:
    """Something about the settings that the user has to know of.

    Attributes:
        severity: one of SEVERITIES; `error` stops the run.
        subject: the host, component or inventory that it is about.
        variable: where it is set.
        cause: what is wrong, with the figures.
        next_step: what to change.
        rule: which check found it: `topology`, `quorum`, `capacity`, or the name of a rule of settings.
    """

    severity: str
    subject: str
    variable: str
    cause: str
    next_step: str
    rule: str = "topology"

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"unknown severity {self.severity!r} of a finding about {self.subject}")

    def __str__(self) -> str:
        return f"{self.subject}: {self.variable}: {self.cause} - next: {self.next_step}"


def in_order(findings: Iterable[Finding]) -> List[Finding]:
    """The findings without repetitions, the worst first; within a severity as they were found."""
    return sorted(dict.fromkeys(findings), key=lambda finding: SEVERITIES.index(finding.severity))


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an error message: the nearest known name, else all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(names)}" if names else "there are none"
