# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of real runs on localhost."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import ipaddress
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.banking.platform.plugins.plugin_utils import record

pytestmark = pytest.mark.slow

HOSTS = """\
all:
  vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  children: {node: {hosts: {cp-a1: , worker-a1: }}}
"""
# As an action plugin: no module has to be started, which is what takes the time.
ACTION = """\
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        args = dict(self._task.args)
        return super().run(tmp, task_vars) | dict(changed=False) | args
"""
RECONCILER = """\
- name: Nodes
  hosts: node
  gather_facts: false
  tasks:
    - name: Converge
      say:
        changed: true
        plan:
          - {kind: file, target: /etc/x, action: update}
          - {kind: file, target: /etc/y, action: none}
        diff: [{before: "old\\n", after: "new {{ password_of_db }}\\n"}]
        deferred: ["unit x: {{ password_of_db }}"]
"""
PROOF = """\
- name: Preflight
  hosts: node
  gather_facts: false
  tasks:
    - name: Prove
      run_once: true
      say:
        findings: [{severity: warning, subject: etcd, cause: few}]
        topology: {zones: [zone-a], nodes: []}
        quorum: [{component: etcd}]
        capacity: {cases: []}
        versions: [{component: etcd, version: 3.6.1}]
"""
FAILING = """\
- name: Nodes
  hosts: node
  gather_facts: false
  tasks:
    - name: Deploy {{ vaulted }}
      say:
        failed: true
        msg: "cannot log in with {{ vaulted }} or {{ api_token }}"
        next_step: "try {{ nested.inner }}"
      when: inventory_hostname == 'cp-a1'
    - name: Away
      ansible.builtin.ping:
      vars: {ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 1}
      when: inventory_hostname == 'worker-a1'
"""
RESCUED = """\
- name: Nodes
  hosts: cp-a1
  gather_facts: false
  tasks:
    - name: Guarded
      block:
        - {name: Try, say: {failed: true, msg: no}}
      rescue:
        - {name: Rescue, ansible.builtin.meta: noop}
"""
HIDDEN = """\
- name: Nodes
  hosts: cp-a1
  gather_facts: false
  vars: {quiet: true}
  tasks:
    - name: Loop
      say: {failed: true, msg: "plain-secret {{ item }}", plan: [{kind: file, target: plain-secret, action: create}]}
      loop: [one-secret, two-secret]
      no_log: "{{ quiet }}"
      ignore_errors: true
    - name: Shown
      say: {failed: "{{ item == 'two' }}", msg: "item {{ item }}"}
      loop: [one, two]
"""
MEASURED = """\
- name: Measure
  hosts: cp-a1
  gather_facts: false
  vars: {api_token: secret-in-a-figure}
  tasks:
    - name: Failover
      say:
        measurements: [{name: failover, value: 4.5, unit: s, goal: "<= 30"}, {name: "{{ api_token }}", value: 1}, 7]
    - name: Each zone
      say: {measurements: [{name: "loss of {{ item }}", value: 61, unit: s, goal: 60}]}
      loop: [zone-a, zone-b]
    - name: Hidden
      say: {measurements: [{name: hidden, value: 1}]}
      no_log: true
"""
PASSWORD = "correct horse battery"


@pytest.fixture
def project(tmp_path):
    """A folder with an inventory of two hosts that are this machine, an action, and no ansible.cfg of ours."""
    for name, text in {
        "hosts.yml": HOSTS,
        "action_plugins/say.py": ACTION,
        "ansible.cfg": "[defaults]\ncollections_path = none\n",
        "vault.txt": "a vault's password\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def environment(project: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PLATFORM_"))}
    return kept | {
        "ANSIBLE_CONFIG": str(project / "ansible.cfg"),
        "ANSIBLE_CALLBACKS_ENABLED": "banking.platform.record",
        "ANSIBLE_LOCAL_TEMP": str(project / "tmp"),
        **more,
    }


def command(project: Path, plays: str, *arguments: str) -> list[str]:
    (project / "site.yml").write_text(plays)
    return [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "hosts.yml", "site.yml", *arguments]


def run(project: Path, plays: str, *arguments: str, code: int = 0, **more: str) -> str:
    """The output of a run."""
    done = subprocess.run(
        command(project, plays, *arguments), cwd=project, env=environment(project, **more), check=False, timeout=60,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    return done.stdout


def runs(project: Path) -> Path:
    return project / "build" / project.name / "runs"


def latest(project: Path) -> dict:
    return json.loads((runs(project) / "latest" / "run.json").read_text())


def written(project: Path) -> str:
    """All that is in any file of the records."""
    return "".join(path.read_text() for path in runs(project).rglob("*") if path.is_file())


def encrypt(project: Path, name: str, text: str) -> str:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-vault")), "encrypt_string", "--vault-password-file",
         "vault.txt", "--stdin-name", name], cwd=project, env=environment(project), input=text, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout


def test_reconciler_in_check_mode(project):
    out = run(project, RECONCILER, "--check", "-e", f'{{"password_of_db": "{PASSWORD}", "shown": "a value"}}')
    assert "WARNING" not in out
    kept = latest(project)
    assert (kept["outcome"], kept["check"], kept["playbook"]) == ("ok", True, "site.yml")
    assert kept["extra_vars"] == {"password_of_db": record.MASK, "shown": "a value"}
    assert kept["plays"][0]["hosts"] == ["cp-a1", "worker-a1"]
    results = kept["tasks"][0]["results"]
    assert [result["status"] for result in results] == ["changed", "changed"]
    assert [step["target"] for step in results[0]["plan"]] == ["/etc/x"]
    assert results[0]["diff"][0]["after"] == f"new {record.MASK}\n"
    assert results[0]["deferred"] == [f"unit x: {record.MASK}"]
    assert results[0]["started"] <= results[0]["ended"] <= kept["ended"]
    assert PASSWORD not in written(project)
    assert (runs(project) / "latest").resolve().stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in (runs(project) / "latest").iterdir())


def test_measured_figures(project):
    assert "WARNING" not in run(project, MEASURED)
    where = {"host": "cp-a1", "role": ""}
    assert latest(project)["measurements"] == [
        {"name": "failover", "value": 4.5, "unit": "s", "goal": "<= 30", "reached": True, "task": "Failover"} | where,
        {"name": record.MASK, "value": 1, "unit": None, "goal": None, "reached": None, "task": "Failover"} | where,
        *({"name": f"loss of {zone}", "value": 61, "unit": "s", "goal": 60, "reached": False, "task": "Each zone"}
          | where for zone in ("zone-a", "zone-b")),
    ]  # fmt: skip
    assert "not reached" in (runs(project) / "latest" / "report.html").read_text()
    assert "secret-in-a-figure" not in written(project)


def test_a_rescued_failure_does_not_fail_the_run(project):
    run(project, RESCUED)
    kept = latest(project)
    assert (kept["outcome"], [failure["forgiven"] for failure in kept["failures"]]) == ("ok", ["rescued"])


def test_proof(project):
    run(project, PROOF)
    kept = latest(project)
    assert kept["topology"]["zones"] == ["zone-a"]
    assert kept["versions"] == [{"component": "etcd", "version": "3.6.1"}]
    assert None not in [kept[key] for key in record.PROOF]
    assert "<html" in (runs(project) / "latest" / "report.html").read_text()


def test_failures_without_secrets(project):
    secrets = {"vaulted": "vaulted-first-line\nsecond-vaulted-line", "inner": "hidden-deep-inside"}
    folder = project / "group_vars"
    folder.mkdir()
    inner = encrypt(project, "inner", secrets["inner"]).replace("\n", "\n  ")
    text = encrypt(project, "vaulted", secrets["vaulted"]) + f"\nnested:\n  {inner}\napi_token: plain-api-token\n"
    (folder / "all.yml").write_text(text)
    run(project, FAILING, "--vault-password-file", "vault.txt", code=4)
    kept = latest(project)
    assert kept["outcome"] == "failed"
    failures = {failure["host"]: failure for failure in kept["failures"]}
    assert failures["cp-a1"]["cause"].startswith("cannot log in with ****")
    assert failures["cp-a1"]["next_step"] == f"try {record.MASK}"
    assert failures["cp-a1"]["task"] == f"Deploy {record.MASK}"
    assert failures["worker-a1"]["status"] == "unreachable"
    assert "Failed to connect" in failures["worker-a1"]["cause"]
    for secret in ("vaulted-first-line", "second-vaulted-line", "hidden-deep-inside", "plain-api-token"):
        assert secret not in written(project)


def test_no_log_and_loops(project):
    run(project, HIDDEN, code=2)
    kept = latest(project)
    loop, shown = kept["tasks"]
    assert set(loop["results"][0]) - {"started", "ended"} == {
        "host", "status", "forgiven", "censored", "cause", "next_step",
    }  # fmt: skip
    assert "item two" in shown["results"][0]["cause"]
    assert "item one" not in shown["results"][0]["cause"]
    assert [failure["forgiven"] for failure in kept["failures"]] == ["ignored", ""]
    assert "-secret" not in written(project)


def test_killed_run_is_interrupted(project):
    plays = RECONCILER + "    - {name: Wait, ansible.builtin.pause: {seconds: 50}}\n"
    argv = command(project, plays, "-e", "password_of_db=abcdef")
    with subprocess.Popen(
        argv, cwd=project, env=environment(project), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            until = time.monotonic() + 30
            while time.monotonic() < until and "Wait" not in "".join(
                path.read_text() for path in runs(project).rglob("*.jsonl")
            ):
                time.sleep(0.1)
        finally:
            # A worker has a session of its own, and would wait for its killed parent for ever.
            workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            os.killpg(process.pid, signal.SIGKILL)
            for worker in workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(worker), signal.SIGKILL)
    (events,) = runs(project).rglob("events.jsonl")
    kept = record.fold(record.read_events(events))
    assert kept["outcome"] == "interrupted"
    assert [task["name"] for task in kept["tasks"]] == ["Converge", "Wait"]
    assert kept["hosts"] == {"cp-a1": {"changed": 1}, "worker-a1": {"changed": 1}}


def test_a_record_that_cannot_be_written_is_one_warning(project):
    (project / "build").write_text("not a folder")
    out = run(project, RECONCILER, "-e", "password_of_db=abcdef")
    assert out.count("record of the run") == 1
    assert "changed=1" in out


class Store(http.server.BaseHTTPRequestHandler):
    """Answers with the codes it was told, then 201."""

    codes: list[int]
    seen: list[tuple[str, str, dict]]

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.path, self.headers["Authorization"], body))
        self.send_response(self.codes.pop(0) if self.codes else 201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def store():
    handler = type("Handler", (Store,), {"codes": [], "seen": []})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield handler, f"http://127.0.0.1:{server.server_port}/runs"
        server.shutdown()


def certificate(name: str, path: Path, issuer: tuple | None = None, address: str = "127.0.0.1") -> tuple:
    """A certificate and its key in a file, by an issuer (certificate and key) or, as a CA, by itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .sign(issuer[1] if issuer else key, hashes.SHA256())
    )
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(text + made.public_bytes(serialization.Encoding.PEM))
    return made, key


class Quiet(http.server.ThreadingHTTPServer):
    """Says nothing of clients that end the connection, since they do not trust it."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        return None


@pytest.fixture
def secure_store(tmp_path_factory):
    """A store behind TLS, and a function that gives it the certificate of a file."""
    handler = type("Handler", (Store,), {"codes": [], "seen": []})
    with Quiet(("127.0.0.1", 0), handler) as server:
        plain = server.socket

        def use(path: Path) -> None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(path)
            server.socket = tls.wrap_socket(plain.dup(), server_side=True, do_handshake_on_connect=False)

        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield handler, f"https://127.0.0.1:{server.server_port}/runs", use
        server.shutdown()


def test_a_store_behind_tls(tmp_path, secure_store, monkeypatch):
    handler, url, use = secure_store
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    issuer = certificate("the test's CA", tmp_path / "ca.pem")
    certificate("store", tmp_path / "store.pem", issuer)
    certificate("elsewhere", tmp_path / "elsewhere.pem", issuer, "127.0.0.9")
    use(tmp_path / "store.pem")

    why = record.send(url, "token", b'{"a": 1}')
    assert f"the certificate of {url.split('/')[2]} is refused: unable to get local issuer certificate" in why
    assert "authorities of this machine; SSL_CERT_FILE" in why
    assert handler.seen == []  # neither the token nor the record went to somebody who may be another

    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert record.send(url, "token", b'{"a": 1}') == ""
    assert handler.seen == [("/runs", "Bearer token", {"a": 1})]

    use(tmp_path / "elsewhere.pem")
    why = record.send(url, "token", b'{"a": 1}')
    assert "IP address mismatch" in why
    assert str(tmp_path / "ca.pem") in why
    assert len(handler.seen) == 1


def test_a_run_sends_its_record_over_tls_or_warns(project, secure_store):
    handler, url, use = secure_store
    certificate("store", project / "store.pem", certificate("the test's CA", project / "ca.pem"))
    use(project / "store.pem")
    settings = {"PLATFORM_RECORD_STORE": url, "SSL_CERT_FILE": str(project / "ca.pem")}
    assert "WARNING" not in run(project, PROOF, **settings)
    assert [body for _path, _token, body in handler.seen] == [latest(project)]
    settings["SSL_CERT_FILE"] = os.devnull
    # Ansible folds a warning into lines of the terminal's width.
    out = " ".join(run(project, PROOF, **settings).split())
    assert out.count("record of this run was not sent: the certificate of 127.0.0.1:") == 1
    assert len(handler.seen) == 1


def test_store(project, store):
    handler, url = store
    (project / "token").write_text("the-stores-token\n")
    settings = {"PLATFORM_RECORD_STORE": url, "PLATFORM_RECORD_TOKEN_FILE": str(project / "token")}
    handler.codes[:] = [503]
    assert "WARNING" not in run(project, PROOF, **settings)
    assert [code for code, _token, _body in handler.seen] == [handler.seen[0][0]] * 2
    path, token, body = handler.seen[-1]
    assert path == f"/runs/{project.name}/{(runs(project) / 'latest').resolve().name}.json"
    assert token == "Bearer the-stores-token"
    assert body == latest(project)
    handler.codes[:] = [403]
    out = run(project, PROOF, **settings)
    assert out.count("record of this run was not sent") == 1
    assert len(handler.seen) == 3
    assert "the-stores-token" not in out + written(project)
