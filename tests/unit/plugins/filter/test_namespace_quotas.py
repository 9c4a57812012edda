# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Quotas of namespaces, from workloads and a budget."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleError
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.banking.platform.plugins.filter.network_policies import namespace_quotas
from ansible_collections.banking.platform.plugins.module_utils import quantities

HOSTS = {"worker": ["10.0.0.1", "10.0.0.2", "10.0.0.3"]}
APP = {
    "replicas": 2,
    "requests": {"cpu": "500m", "memory": "1Gi"},
    "limits": {"memory": "2Gi"},
    "hpa": {"min": 2, "max": 10},
}
AGENT = {"runs": "daemon", "nodes": "worker", "requests": {"cpu": "100m", "memory": "64Mi"}}


def hard(
    budget: Any = None, headroom: int = 0, namespaces: Any = ("shop",), **options: Any
) -> dict[str, dict[str, str]]:
    """Quotas of a shop with an application that scales and an agent on each worker; another component is elsewhere."""
    declared = {
        "shop": {"namespace": "shop", "workloads": {"app": APP, "agent": AGENT}},
        "other": {
            "namespace": "other",
            "workloads": {"db": {"replicas": 3, "requests": {"cpu": 1, "memory": "2Gi", "storage": "10Gi"}}},
        },
        "off": None,
    }
    return namespace_quotas(declared, namespaces, HOSTS, budget, headroom, **options)


def test_a_namespace_may_ask_for_its_largest():
    assert hard() == {
        "shop": {
            "requests.cpu": "5300m",
            "requests.memory": "10432Mi",
            "limits.memory": "20672Mi",
            "requests.storage": "0",
            "pods": "30",
        }
    }


def test_headroom_and_sidecars_come_on_top():
    sidecar = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}
    found = hard(headroom=25, sidecar=sidecar, mesh=["shop"])["shop"]
    assert found["requests.cpu"] == "8200m"  # (10 x 600m + 3 x 200m) x 1.25, rounded down
    assert found["limits.memory"] == "42496Mi"  # (10 x 3Gi + 3 x (64Mi + 1Gi)) x 1.25, rounded up


def test_a_budget_cuts_what_scales_and_nothing_else():
    """5 CPUs: 3 are the other component's, 1.3 must run, so that 0.7 of the 4 are left for more."""
    assert hard({"cpu": 5})["shop"]["requests.cpu"] == "2"
    assert hard({"cpu": 4})["shop"]["requests.cpu"] == "1300m"
    assert hard({"cpu": 1})["shop"]["requests.cpu"] == "1300m"
    assert hard({"cpu": 100})["shop"]["requests.cpu"] == "5300m"


def test_all_namespaces_are_cut_by_the_same_share():
    found = hard({"cpu": 6}, 100, ["shop", "other"])
    # 4.3 of the 6 must run; of what is left, shop gets 9.3 and other 3 of 12.3 parts.
    assert found["shop"]["requests.cpu"] == "2500m"
    assert found["other"]["requests.cpu"] == "3400m"


def test_storage_is_counted():
    assert hard(namespaces=["other"])["other"]["requests.storage"] == "30Gi"


def test_what_cannot_be_read_names_the_filter():
    with pytest.raises(AnsibleError, match=r"banking\.platform\.namespace_quotas: '5 cores' is no amount of CPU"):
        hard({"cpu": "5 cores"})


counts = st.integers(0, 12)
workload = st.builds(
    lambda few, more, cpu, memory: {
        "replicas": few,
        "requests": {"cpu": f"{cpu}m", "memory": f"{memory}Mi"},
        "hpa": {"min": few, "max": few + more},
    },
    counts,
    counts,
    st.integers(1, 3000),
    st.integers(1, 5000),
)


@given(st.lists(workload, min_size=3, max_size=3), st.integers(0, 200000), st.integers(0, 200))
@settings(max_examples=200, deadline=None)
def test_what_must_run_fits_and_the_sum_is_within_the_budget_where_that_carries_it(workloads, budget, headroom):
    declared = {
        name: {"namespace": name, "workloads": {"app": item}} for name, item in zip("abc", workloads, strict=True)
    }
    found = namespace_quotas(declared, ["a", "b"], {}, {"cpu": f"{budget}m"}, headroom)
    must = {
        name: item["replicas"] * quantities.cpu(item["requests"]["cpu"])
        for name, item in zip("abc", workloads, strict=True)
    }
    given_out = {name: quantities.cpu(amounts["requests.cpu"]) for name, amounts in found.items()}
    assert all(given_out[name] >= must[name] for name in "ab")
    if sum(must.values()) <= budget:
        assert sum(given_out.values()) + must["c"] <= budget
