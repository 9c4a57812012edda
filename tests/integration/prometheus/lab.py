# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Six nodes in three zones as network namespaces, with what runs on servers for real, watched by what the role renders.

On each node: HAProxy with the configuration of the role `api_lb`, and the node exporter. On the control-plane nodes:
a member of etcd, one of OpenBao, and a server that answers as an API server's readiness does. Beside them a namespace
with Prometheus, Alertmanager and who is told. Only times differ from what is rendered: `speed` divides them.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from ansible_collections.banking.platform.plugins.plugin_utils.manifests import load
from ansible_collections.banking.platform.tests import promql
from ansible_collections.banking.platform.tools import suites
from ansible_collections.banking.platform.tools.suites import CLONE

ZONES = {"zone-a": 1, "zone-b": 2, "zone-c": 3}
NODES = {f"{kind}-{zone[-1]}1": (zone, number) for zone in ZONES for kind, number in (("cp", 11), ("worker", 21))}
_PREFIX = "10.94"
WATCHER = f"{_PREFIX}.9.10"
RECEIVERS = ("platform", "security", "data", "banking", "duty", "lead")
_NAME = "prom-lab"


def address(node: str) -> str:
    """The address of a node."""
    zone, number = NODES[node]
    return f"{_PREFIX}.{ZONES[zone]}.{number}"


def run(*command: str, **options: Any) -> str:
    """Run a program; what it says. Raises CalledProcessError, with its errors said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


def faster(text: str, speed: int) -> str:
    """A duration of Prometheus, divided."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    seconds = sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([smhd])", text)) / speed
    return f"{round(seconds * 1000)}ms" if seconds else "0s"


class Lab:
    """The namespaces and what runs in them.

    Args:
        folder: for configurations, data and logs.
        speed: what times are divided by.
    """

    def __init__(self, folder: Path, speed: int) -> None:
        self.folder, self.speed = folder, speed
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.told = folder / "told.jsonl"
        self.seal = base64.b64encode(os.urandom(32)).decode()
        self.etcd = shutil.which("etcd") or ""

    # Network

    def _netns(self, name: str) -> str:
        return f"{_NAME}-{name}"

    def wire(self) -> None:
        """A bridge for each zone and one between them; cutting a zone off is setting the link of its bridge down."""
        self.unwire()
        hub = self._netns("hub")
        run("ip", "netns", "add", hub)
        for name in (*ZONES, "core"):
            run("ip", "-n", hub, "link", "add", name, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
            run("ip", "-n", hub, "link", "set", name, "up")
        for zone in ZONES:
            run("ip", "-n", hub, "link", "add", f"u-{zone}", "type", "veth", "peer", "name", f"d-{zone}")
            run("ip", "-n", hub, "link", "set", f"u-{zone}", "master", "core", "up")
            run("ip", "-n", hub, "link", "set", f"d-{zone}", "master", zone, "up")
        for node, (zone, _number) in NODES.items():
            self._attach(node, zone, address(node))
        self._attach("watcher", "core", WATCHER)

    def _attach(self, name: str, bridge: str, ip: str) -> None:
        hub, netns = self._netns("hub"), self._netns(name)
        run("ip", "netns", "add", netns)
        run("ip", "-n", hub, "link", "add", f"v-{name}", "type", "veth", "peer", "name", "eth0", "netns", netns)
        run("ip", "-n", hub, "link", "set", f"v-{name}", "master", bridge, "up")
        run("ip", "-n", netns, "link", "set", "lo", "up")
        run("ip", "-n", netns, "address", "add", f"{ip}/16", "dev", "eth0")
        run("ip", "-n", netns, "link", "set", "eth0", "up")

    def unwire(self) -> None:
        """Take the namespaces away."""
        for name in ("hub", "watcher", *NODES):
            subprocess.run(["ip", "netns", "del", self._netns(name)], capture_output=True, check=False)

    def cut(self, zone: str, cut: bool = True) -> None:
        """Cut a zone off, or join it again."""
        run("ip", "-n", self._netns("hub"), "link", "set", f"u-{zone}", "down" if cut else "up")

    # Processes

    def start(self, name: str, netns: str, *command: str, shell: str = "") -> None:
        """Start a program in a namespace."""
        log = (self.folder / f"{name}.log").open("ab")
        whole = ["sh", "-c", f'{shell} exec "$@"', "sh", *command] if shell else list(command)
        self.processes[name] = subprocess.Popen(
            ["ip", "netns", "exec", self._netns(netns), *whole],
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=self.folder,
        )

    def stop(self, name: str) -> None:
        """End a program that was started here."""
        process = self.processes.pop(name)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        """End everything."""
        for name in list(self.processes):
            self.stop(name)
        self.unwire()

    def servers(self) -> None:
        """Start what runs on servers."""
        masters = [node for node in NODES if node.startswith("cp")]
        peers = ",".join(f"{node}=http://{address(node)}:2380" for node in masters)
        template = jinja2.Environment(
            trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined, autoescape=False
        ).from_string((CLONE / "roles/api_lb/templates/root/etc/haproxy/haproxy.cfg.j2").read_text())
        hostvars = {node: {"platform_address": address(node), "platform_zone": NODES[node][0]} for node in NODES}
        for node in NODES:
            config = self.folder / f"{node}-haproxy.cfg"
            config.write_text(
                template.render(
                    ansible_managed="a test",
                    inventory_hostname=node,
                    hostvars=hostvars,
                    **hostvars[node],
                    __api_lb_virtual=False,
                    __api_lb_servers=masters,
                    api_lb_virtual_ip="",
                )
            )
            own = "mkdir -p /run/haproxy && mount -t tmpfs tmpfs /run/haproxy &&"
            self.start(f"{node}-haproxy", node, "haproxy", "-W", "-f", str(config), shell=own)
            textfile = self.folder / f"{node}-textfile"
            textfile.mkdir()
            self.start(
                f"{node}-exporter",
                node,
                "prometheus-node-exporter",
                f"--web.listen-address={address(node)}:9100",
                f"--collector.textfile.directory={textfile}",
            )
        self._certificate("ca")
        for node in masters:
            ip = address(node)
            self.start(
                f"{node}-etcd",
                node,
                self.etcd,
                "--name",
                node,
                "--data-dir",
                str(self.folder / f"{node}-etcd"),
                "--listen-peer-urls",
                f"http://{ip}:2380",
                "--initial-advertise-peer-urls",
                f"http://{ip}:2380",
                "--listen-client-urls",
                f"http://{ip}:2379",
                "--advertise-client-urls",
                f"http://{ip}:2379",
                "--listen-metrics-urls",
                f"http://{ip}:2381",
                "--initial-cluster",
                peers,
            )
            self._bao(node)
            self.start(
                f"{node}-api",
                node,
                sys.executable,
                str(CLONE / "tests/integration/api_lb/api_server.py"),
                node,
                str(self.folder / f"{node}.pem"),
                str(self.folder / f"{node}.key"),
                str(self.folder / "never"),
            )

    def _certificate(self, name: str, *options: str) -> None:
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split()
        run(
            *command, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem", *options, cwd=self.folder
        )

    def _bao(self, node: str) -> None:
        program = suites.openbao()
        assert program, "OpenBao is missing: make venv"
        ip = address(node)
        self._certificate(
            node, "-CA", "ca.pem", "-CAkey", "ca.key", "-addext", f"subjectAltName=DNS:vault.vault.svc,IP:{ip}"
        )
        config = self.folder / f"{node}-bao.hcl"
        data = self.folder / f"{node}-bao"
        data.mkdir()
        others = "\n".join(
            f"""  retry_join {{
    leader_api_addr = "https://{address(other)}:8200"
    leader_ca_cert_file = "{self.folder}/ca.pem"
    leader_tls_servername = "vault.vault.svc"
  }}"""
            for other in NODES
            if other.startswith("cp") and other != node
        )
        config.write_text(
            f"""
storage "raft" {{
  path = "{data}"
  node_id = "{node}"
  performance_multiplier = 1
{others}
}}
seal "static" {{
  current_key_id = "1"
  current_key = "{self.seal}"
}}
listener "tcp" {{
  address = "{ip}:8200"
  tls_cert_file = "{self.folder}/{node}.pem"
  tls_key_file = "{self.folder}/{node}.key"
  telemetry {{ unauthenticated_metrics_access = true }}
}}
telemetry {{
  prometheus_retention_time = "24h"
  disable_hostname = true
}}
api_addr = "https://{ip}:8200"
cluster_addr = "https://{ip}:8201"
"""
        )
        self.start(f"{node}-bao", node, str(program), "server", f"-config={config}")

    def initialise(self) -> None:
        """Initialise OpenBao by its first member; the others join, and each unseals itself."""
        url, body = f"https://{address('cp-a1')}:8200/v1/sys/init", '{"recovery_shares": 1, "recovery_threshold": 1}'
        wait(60, lambda: self.ask(url, "--insecure", "--request", "PUT", "--data", body), f"{url}: no answer")

    def ask(self, url: str, *options: str) -> Any:
        """What an address says to the watcher; None where it says nothing."""
        command = [
            "ip",
            "netns",
            "exec",
            self._netns("watcher"),
            "curl",
            "--silent",
            "--fail",
            "--max-time",
            "5",
            *options,
            url,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return json.loads(done.stdout or "null") if done.returncode == 0 else None

    # What is rendered

    def render(self) -> list[dict[str, Any]]:
        """The role's objects, rendered for these nodes by a playbook, with who is told here."""
        inventory = self.folder / "inventory"
        shutil.copytree(CLONE / "inventories" / "prod", inventory)
        groups: dict[str, Any] = {
            "node": {
                "children": {
                    zone.replace("-", "_"): {
                        "vars": {"platform_zone": zone},
                        "hosts": {node: {"ansible_host": address(node)} for node in NODES if NODES[node][0] == zone},
                    }
                    for zone in ZONES
                }
            },
            "control_plane": {"hosts": {node: None for node in NODES if node.startswith("cp")}},
            "worker": {"hosts": {node: None for node in NODES if node.startswith("worker")}},
            "etcd": {"children": {"control_plane": None}},
            "vault": {"children": {"control_plane": None}},
        }
        (inventory / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": groups}}))
        hook = f"http://{WATCHER}:5001"
        told = {
            "platform_delivery": "render",
            "platform_build_dir": str(self.folder / "build"),
            "platform_charts": "external",
            "prometheus_receivers": {
                name: {"webhook_configs": [{"url": f"{hook}/{name}", "send_resolved": True}]} for name in RECEIVERS
            },
        }
        play = [
            {
                "hosts": "localhost",
                "connection": "local",
                "gather_facts": False,
                "tasks": [{"ansible.builtin.import_role": {"name": "banking.platform.prometheus"}}],
            }
        ]
        (self.folder / "play.yml").write_text(yaml.safe_dump(play))
        run(
            "ansible-playbook",
            str(self.folder / "play.yml"),
            "-i",
            str(inventory),
            "-e",
            json.dumps(told),
            env=os.environ | {"ANSIBLE_CONFIG": str(CLONE / "ansible.cfg")},
        )
        tree = self.folder / "build" / "tree" / "components"
        return [item.object for file in sorted(tree.rglob("*.yaml")) for item in load(file.read_text(), str(file))]

    def watch(self, objects: list[dict[str, Any]]) -> None:
        """Start Prometheus, Alertmanager and who is told, with what was rendered."""
        rules = self.folder / "rules"
        rules.mkdir()
        for where, group in promql.groups_of(objects):
            quick = [
                {**rule, "for": faster(rule["for"], self.speed)} if "for" in rule else rule for rule in group["rules"]
            ]
            name = f"{where.replace('/', '-')}-{group['name']}.yml"
            (rules / name).write_text(yaml.safe_dump({"groups": [{**group, "rules": quick}]}))
        (prometheus,) = [item["spec"] for item in objects if item["kind"] == "Prometheus"]
        interval = faster(prometheus["scrapeInterval"], min(self.speed, 5))
        config = {
            "global": {
                "scrape_interval": interval,
                "scrape_timeout": interval,
                "evaluation_interval": interval,
                "external_labels": prometheus["externalLabels"],
            },
            "rule_files": [str(rules / "*.yml")],
            "scrape_configs": [
                scrape_config(item, self.folder / "ca.pem") for item in objects if item["kind"] == "ScrapeConfig"
            ],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"{WATCHER}:9093"]}]}]},
        }
        path = self.folder / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        run("promtool", "check", "config", str(path))
        (secret,) = [item for item in objects if item["metadata"]["name"] == "alertmanager-config"]
        routes = yaml.safe_load(secret["spec"]["target"]["template"]["data"]["alertmanager.yaml"])
        for route in _routes(routes["route"]):
            for key in ("group_wait", "group_interval", "repeat_interval"):
                if key in route:
                    route[key] = faster(route[key], self.speed)
        (self.folder / "platform.tmpl").write_text(
            next(
                item["data"]["platform.tmpl"]
                for item in objects
                if item["metadata"]["name"] == "alertmanager-templates"
            )
        )
        routes["templates"] = [str(self.folder / "*.tmpl")]
        (self.folder / "alertmanager.yml").write_text(yaml.safe_dump(routes))
        run("amtool", "check-config", str(self.folder / "alertmanager.yml"))
        self.told.touch()
        self.start(
            "receiver",
            "watcher",
            sys.executable,
            str(Path(__file__).with_name("receiver.py")),
            WATCHER,
            "5001",
            str(self.told),
        )
        self.start(
            "alertmanager",
            "watcher",
            "prometheus-alertmanager",
            f"--config.file={self.folder}/alertmanager.yml",
            f"--storage.path={self.folder}/alertmanager",
            f"--web.listen-address={WATCHER}:9093",
            "--cluster.listen-address=",
        )
        self.start(
            "prometheus",
            "watcher",
            "prometheus",
            f"--config.file={path}",
            f"--storage.tsdb.path={self.folder}/tsdb",
            f"--web.listen-address={WATCHER}:9090",
        )

    # What is seen

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query."""
        url = f"http://{WATCHER}:9090/api/v1/query?query={urllib.parse.quote(expression)}"
        found = self.ask(url)
        return list(found["data"]["result"]) if found else []

    def firing(self) -> set[str]:
        """Names of alerts that fire."""
        return {item["metric"]["alertname"] for item in self.query('ALERTS{alertstate="firing"}')}

    def inhibited(self) -> set[str]:
        """Names of alerts that Alertmanager holds back because of another one."""
        found = self.ask(f"http://{WATCHER}:9093/api/v2/alerts?inhibited=true&active=false") or []
        return {item["labels"]["alertname"] for item in found if item["status"]["inhibitedBy"]}

    def notifications(self) -> list[dict[str, Any]]:
        """All that was told so far, but what the dead man's switch says."""
        return [json.loads(line) for line in self.told.read_text().splitlines()]


def _routes(route: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield route
    for inner in route.get("routes", []):
        yield from _routes(inner)


def scrape_config(item: Mapping[str, Any], authority: Path) -> dict[str, Any]:
    """A ScrapeConfig as the operator writes it into Prometheus' configuration, as far as the platform uses it."""
    spec = dict(item["spec"])
    found: dict[str, Any] = {"job_name": f"scrapeConfig/{item['metadata']['namespace']}/{item['metadata']['name']}"}
    names = {"metricsPath": "metrics_path", "params": "params", "staticConfigs": "static_configs"}
    found |= {theirs: spec.pop(ours) for ours, theirs in names.items() if ours in spec}
    found["scheme"] = spec.pop("scheme", "HTTP").lower()
    if "tlsConfig" in spec:
        tls = spec.pop("tlsConfig")
        assert tls["ca"] == {"configMap": {"name": "platform-ca", "key": "ca.crt"}}
        found["tls_config"] = {"server_name": tls["serverName"], "ca_file": str(authority)}
    assert not spec, f"{item['metadata']['name']}: {sorted(spec)} is not translated here"
    return found


def wait(seconds: float, true: Callable[[], Any], otherwise: str) -> float:
    """Wait until something is true; how many seconds it took. Raises AssertionError with `otherwise`."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, otherwise
        time.sleep(0.5)
    return time.monotonic() - began
