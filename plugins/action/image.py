# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build, check, push and sign the bank's images on the controller. Connects to no host of the inventory."""

from __future__ import annotations

import base64
import datetime
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.banking.platform.plugins.module_utils import catalog
from ansible_collections.banking.platform.plugins.module_utils.findings import nearest
from ansible_collections.banking.platform.plugins.module_utils.plan import Failure, Plan
from ansible_collections.banking.platform.plugins.plugin_utils import approved, image_scan
from ansible_collections.banking.platform.plugins.plugin_utils.delivery import Delivery
from ansible_collections.banking.platform.plugins.plugin_utils.image_build import Build, Images, Settings, Tools
from ansible_collections.banking.platform.plugins.plugin_utils.image_programs import (
    NAMES,
    SBOM_FORMATS,
    Programs,
    Signer,
)
from ansible_collections.banking.platform.plugins.plugin_utils.record import Hidden
from ansible_collections.banking.platform.plugins.plugin_utils.registries import Registry
from ansible_collections.banking.platform.plugins.plugin_utils.rendering import Renderer

# The role's templates. A role elsewhere may use the module, too.
TEMPLATES = Path(catalog.FOLDER).parent / "roles" / "image" / "templates"
_OPTIONS: dict[str, Any] = {
    "builds": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "template": {"type": "str"},
            "containerfile": {"type": "path"},
            "context": {"type": "path"},
            "settings": {"type": "dict", "default": {}},
            "args": {"type": "dict", "default": {}},
            "platforms": {"type": "list", "elements": "str", "default": ["linux/amd64"]},
            "labels": {"type": "dict", "default": {}},
            "timestamp": {"type": "int", "default": 0},
        },
        "mutually_exclusive": [["template", "containerfile"]],
        "required_one_of": [["template", "containerfile"]],
    },
    "registry": {"type": "str", "required": True},
    "folder": {"type": "path"},
    "severity": {
        "type": "list",
        "elements": "str",
        "choices": list(image_scan.SEVERITIES),
        "default": ["CRITICAL", "HIGH"],
    },
    "accepted": {"type": "list", "elements": "dict", "default": []},
    "scanners": {"type": "list", "elements": "str", "choices": ["vuln", "secret"], "default": ["vuln", "secret"]},
    "database_days": {"type": "float", "default": 7},
    "sbom": {"type": "str", "choices": list(SBOM_FORMATS), "default": "spdx-json"},
    "signing": {
        "type": "dict",
        "default": {},
        "options": {
            "key": {"type": "str", "no_log": False},
            "password": {"type": "str", "no_log": True},
            "public_key": {"type": "str", "no_log": False},
            "identity": {"type": "str"},
            "issuer": {"type": "str"},
            "transparency_log": {"type": "bool", "default": False},
        },
        "required_together": [["identity", "issuer"]],
        "mutually_exclusive": [["key", "identity"]],
    },
    "logins": {"type": "dict", "default": {}, "no_log": True},
    "environment": {"type": "dict", "default": {}, "no_log": True},
    "ca_path": {"type": "path"},
    "programs": {"type": "dict", "default": {}},
    "replace": {"type": "bool", "default": False},
    "optional": {"type": "bool", "default": False},
}  # fmt: skip


class ActionModule(ActionBase):
    """The whole of `banking.platform.image`."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Everything in one go: what is refused of one image keeps all of them back."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        _validation, arguments = self.validate_argument_spec(_OPTIONS)
        hidden = Hidden()
        plan = Plan()
        try:
            with tempfile.TemporaryDirectory(prefix="image-") as scratch:
                images = self._images(arguments, variables, Path(scratch), hidden)
                images.check()
                plan = images.plan(self._task.check_mode)
                plan.hold_to(approved.steps(self, variables))
                if not self._task.check_mode:
                    images.apply(plan, datetime.datetime.now(datetime.UTC))
            return result | _shown(images, plan)
        except (Failure, AnsibleError, catalog.CatalogError) as error:
            next_step = getattr(error, "next_step", "")
            said = f"image: {getattr(error, 'cause', str(error))}" + (f" - next: {next_step}" if next_step else "")
            # Of a plan that stopped half way, what was done stays, and is said.
            done = plan.result() if plan.begun else {"changed": False}
            return result | done | {"failed": True, "msg": hidden.mask(said), "next_step": next_step}
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            step = "make room, or the folder writable, and run again"
            said = f"image: {where}{error.strerror or error} - next: {step}"
            return result | {"failed": True, "changed": plan.begun and plan.changed, "msg": said, "next_step": step}

    def _images(self, arguments: dict[str, Any], variables: dict[str, Any], scratch: Path, hidden: Hidden) -> Images:
        delivery = Delivery(self._templar, variables)
        settings = Settings(
            registry=arguments["registry"].removesuffix("/"),
            folder=Path(arguments["folder"] or os.path.join(delivery.build_dir, "images")),
            severities=arguments["severity"],
            accepted=image_scan.acceptances(arguments["accepted"], datetime.datetime.now(datetime.UTC).date()),
            scanners=arguments["scanners"],
            database_days=arguments["database_days"],
            sbom_format=arguments["sbom"],
            replace=arguments["replace"],
            optional=arguments["optional"],
        )
        programs, common = _programs(arguments, scratch, hidden)
        registry = Registry(arguments["programs"].get("skopeo") or "skopeo", environment=common)
        signing = arguments["signing"]
        signs = programs.of("signer") and (signing.get("key") or signing.get("identity"))
        signer = Signer(programs, signing, scratch) if signs else None
        builds = [self._build(entry, variables) for entry in arguments["builds"]]
        return Images(builds, settings, Tools(programs, registry, signer, scratch), _refused_versions(delivery))

    def _build(self, entry: Mapping[str, Any], variables: dict[str, Any]) -> Build:
        """What an image is made of, its Containerfile rendered. Raises Failure."""
        if entry.get("template"):
            folder = TEMPLATES / entry["template"]
            source = folder / "Containerfile.j2"
            if not source.is_file():
                known = [path.parent.name for path in TEMPLATES.glob("*/Containerfile.j2")]
                raise Failure(f"there is no template {entry['template']!r}", nearest(entry["template"], known))
        else:
            source = Path(entry["containerfile"])
        renderer = Renderer(self._templar, self._loader, variables, [str(source.parent), str(TEMPLATES)])
        settings = {"image": {**entry["settings"], "name": entry["name"], "version": entry["version"]}}
        content = renderer.content(str(source), settings)
        if renderer.is_secret(content, str(source), settings):
            raise Failure(
                f"{entry['name']}: its Containerfile would show everybody a value that ansible-vault keeps encrypted",
                "mount or inject it when the image runs",
            )
        return Build(
            name=entry["name"],
            version=entry["version"],
            text=content.decode(),
            context=entry.get("context") or "",
            args={str(name): str(value) for name, value in entry["args"].items()},
            platforms=tuple(entry["platforms"]),
            labels={str(name): str(value) for name, value in entry["labels"].items()},
            timestamp=entry["timestamp"],
        )


def _programs(arguments: Mapping[str, Any], scratch: Path, hidden: Hidden) -> tuple[Programs, dict[str, str]]:
    """The programs, and the variables that all of them get. Raises Failure."""
    unknown = sorted((set(arguments["programs"]) | set(arguments["environment"])) - {*NAMES, "skopeo"})
    if unknown:
        raise Failure(f"there is no program {unknown[0]!r} here", nearest(unknown[0], [*NAMES, "skopeo"]))
    common: dict[str, str] = {}
    if arguments["ca_path"]:
        common["SSL_CERT_FILE"] = arguments["ca_path"]
    if arguments["logins"]:
        common |= _logins(arguments["logins"], scratch, hidden)
    environment = {name: dict(own) for name, own in arguments["environment"].items()}
    for builder in ("buildah", "podman"):
        # Neither asks for more than a plain user, or a container, has.
        plain = {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}
        environment[builder] = plain | environment.get(builder, {})
    trivy = {"TRIVY_DISABLE_TELEMETRY": "true", "TRIVY_SKIP_VERSION_CHECK": "true", "TRIVY_NO_PROGRESS": "true"}
    environment["trivy"] = trivy | environment.get("trivy", {})
    # Without a password cosign would ask for one.
    password = arguments["signing"].get("password") or ""
    environment["cosign"] = {"COSIGN_PASSWORD": password} | environment.get("cosign", {})
    hidden.update(str(value) for own in arguments["environment"].values() for value in own.values())
    hidden.update([password] if password else [])
    return Programs(arguments["programs"], environment, common, hidden), common


def _logins(logins: Mapping[str, Any], scratch: Path, hidden: Hidden) -> dict[str, str]:
    """Write a file with the logins. skopeo and builders find it by one variable, cosign by another. Raises Failure."""
    auths = {}
    for host, login in logins.items():
        if not isinstance(login, Mapping) or not login.get("username") or not login.get("password"):
            raise Failure(
                f"image_logins: {host} has no username and password", "give it both, the password by a lookup"
            )
        pair = base64.b64encode(f"{login['username']}:{login['password']}".encode()).decode()
        hidden.update([str(login["password"]), pair])
        auths[str(host)] = {"auth": pair}
    folder = scratch / "logins"
    folder.mkdir(mode=0o700)
    path = folder / "config.json"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump({"auths": auths}, file)
    return {"REGISTRY_AUTH_FILE": str(path), "DOCKER_CONFIG": str(folder)}


def _refused_versions(delivery: Delivery) -> dict[str, list[str]]:
    """Versions of the programs that the catalog warns of; none without a release."""
    if not delivery.release:
        return {}
    components = delivery.catalog.components
    return {name: list(components[name].get("malicious", [])) for name in NAMES if name in components}


def _shown(images: Images, plan: Plan) -> dict[str, Any]:
    outcomes = [image.outcome() for image in images.images]
    return {
        **plan.result(),
        "images": outcomes,
        "programs": images.tools.programs.versions,
        "measurements": [figure for image in images.images for figure in image.measurements()],
        "warnings": images.warnings(),
    }
