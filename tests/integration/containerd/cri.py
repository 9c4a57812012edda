#!/usr/bin/env python3
# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask containerd what the kubelet would ask it, over the CRI: what `crictl` does, for machines that cannot get it.

    cri.py info                            runtime, conditions and configuration, as `crictl info`
    cri.py images                          references of the images that the kubelet sees
    cri.py pull IMAGE                      pull an image, through the mirrors of certs.d
    cri.py pod --image busybox --memory N -- sh -c 'exit 3'
                                           run one container in a pod on the node's network; say how it ended

gRPC is HTTP/2 with five bytes before each message, which curl can speak, and the few messages are protobuf by hand;
the numbers are those of k8s.io/cri-api, runtime.v1. Prints JSON. Needs Python 3.11 and curl.
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from typing import Any

CONFIGURATION = "/etc/crictl.yaml"
SOCKET = "/run/containerd/containerd.sock"
STATES = ("created", "running", "exited", "unknown")
NODE_NETWORK = 2
Field = tuple[int, int | str | bytes | list[Any]]


class RefusedError(Exception):
    """The call did not get through, or containerd refused it."""


def encode(fields: Iterable[Field]) -> bytes:
    """A protobuf message. A list is a message of its own."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += _varint(number << 3) + _varint(value)
        else:
            data = encode(value) if isinstance(value, list) else value.encode() if isinstance(value, str) else value
            out += _varint(number << 3 | 2) + _varint(len(data)) + data
    return out


def decode(data: bytes) -> dict[int, list[Any]]:
    """The fields of a message by number; messages in it stay bytes."""
    fields: dict[int, list[Any]] = {}
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        value: int | bytes
        if kind == 0:
            value, at = _read_varint(data, at)
        elif kind == 2:
            size, at = _read_varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"protobuf: kind {kind} is not used by the CRI")
        fields.setdefault(key >> 3, []).append(value)
    return fields


def call(method: str, message: bytes = b"", service: str = "RuntimeService") -> dict[int, list[Any]]:
    """Call a method of the CRI and return the fields of its answer."""
    with tempfile.NamedTemporaryFile() as headers:
        done = subprocess.run(
            ["curl", "--silent", "--show-error", "--http2-prior-knowledge", "--unix-socket", endpoint(),
             "--max-time", "60", "--dump-header", headers.name,
             "--header", "content-type: application/grpc", "--header", "te: trailers",
             "--data-binary", "@-", f"http://localhost/runtime.v1.{service}/{method}"],
            input=struct.pack(">BI", 0, len(message)) + message,
            capture_output=True,
            check=False,
        )  # fmt: skip
        said = dict(line.split(": ", 1) for line in headers.read().decode().splitlines() if ": " in line)
    if done.returncode != 0:
        raise RefusedError(f"{method}: {done.stderr.decode().strip()}")
    if said.get("grpc-status") != "0":
        raise RefusedError(f"{method}: {said.get('grpc-message', said)}")
    return decode(done.stdout[5:])


def endpoint() -> str:
    """The socket that crictl's own configuration names, if there is one."""
    if os.path.exists(CONFIGURATION):
        with open(CONFIGURATION, encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("runtime-endpoint: unix://"):
                    return line.split("unix://", 1)[1].strip()
    return SOCKET


def info() -> dict[str, Any]:
    version = call("Version")
    status = call("Status", encode([(1, 1)]))
    conditions = [decode(c) for c in decode(status[1][0]).get(1, [])]
    details = [decode(entry) for entry in status.get(2, [])]
    return {
        "runtime": _text(version, 2),
        "version": _text(version, 3),
        "conditions": {_text(c, 1): bool(c.get(2, [0])[0]) for c in conditions},
        "info": {_text(entry, 1): _loaded(_text(entry, 2)) for entry in details},
    }


def images() -> list[str]:
    found = [decode(image) for image in call("ListImages", service="ImageService").get(1, [])]
    return sorted(tag.decode() for image in found for tag in image.get(2, []))


def pull(image: str) -> str:
    return _text(call("PullImage", encode([(1, [(1, image)])]), service="ImageService"), 1)


def pod(image: str, memory: int, command: list[str], timeout: int = 60) -> dict[str, Any]:
    """Run one container in a pod of its own, to its end."""
    name = f"test-{os.getpid()}"
    logs = tempfile.mkdtemp(prefix="cri-")
    # The kubelet's systemd driver names a slice; a path here would be refused.
    linux = [(1, "system.slice"), (2, [(1, [(1, NODE_NETWORK)])])]
    sandbox_config = encode([(1, [(1, name), (2, name), (3, "default")]), (3, logs), (8, linux)])
    sandbox = _text(call("RunPodSandbox", encode([(1, sandbox_config)])), 1)
    try:
        config: list[Field] = [(1, [(1, "main")]), (2, [(1, image)]), *((3, part) for part in command)]
        config += [(11, "main.log"), (15, [(1, [(4, memory)] if memory else [])])]
        container = _text(call("CreateContainer", encode([(1, sandbox), (2, config), (3, sandbox_config)])), 1)
        call("StartContainer", encode([(1, container)]))
        until = time.monotonic() + timeout
        while True:
            status = decode(call("ContainerStatus", encode([(1, container)]))[1][0])
            state = STATES[status.get(3, [0])[0]]
            if state == "exited" or time.monotonic() > until:
                break
            time.sleep(0.2)
        with open(os.path.join(logs, "main.log"), encoding="utf-8") as log:
            output = [line.split(" ", 3) for line in log.read().splitlines()]
        return {
            "state": state,
            "exit_code": status.get(7, [0])[0],
            "reason": _text(status, 10),
            "output": [fields[-1] for fields in output],
        }
    finally:
        call("StopPodSandbox", encode([(1, sandbox)]))
        call("RemovePodSandbox", encode([(1, sandbox)]))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at


def _text(fields: dict[int, list[Any]], number: int) -> str:
    return fields[number][0].decode() if number in fields else ""


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    what.add_parser("info")
    what.add_parser("images")
    what.add_parser("pull").add_argument("image")
    running = what.add_parser("pod")
    running.add_argument("--image", required=True)
    running.add_argument("--memory", type=int, default=0, help="limit in bytes")
    running.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    if arguments.what == "pod":
        result: Any = pod(arguments.image, arguments.memory, arguments.command)
    elif arguments.what == "pull":
        result = pull(arguments.image)
    else:
        result = info() if arguments.what == "info" else images()
    json.dump(result, sys.stdout, indent=2)
    print(flush=True)


if __name__ == "__main__":
    status = 0
    try:
        main()
    except RefusedError as error:
        print(error, file=sys.stderr, flush=True)
        status = 1
    # Ansible's run_command loses what a program says in its last instant, if it was silent for a second before.
    time.sleep(0.3)
    sys.exit(status)
