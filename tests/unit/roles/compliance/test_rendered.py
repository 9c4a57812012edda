# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `compliance` delivers. Its report: tests/unit/action/test_cis_report.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.banking.platform.tests.unit.roles.conftest import RELEASES, Rendered

Render = Callable[..., Rendered]
NODES = {
    "platform_groups": {"control_plane": "control_plane", "worker": "worker", "etcd": "etcd"},
    "groups": {"control_plane": ["cp-a1", "cp-b1"], "worker": ["worker-a1"], "etcd": ["cp-a1"]},
}


def of_kind(found: Rendered, kind: str) -> dict[str, dict[str, Any]]:
    return {name.removeprefix("kube-bench-"): item for (each, name), item in found.objects.items() if each == kind}


def container(job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    return found


@pytest.mark.parametrize(("release", "benchmark"), [("2024.1", "cis-1.9"), ("2026.2", "cis-1.12")])
def test_each_node_is_scanned_by_what_fits_it(rendered: Render, release: str, benchmark: str) -> None:
    jobs = of_kind(rendered("compliance", release, **NODES), "CronJob")
    targets = {name: container(job)["args"][0].split("--targets ")[1].split()[0] for name, job in jobs.items()}
    assert targets == {
        "cp-a1": "master,controlplane,node,etcd",
        "cp-b1": "master,controlplane,node",
        "worker-a1": "node",
    }
    for name, job in jobs.items():
        pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        assert pod["nodeSelector"] == {"kubernetes.io/hostname": name}
        env = {item["name"]: item["value"] for item in container(job)["env"]}
        assert (env["NODE"], env["BENCHMARK"]) == (name, benchmark)


def test_scans_follow_each_other(rendered: Render) -> None:
    jobs = of_kind(rendered("compliance", "2024.1", compliance_schedule="58 3 * * 0", **NODES), "CronJob")
    assert [job["spec"]["schedule"] for _name, job in sorted(jobs.items())] == [
        "58 3 * * 0",
        "0 3 * * 0",
        "2 3 * * 0",
    ]


@pytest.mark.parametrize("release", RELEASES)
def test_scans_may_do_no_more_than_they_must(rendered: Render, release: str) -> None:
    found = rendered("compliance", release, **NODES)
    rule = found.objects["Role", "kube-bench"]["rules"]
    assert rule == [
        {
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": [f"kube-bench-{name}" for name in of_kind(found, "ConfigMap")],
            "verbs": ["get", "patch"],
        }
    ]
    for job in of_kind(found, "CronJob").values():
        template = job["spec"]["jobTemplate"]["spec"]["template"]
        labels = found.workload("scans").selector["matchLabels"]
        assert labels.items() <= template["metadata"]["labels"].items()
        context = container(job)["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"], "add": ["DAC_READ_SEARCH"]}
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        mounts = [mount for mount in container(job)["volumeMounts"] if mount["name"] != "tmp"]
        assert mounts
        assert all(mount["readOnly"] is True for mount in mounts)
        paths = {item["name"]: item["hostPath"]["path"] for item in template["spec"]["volumes"] if "hostPath" in item}
        assert {mount["name"]: mount["mountPath"] for mount in mounts} == paths


def test_what_is_left_out_is_data(rendered: Render) -> None:
    skipped = [{"id": "1.2.9", "reason": "x"}, {"id": "1.1.12", "reason": "y"}]
    jobs = of_kind(rendered("compliance", "2024.1", compliance_skipped=skipped, **NODES), "CronJob")
    assert "--skip 1.2.9,1.1.12" in container(jobs["cp-a1"])["args"][0]
    jobs = of_kind(rendered("compliance", "2024.1", compliance_benchmark="cis-1.8", **NODES), "CronJob")
    assert "--skip" not in container(jobs["cp-a1"])["args"][0]
    assert {"name": "BENCHMARK", "value": "cis-1.8"} in container(jobs["cp-a1"])["env"]
