# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate: what Trivy found in an image, and whether it may go out.

Shape of a report: aquasecurity/trivy:pkg/types/report.go@v0.74.0 (e1fd17a0ea4a).
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.banking.platform.plugins.module_utils.plan import Failure

SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "UNKNOWN")
EOSL = "EOSL"  # the finding that a distribution gets no updates any more, and so no findings either
_SCHEMA = 2
_SHOWN = 10  # of what is refused, in a message; the report has all


@dataclass(frozen=True)
class Acceptance:
    """A finding that somebody has accepted until a day."""

    id: str
    reason: str
    approved_by: str
    until: datetime.date
    images: tuple[str, ...] = ()

    def covers(self, found: Finding, image: str) -> bool:
        """Whether it is about a finding in an image."""
        return self.id == found.id and (not self.images or image in self.images)


@dataclass(frozen=True)
class Finding:
    """A vulnerability, or a secret that lies in the image."""

    id: str
    severity: str
    what: str
    fixed: str = ""

    def __str__(self) -> str:
        return f"{self.id} {self.severity} {self.what}" + (f", fixed in {self.fixed}" if self.fixed else "")


@dataclass
class Verdict:
    """What the gate says of one report.

    Attributes:
        counts: findings by severity.
        refused: findings that keep the image back.
        accepted: findings that would, but are accepted.
        used: identifiers of the acceptances that were needed.
    """

    counts: dict[str, int]
    refused: list[Finding] = field(default_factory=list)
    accepted: list[Finding] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def summary(self) -> str:
        """The refused findings in one line."""
        more = f", and {len(self.refused) - _SHOWN} more" if len(self.refused) > _SHOWN else ""
        return "; ".join(map(str, self.refused[:_SHOWN])) + more


def acceptances(entries: Iterable[Mapping[str, Any]], today: datetime.date) -> list[Acceptance]:
    """The accepted findings, read.

    Args:
        entries: each with id, reason, approved_by, until (YYYY-MM-DD), and images where it is not for all of them.
        today: the day of the run.

    Raises:
        Failure: naming each entry that is not whole, and each that has expired.
    """
    read, wrong = [], []
    for entry in entries:
        missing = [key for key in ("id", "reason", "approved_by", "until") if not str(entry.get(key) or "").strip()]
        if missing:
            wrong.append(f"{entry.get('id') or 'one without id'} has no {', '.join(missing)}")
            continue
        try:
            until = datetime.date.fromisoformat(str(entry["until"]))
        except ValueError:
            wrong.append(f"{entry['id']}: {entry['until']} is no day (YYYY-MM-DD)")
            continue
        if until < today:
            wrong.append(f"{entry['id']} was accepted by {entry['approved_by']} until {until}")
        images = tuple(str(name) for name in entry.get("images") or ())
        read.append(Acceptance(str(entry["id"]), str(entry["reason"]), str(entry["approved_by"]), until, images))
    if wrong:
        raise Failure(
            f"{len(wrong)} accepted finding(s) do not hold: " + "; ".join(wrong),
            "mend the finding in the image, or have it accepted anew (image_accepted)",
        )
    return read


def judge(
    report: Any, image: str, severities: Sequence[str], accepted: Sequence[Acceptance] = (), image_id: str = ""
) -> Verdict:
    """Judge a report of Trivy.

    Args:
        report: as Trivy's `--format json` writes it.
        image: the image's name without registry and version.
        severities: what keeps an image back.
        accepted: what somebody has accepted.
        image_id: digest of the image's configuration (`sha256:..`); the report must be about it.

    Raises:
        Failure: it is no report, or one about another image.
    """
    if not isinstance(report, Mapping) or report.get("SchemaVersion") != _SCHEMA or "ArtifactType" not in report:
        raise Failure(
            "what the scanner wrote is no report of Trivy", "see that it is Trivy, in a version of the catalog"
        )
    metadata = report.get("Metadata") or {}
    scanned = metadata.get("ImageID")
    if image_id and scanned != image_id:
        raise Failure(f"the scanner's report is about {scanned or 'no image'}, not about {image_id}", "run again")
    found = list(_findings(report, metadata))
    verdict = Verdict(dict.fromkeys(SEVERITIES, 0) | Counter(finding.severity for finding in found))
    for finding in found:
        if finding.severity not in severities:
            continue
        covering = [acceptance for acceptance in accepted if acceptance.covers(finding, image)]
        (verdict.accepted if covering else verdict.refused).append(finding)
        verdict.used.update(acceptance.id for acceptance in covering)
    order = {severity: number for number, severity in enumerate(SEVERITIES)}
    verdict.refused.sort(key=lambda finding: (order.get(finding.severity, len(order)), finding.id, finding.what))
    return verdict


def _findings(report: Mapping[str, Any], metadata: Mapping[str, Any]) -> Iterable[Finding]:
    system = metadata.get("OS") or {}
    if system.get("EOSL"):
        yield Finding(
            EOSL,
            "CRITICAL",
            f"{system.get('Family')} {system.get('Name')} gets no more updates: what is wrong in it is not reported",
        )
    seen = set()
    for result in report.get("Results") or []:
        for entry in result.get("Vulnerabilities") or []:
            what = f"{entry.get('PkgName')} {entry.get('InstalledVersion')}"
            finding = Finding(
                str(entry.get("VulnerabilityID")), _severity(entry), what, str(entry.get("FixedVersion") or "")
            )
            if finding not in seen:
                seen.add(finding)
                yield finding
        # The line itself is left out: it is the secret.
        for entry in result.get("Secrets") or []:
            yield Finding(str(entry.get("RuleID")), _severity(entry), f"{entry.get('Title')} in {result.get('Target')}")


def _severity(entry: Mapping[str, Any]) -> str:
    severity = str(entry.get("Severity") or "").upper()
    return severity if severity in SEVERITIES else "UNKNOWN"


def database_age(told: Any, now: datetime.datetime) -> float | None:
    """Days since the vulnerabilities that Trivy knows were put together; None where it does not say.

    Args:
        told: what `trivy version --format json` says.
        now: the time, with its zone.
    """
    updated = ((told or {}).get("VulnerabilityDB") or {}).get("UpdatedAt") if isinstance(told, Mapping) else None
    try:
        made = datetime.datetime.fromisoformat(str(updated).replace("Z", "+00:00"))
    except ValueError:
        return None
    return (now - made).total_seconds() / 86400
