# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ClusterLogForwarder document as routes of Logstash, and as what OpenShift's operator takes.

The kind is OpenShift's own (openshift/cluster-logging-operator, apis/logging/v1/cluster_log_forwarder_types.go and
api/observability/v1): no other cluster has it. As a document it says where logs are to go, and that is read here. What
a document says and no route would do is an error: a setting that gets lost in silence is worse than none.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Sequence
from urllib.parse import urlsplit

from ansible_collections.banking.platform.plugins.module_utils.findings import nearest

# The first is the source documents' spelling of the second, and exists nowhere (res-A1).
API_VERSIONS = ("logging.coreos.com/v1", "logging.openshift.io/v1")
OPENSHIFT = ("logging.openshift.io/v1", "observability.openshift.io/v1")
TYPES = ("elasticsearch", "http")
# Logs of containers in these namespaces are the cluster's own: what OpenShift calls `infrastructure`.
_CLUSTER = "^(kube-.*|openshift.*|default)$"
_BUILT_IN = {
    "application": f'[kubernetes][namespace] and [kubernetes][namespace] !~ "{_CLUSTER}"',
    "infrastructure": f'[kubernetes][namespace] =~ "{_CLUSTER}" or "journal" in [tags]',
    "audit": '"kubernetes-audit" in [tags] or "auditd" in [tags]',
}
# A name that the source documents use without saying what it is; JSON is parsed in any case.
_PARSER = "json-parser"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LABEL = re.compile(r"[A-Za-z0-9._/-]+")
_FIELD = re.compile(r"\{\.([A-Za-z_][A-Za-z0-9_.]*)\}")
_DATE = re.compile(r"\{\+([A-Za-z.\-]+)\}")
_FIELDS = {
    "log_type": "[@metadata][log_type]",
    "kubernetes.namespace_name": "[kubernetes][namespace]",
    "kubernetes.container_name": "[kubernetes][container][name]",
}
_AUTHORITIES = ["/usr/share/logstash/platform-ca/ca.crt"]


class ForwarderError(ValueError):
    """A document that cannot be translated: names the place in it, and what to write."""


def routes(document: Any) -> List[Dict[str, Any]]:
    """Where logs go beside the platform's own data streams.

    Args:
        document: a ClusterLogForwarder, as YAML gives it; empty for none.

    Returns:
        One route for each output of each pipeline: `name`, `condition` (an expression of Logstash), `labels`, `plugin`
        and `options` of the output, `secret` (with `username` and `password`, or nothing) and `variable`, the beginning
        of the names of the variables of the environment that hold them. The output `default` is the platform's own
        data streams, and no route.

    Raises:
        ForwarderError: for an unknown field, or one that no route would heed.
    """
    spec = _spec(document)
    if spec is None:
        return []
    conditions = {**_BUILT_IN, **{name: _condition(name, given) for name, given in _named(spec, "inputs").items()}}
    outputs = {name: _output(name, given) for name, given in _named(spec, "outputs").items()}
    filters = _filters(spec)
    found: List[Dict[str, Any]] = []
    for index, given in enumerate(_sequence("spec.pipelines", spec.get("pipelines"))):
        pipeline = _pipeline(f"spec.pipelines[{index}]", given, index, (conditions, outputs, filters))
        kinds = " or ".join(f"({conditions[name]})" for name in pipeline["inputs"])
        for name in pipeline["outputs"]:
            if name == "default":
                continue
            output = outputs[name]
            found.append(
                {
                    "name": f"{pipeline['name']}-{name}",
                    "condition": kinds,
                    "labels": pipeline["labels"],
                    **output,
                    "variable": "FORWARD_" + name.upper().replace("-", "_"),
                }
            )
    return found


def for_openshift(document: Any, api_version: str, namespace: str = "openshift-logging") -> Dict[str, Any]:
    """The same as an object that OpenShift's operator takes, with what the source documents write wrongly put right.

    Args:
        document: a ClusterLogForwarder, as YAML gives it.
        api_version: `logging.openshift.io/v1` (Logging 5) or `observability.openshift.io/v1` (Logging 6).
        namespace: the operator's.

    Raises:
        ForwarderError: for what `routes` refuses, and for an API version that there is not.
    """
    if api_version not in OPENSHIFT:
        raise ForwarderError(f"apiVersion {api_version!r}: {nearest(api_version, OPENSHIFT)}")
    routes(document)
    given = _spec(document) or {}
    newer = api_version == OPENSHIFT[1]
    spec: Dict[str, Any] = {
        "outputs": [_openshift_output(output, newer) for output in given.get("outputs") or []],
        "pipelines": [],
    }
    if given.get("inputs"):
        spec["inputs"] = [{**entry, "type": "application"} if newer else entry for entry in given["inputs"]]
    filters = [dict(entry) for entry in given.get("filters") or []]
    for index, entry in enumerate(given["pipelines"]):
        pipeline: Dict[str, Any] = {
            "name": str(entry.get("name") or f"pipeline-{index}"),
            "inputRefs": list(entry["inputRefs"]),
            "outputRefs": list(entry.get("outputRefs") or entry.get("outputs") or []),
        }
        parses = entry.get("parse") == "json" or _PARSER in (entry.get("filterRefs") or [])
        refs = [name for name in entry.get("filterRefs") or [] if name != _PARSER]
        if newer:
            refs += ["parse"] if parses else []
            if entry.get("labels"):
                refs.append(f"labels-{pipeline['name']}")
                filters.append({"name": refs[-1], "type": "openshiftLabels", "openshiftLabels": entry["labels"]})
        else:
            pipeline.update({"parse": "json"} if parses else {})
            pipeline.update({"labels": entry["labels"]} if entry.get("labels") else {})
        pipeline.update({"filterRefs": refs} if refs else {})
        spec["pipelines"].append(pipeline)
        if newer and parses and not any(item["name"] == "parse" for item in filters):
            filters.append({"name": "parse", "type": "parse"})
    if filters:
        spec["filters"] = filters
    account = str(given.get("serviceAccountName") or "logcollector")
    spec.update({"serviceAccount": {"name": account}} if newer else {"serviceAccountName": account})
    name = str((document.get("metadata") or {}).get("name") or "instance")
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": api_version, "kind": "ClusterLogForwarder", "metadata": metadata, "spec": spec}


def _spec(document: Any) -> Optional[Mapping[str, Any]]:
    if not document:
        return None
    given = _mapping("document", document, ("apiVersion", "kind", "metadata", "spec"))
    if given.get("kind") != "ClusterLogForwarder" or given.get("apiVersion") not in API_VERSIONS:
        raise ForwarderError(
            f"a ClusterLogForwarder ({API_VERSIONS[1]}) is wanted, not {given.get('kind')!r} "
            f"({given.get('apiVersion')!r})"
        )
    _mapping("metadata", given.get("metadata"), ("name", "namespace"))
    spec = _mapping("spec", given.get("spec"), ("inputs", "outputs", "filters", "pipelines", "serviceAccountName"))
    if not _sequence("spec.pipelines", spec.get("pipelines")):
        raise ForwarderError("spec.pipelines: none: say which logs go where")
    return spec


def _named(spec: Mapping[str, Any], key: str) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for index, entry in enumerate(_sequence(f"spec.{key}", spec.get(key))):
        name = _mapping(f"spec.{key}[{index}]", entry).get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ForwarderError(f"spec.{key}[{index}].name: letters, digits and hyphens are wanted, not {name!r}")
        if name in found or (key == "inputs" and name in _BUILT_IN):
            raise ForwarderError(f"spec.{key}[{index}].name: {name!r} is there already: give it another")
        found[name] = entry
    return found


def _condition(name: str, given: Any) -> str:
    """An input of one's own: pods of some namespaces, or with some labels."""
    where = f"spec.inputs {name}"
    entry = _mapping(where, given, ("name", "application"))
    wanted = _mapping(f"{where}.application", entry.get("application"), ("namespaces", "selector"))
    if "application" not in entry:
        raise ForwarderError(f"{where}: application is wanted: the other kinds are built in ({', '.join(_BUILT_IN)})")
    parts = []
    namespaces = [str(item) for item in _sequence(f"{where}.application.namespaces", wanted.get("namespaces"))]
    if namespaces:
        # A list of one is read as a text by Logstash.
        some = " or ".join(f'[kubernetes][namespace] == "{_plain(where, item)}"' for item in namespaces)
        parts.append(f"({some})")
    selector = _mapping(f"{where}.application.selector", wanted.get("selector"), ("matchLabels",))
    for label, value in _mapping(f"{where}.application.selector", selector.get("matchLabels")).items():
        # Filebeat writes the dots of labels as underscores (add_kubernetes_metadata, labels.dedot).
        parts.append(f'[kubernetes][labels][{_plain(where, label).replace(".", "_")}] == "{_plain(where, value)}"')
    return " and ".join(parts) if parts else _BUILT_IN["application"]


def _output(name: str, given: Any) -> Dict[str, Any]:
    where = f"spec.outputs {name}"
    entry = _mapping(where, given, ("name", "type", "url", "elasticsearch", "http", "secret", "tls"))
    kind = entry.get("type")
    if kind not in TYPES:
        raise ForwarderError(f"{where}.type: {kind!r}: {nearest(str(kind), TYPES)}")
    for other in TYPES:
        if other != kind and other in entry:
            raise ForwarderError(f"{where}.{other}: the type is {kind}: take it out")
    if _mapping(f"{where}.tls", entry.get("tls"), ("insecureSkipVerify",)).get("insecureSkipVerify"):
        raise ForwarderError(f"{where}.tls.insecureSkipVerify: add the authority to cert_manager_authorities instead")
    url = str(entry.get("url") or "")
    split = urlsplit(url)
    if split.scheme != "https" or not split.hostname or split.username or '"' in url:
        raise ForwarderError(f"{where}.url: https://<host>:<port> is wanted, without a user, not {url!r}")
    secret = _mapping(f"{where}.secret", entry.get("secret"), ("name",)).get("name")
    if kind == "elasticsearch":
        wanted = _mapping(f"{where}.elasticsearch", entry.get("elasticsearch"), ("index", "version"))
        options: Dict[str, Any] = {
            "hosts": [url],
            "index": _index(f"{where}.elasticsearch.index", wanted.get("index") or "{.log_type}-{+yyyy.MM.dd}"),
            "action": "create",
            "document_id": "%{[@metadata][id]}",
            "data_stream": "false",
            "ilm_enabled": False,
            "manage_template": False,
            "ssl_enabled": True,
            "ssl_certificate_authorities": _AUTHORITIES,
        }
    else:
        _mapping(f"{where}.http", entry.get("http"), ())
        options = {
            "url": url,
            "http_method": "post",
            "format": "json_batch",
            "ssl_certificate_authorities": _AUTHORITIES,
        }
    return {"output": name, "plugin": kind, "options": options, "secret": str(secret) if secret else ""}


def _index(where: str, text: Any) -> str:
    """OpenShift's template of an index as Logstash's: `{.log_type}`, `{+yyyy.MM.dd}`."""
    said = str(text)
    for field in _FIELD.findall(said):
        if field not in _FIELDS:
            raise ForwarderError(f"{where}: {{.{field}}}: {nearest(field, tuple(_FIELDS))}")
    made = _FIELD.sub(lambda found: f"%{{{_FIELDS[found.group(1)]}}}", said)
    made = _DATE.sub(r"%{+\1}", made)
    if re.sub(r"%\{[^{}]*\}", "", made).strip("abcdefghijklmnopqrstuvwxyz0123456789-_."):
        raise ForwarderError(f"{where}: {said!r}: small letters, digits, - _ . and {{.field}} or {{+date}} are wanted")
    return made


def _filters(spec: Mapping[str, Any]) -> List[str]:
    found = _named(spec, "filters")
    for name, given in found.items():
        entry = _mapping(f"spec.filters {name}", given, ("name", "type"))
        if entry.get("type") != "parse":
            raise ForwarderError(
                f"spec.filters {name}.type: {entry.get('type')!r}: only `parse` is translated; what the API server's "
                "audit log has in it is said by its policy (kubernetes_audit_policy)"
            )
    return [*found, _PARSER]


def _pipeline(where: str, given: Any, index: int, known: Any) -> Dict[str, Any]:
    conditions, outputs, filters = known
    keys = ("name", "inputRefs", "outputRefs", "outputs", "filterRefs", "labels", "parse")
    entry = _mapping(where, given, keys)
    if "outputs" in entry and "outputRefs" in entry:
        raise ForwarderError(f"{where}.outputs: it is called outputRefs, which is there too: take it out")
    name = str(entry.get("name") or f"pipeline-{index}")
    if not _NAME.fullmatch(name):
        raise ForwarderError(f"{where}.name: letters, digits and hyphens are wanted, not {name!r}")
    if entry.get("parse", "json") != "json":
        raise ForwarderError(f"{where}.parse: json is wanted, not {entry['parse']!r}")
    found = {"name": name, "inputs": entry.get("inputRefs"), "outputs": entry.get("outputRefs") or entry.get("outputs")}
    for key, refs, there in (
        ("inputRefs", found["inputs"], tuple(conditions)),
        ("outputRefs", found["outputs"], (*outputs, "default")),
        ("filterRefs", entry.get("filterRefs") or (), filters),
    ):
        if not refs and key != "filterRefs":
            raise ForwarderError(f"{where}.{key}: none: name at least one of {', '.join(there)}")
        for ref in _sequence(f"{where}.{key}", refs):
            if ref not in there:
                raise ForwarderError(f"{where}.{key}: {ref!r} is nowhere: {nearest(str(ref), there)}")
    labels = _mapping(f"{where}.labels", entry.get("labels"))
    found["labels"] = {_plain(where, key): _plain(where, value) for key, value in labels.items()}
    return found


def _openshift_output(given: Mapping[str, Any], newer: bool) -> Dict[str, Any]:
    if not newer:
        return dict(given)
    kind = given["type"]
    settings = {"url": given["url"], **(given.get(kind) or {})}
    if kind == "elasticsearch":
        settings["version"] = int(settings.get("version") or 8)
        # Dates are no part of it there: such an index is rolled over by its own policy.
        index = _DATE.sub("", str(settings.get("index") or "{.log_type}")).rstrip("-")
        settings["index"] = _FIELD.sub(r'{.\1||"none"}', index)
    if given.get("secret"):
        name = given["secret"]["name"]
        settings["authentication"] = {key: {"key": key, "secretName": name} for key in ("username", "password")}
    return {"name": given["name"], "type": kind, kind: settings}


def _plain(where: str, value: Any) -> str:
    """A text that Logstash's configuration and its references to fields take as it is."""
    text = str(value)
    if not _LABEL.fullmatch(text):
        raise ForwarderError(f"{where}: letters, digits, dots, slashes and hyphens are wanted, not {value!r}")
    return text


def _mapping(where: str, data: Any, known: Optional[Sequence[str]] = None) -> Mapping[str, Any]:
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise ForwarderError(f"{where}: a mapping is wanted, not {data!r}")
    for key in data:
        if known is not None and key not in known:
            raise ForwarderError(f"{where}: unknown field {key!r}: {nearest(str(key), known)}")
    return data


def _sequence(where: str, data: Any) -> List[Any]:
    if data is None:
        return []
    if isinstance(data, (str, Mapping)) or not isinstance(data, Sequence):
        raise ForwarderError(f"{where}: a list is wanted, not {data!r}")
    return list(data)
