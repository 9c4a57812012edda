# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One control plane for all tests of the folder, and a namespace of its own for each test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.banking.platform.plugins.module_utils.kube.apply import Apply, Wish
from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client, connector
from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster
from ansible_collections.banking.platform.tools import suites

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    missing = suites.SUITES["api"]()
    if missing:
        pytest.skip(missing)
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture
def name() -> str:
    """A name that no other test has: for the component and its namespace."""
    return f"t{next(_NUMBERS)}"


@pytest.fixture
def namespace(cluster: Cluster, name: str) -> str:
    cluster.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


@pytest.fixture
def client(cluster: Cluster) -> Client:
    return Client(connector({"kubeconfig": cluster.admin}))


@pytest.fixture
def apply(client: Client, name: str) -> Callable[..., dict[str, Any]]:
    """Run the engine once, in this process, and give its result."""

    def run(*objects: Any, check: bool = False, diff: bool = False, using: Client | None = None, **wish: Any) -> Any:
        used = using or client
        used.requests.clear()
        wish.setdefault("component", name)
        applying = Apply(used, Wish(objects=objects, **wish), check, diff)
        applying.run()
        return applying.result()

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
