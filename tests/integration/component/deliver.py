# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deliver a platform role as its Molecule scenario does (molecule/shared/component.yml).

`deliver.py <role> '{"unknown": [...], "variables": {...}}'` renders the role for both releases with the inventory of
every environment, twice, and has every object validated; then it brings what it rendered to a real API server, twice.
It says in a line each what was done and what could not be, and ends with 1 when something is wrong.

`unknown` are the kinds (`apiVersion kind`) that no CRD at hand describes, `variables` what the inventories do not say,
`tasks_from` the role's files of tasks that deliver something, in their order (`[main]`).
Charts are rendered too where $PLATFORM_CHARTS is a folder that holds all of the role's, packed, and its released
manifests (`<artifact>-<version>.yaml`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible.plugins.loader import init_plugin_loader

init_plugin_loader()

from ansible_collections.banking.platform.plugins.module_utils.catalog import load, releases  # noqa: E402
from ansible_collections.banking.platform.plugins.module_utils.kube import fields  # noqa: E402
from ansible_collections.banking.platform.plugins.module_utils.kube.apply import Apply, Wish  # noqa: E402
from ansible_collections.banking.platform.plugins.module_utils.kube.client import Client, connector  # noqa: E402
from ansible_collections.banking.platform.plugins.plugin_utils import manifests  # noqa: E402
from ansible_collections.banking.platform.plugins.plugin_utils.schemas import CRD, TEMPLATE, Schemas, crd_of  # noqa: E402
from ansible_collections.banking.platform.tests.integration.kube.cluster import Cluster  # noqa: E402
from ansible_collections.banking.platform.tests.programs import helm  # noqa: E402
from ansible_collections.banking.platform.tools import suites  # noqa: E402

OWN = "prod"  # the environment whose objects go to the API server
# Who would be asked does not run.
_ASKS = ("APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_RENDER = suites.CLONE / "molecule" / "shared" / "component_render.yml"


class Wrong(Exception):
    """Something that the scenario is there to find."""


class Scenario:
    """A role and what its scenario says.

    Args:
        role: the role's name.
        settings: `unknown`, `variables` and `tasks_from`, all optional.
    """

    def __init__(self, role: str, settings: Mapping[str, Any]) -> None:
        self.role = role
        self.unknown = set(settings.get("unknown", ()))
        # Those that were met, and whether the role was rendered without its charts: a kind may be of one release only.
        self.seen: set[str] = set()
        self.alone = False
        self.variables = dict(settings.get("variables", {}))
        self.tasks = list(settings.get("tasks_from", ["main"]))
        self.build = suites.CLONE / "build" / "molecule" / role
        self.crds = suites.crds_folder()
        named = os.environ.get("PLATFORM_CHARTS")
        self.charts = Path(named) if named else None

    # Rendering

    def render(self, environment: str, runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What the component said in each run; nothing where the environment does not have it."""
        told = {
            **self.variables,
            "component_role": self.role,
            "component_runs": list(runs),
            "component_tasks": self.tasks,
        }
        command = ["ansible-playbook", str(_RENDER), "-i", str(suites.CLONE / "inventories" / environment)]
        env = os.environ | {
            "ANSIBLE_CONFIG": str(suites.CLONE / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.json",
            "ANSIBLE_CALLBACKS_ENABLED": "ansible.builtin.timer",
            "PATH": f"{helm().parent}:{os.environ['PATH']}",
        }
        done = subprocess.run(
            [*command, "-e", json.dumps(told)], capture_output=True, text=True, timeout=300, env=env, check=False
        )
        if "{" not in done.stdout:
            raise Wrong(f"{environment}: {done.stdout}{done.stderr}")
        said, _end = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{") :])
        results = [host for play in said["plays"] for task in play["tasks"] for host in task["hosts"].values()]
        for result in results:
            if result.get("failed"):
                raise Wrong(f"{environment}: {result.get('msg') or result}")
        return [result for result in results if "not_validated" in result]

    def runs(self, environment: str) -> list[dict[str, Any]]:
        """A run for each release."""
        found = []
        for release in releases():
            build = self.build / environment / release
            ways = "manage" if self._charts_at_hand(release, build) else "external"
            found.append({"release": release, "build": str(build), "charts": ways, "crds": self._crds})
        return found

    @property
    def _crds(self) -> list[str]:
        return [str(self.crds)] if self.crds else []

    def _charts_at_hand(self, release: str, build: Path) -> bool:
        """Whether all charts of the role are there, packed; if so, they are put where they are looked for."""
        catalog = load(release)
        declared = (suites.CLONE / "roles" / self.role / "meta" / "platform.yml").read_text()
        # It may be a template, of what differs by the release.
        words = re.findall(r"[\w-]+", (re.search(r"^catalog: (.*)", declared, re.MULTILINE) or ["", ""])[1])
        named = [word for word in words if word in catalog.components]
        files = [f"charts/{catalog.chart(chart['name']).filename}" for name in named for chart in catalog.charts(name)]
        files += [
            f"artifacts/{artifact}-{catalog.version(artifact)}.yaml"
            for name in named
            for artifact, entry in (catalog.component(name).get("artifacts") or {}).items()
            if entry.get("kind") == "manifest"
        ]
        given = {build / file: self.charts / Path(file).name for file in files} if self.charts else {}
        if not given or not all(there.is_file() for there in given.values()):
            return False
        for path, there in given.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(there)
        return True

    def check_environment(self, environment: str) -> str:
        """Render for both releases, twice; say what came out."""
        runs = self.runs(environment)
        # What was valid is so the second time: reading CRDs again would take most of the time.
        results = self.render(environment, [*runs, *({**run, "crds": []} for run in runs)])
        if not results:
            return f"{environment}: the component is not enabled there"
        # A role may deliver more than one component.
        each = len(results) // (2 * len(runs))
        parts = []
        for place, run in enumerate(runs):
            where = f"{environment}, {run['release']}"
            first, again = (results[start * each :][:each] for start in (place, place + len(runs)))
            if not all(result["changed"] for result in first) or any(result["changed"] for result in again):
                raise Wrong(f"{where}: rendered for the second time: {[result.get('plan') for result in again]}")
            unknown = {kind for result in first for kind in result["not_validated"]}
            if self.crds and run["charts"] == "external" and not unknown <= self.unknown:
                raise Wrong(f"{where}: kinds without a CRD are {sorted(unknown)}, expected are {sorted(self.unknown)}")
            self.alone = self.alone or run["charts"] == "external"
            self.seen |= unknown
            missing = sorted({chart for result in first for chart in result["not_rendered"]})
            charts = "with" if run["charts"] == "manage" and not missing else "without"
            part = f"{run['release']}: {sum(result['objects'] for result in first)} objects {charts} charts"
            if missing:
                part += f", NOT RENDERED: {', '.join(missing)}"
            if unknown:
                part += f", NOT VALIDATED: {', '.join(sorted(unknown))}"
            parts.append(part)
        return f"{environment}: {'; '.join(parts)}"

    # The API server

    def check_server(self) -> str:
        """Bring what the role delivers to a real API server, twice."""
        missing = suites.SUITES["api"]()
        if missing:
            return f"NOT APPLIED to an API server: {missing}"
        release = self._release_of_server()
        if not release:
            return "NOT APPLIED to an API server: it is of no release's Kubernetes version"
        build = self.build / "own"
        ways = "manage" if self._charts_at_hand(release, build) else "external"
        run = {"release": release, "build": str(build), "charts": ways, "crds": []}
        results = self.render(OWN, [run])
        if not results:
            return f"NOT APPLIED to an API server: the component is not enabled in {OWN}"
        components = {
            folder.name.partition("-")[2]: [_alone(item) for item in _objects(folder) if item["kind"] not in _ASKS]
            for folder in sorted((build / "tree" / "components").iterdir())
        }
        objects = [item for found in components.values() for item in found]
        with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder), controllers=False) as cluster:
            client = Client(connector({"kubeconfig": cluster.admin}))
            surroundings = [*self._crds_for(objects, release), *_namespaces_for(objects)]
            if surroundings:
                _apply(client, "surroundings", surroundings, wait=True)
            for again in (False, True):
                for name, found in components.items():
                    # What a later wave delivers may take over what an earlier one has made once.
                    result = _apply(client, name, found, take_over=name != self.role.replace("_", "-"))
                    if set(result["counts"]) - ({"none"} if again else {"create", "update"}):
                        time = "second" if again else "first"
                        raise Wrong(f"API server, {name}, {time} time: {result['counts']}: {result.get('plan')}")
        charts = "with" if ways == "manage" else "without"
        return f"API server {release}: {len(objects)} objects {charts} charts applied, nothing to do the second time"

    @staticmethod
    def _release_of_server() -> str:
        program = suites.kubernetes_programs() / "kube-apiserver"
        said = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=True).stdout
        minor = re.search(r"v(\d+\.\d+)\.", said)
        fitting = [name for name in releases() if minor and load(name).kubernetes.startswith(f"{minor[1]}.")]
        return fitting[0] if fitting else ""

    def _crds_for(self, objects: Sequence[Mapping[str, Any]], release: str) -> Iterator[dict[str, Any]]:
        """The CRDs of the objects; for a kind that none at hand describes, one that takes everything."""
        known = Schemas(load(release).kubernetes)
        texts = [path.read_text() for path in sorted((self.crds / release).rglob("*.y*ml"))] if self.crds else []
        kinds: dict[tuple[str, str], Mapping[str, Any]] = {(item["apiVersion"], item["kind"]): item for item in objects}
        brought = {(item["spec"]["group"], item["spec"]["names"]["kind"]) for item in objects if item["kind"] == CRD}
        for (version, kind), item in sorted(kinds.items()):
            if known.namespaced(version, kind) is None and (version.partition("/")[0], kind) not in brought:
                found = [*_made(objects, kind), *_described(texts, version, kind)]
                yield found[0] if found else _anything(version, kind, item)


def _made(objects: Sequence[Mapping[str, Any]], kind: str) -> Iterator[dict[str, Any]]:
    """What Gatekeeper would make of a template: it does not run here."""
    for item in objects:
        if item["kind"] == TEMPLATE and item["spec"]["crd"]["spec"]["names"]["kind"] == kind:
            yield crd_of(manifests.Manifest(dict(item), "template"))


def _described(texts: Sequence[str], version: str, kind: str) -> Iterator[dict[str, Any]]:
    group = version.partition("/")[0]
    for text in texts:
        if f"group: {group}\n" in text and re.search(rf"\bkind: {kind}\b", text):
            for item in manifests.load(text, "CRD"):
                spec = item.object.get("spec") or {}
                if item.object["kind"] == CRD and (spec["group"], spec["names"]["kind"]) == (group, kind):
                    # What would convert it does not run here.
                    plain = {key: value for key, value in spec.items() if key != "conversion"}
                    yield {**item.object, "spec": plain}


def _anything(version: str, kind: str, item: Mapping[str, Any]) -> dict[str, Any]:
    group, _slash, name = version.partition("/")
    plural = f"{kind.lower()[:-1]}ies" if kind.endswith("y") else f"{kind.lower()}s"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": CRD,
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural},
            "scope": "Namespaced" if item["metadata"].get("namespace") else "Cluster",
            "versions": [{"name": name, "served": True, "storage": True, "schema": schema}],
        },
    }


def _objects(folder: Path) -> list[dict[str, Any]]:
    return [
        item.object for path in sorted(folder.rglob("*.yaml")) for item in manifests.load(path.read_text(), str(path))
    ]


def _alone(item: dict[str, Any]) -> dict[str, Any]:
    """An object as a server without pods and operators takes it: nothing of a sub-wave would ever be ready."""
    annotations = {k: v for k, v in (item["metadata"].get("annotations") or {}).items() if k != fields.SUB_WAVE}
    found = {**item, "metadata": {**item["metadata"], "annotations": annotations}}
    if item["kind"] == CRD:
        found["spec"] = {key: value for key, value in item["spec"].items() if key != "conversion"}
    return found


def _namespaces_for(objects: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    own = {item["metadata"]["name"] for item in objects if item["kind"] == "Namespace"} | {"kube-system", "default"}
    used = {item["metadata"]["namespace"] for item in objects if item["metadata"].get("namespace")}
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in sorted(used - own)]


def _apply(
    client: Client, component: str, objects: Sequence[Mapping[str, Any]], wait: bool = False, take_over: bool = False
) -> dict[str, Any]:
    wish = Wish(component=component, objects=objects, wait=wait, take_over=take_over)
    applying = Apply(client, wish, False, False)
    applying.run()
    return dict(applying.result())


def main(role: str, settings: str = "{}") -> int:
    """Run the scenario; the exit status of the program."""
    scenario = Scenario(role, json.loads(settings))
    shutil.rmtree(scenario.build, ignore_errors=True)
    if not scenario.crds:
        print("CUSTOM RESOURCES ARE NOT VALIDATED: set PLATFORM_CRDS to a folder with one folder of CRDs a release")
    environments = sorted(path.parent.name for path in suites.CLONE.glob("inventories/*/hosts.yml"))
    try:
        with ThreadPoolExecutor(2) as pool:
            for line in pool.map(scenario.check_environment, environments):
                print(line)
        if scenario.crds and scenario.alone and scenario.unknown - scenario.seen:
            raise Wrong(f"no run met {sorted(scenario.unknown - scenario.seen)}: take them out of `unknown`")
        print(scenario.check_server())
    except Wrong as wrong:
        print(f"{role}: {wrong}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
