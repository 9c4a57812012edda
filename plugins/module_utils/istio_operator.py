# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An IstioOperator document as values of Istio's charts.

The kind was the input of a controller that Istio removed in 1.24 (istio/istio#52090); as a document it still says what
a mesh is to be like. It is read here and never sent to a cluster. What a document says and no chart would do is an
error: a setting that gets lost in silence is worse than none.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.banking.platform.plugins.module_utils.findings import nearest

API_VERSIONS = ("install.istio.io/v1alpha1",)
GATEWAYS = {"ingressGateways": "ingress", "egressGateways": "egress"}

# What a document may say below `spec`, and which values of the chart istiod it becomes: names, with all below, that
# the charts of 1.20 and 1.30 both have (istio/istio: manifests/charts/istio-control/istio-discovery/values.yaml).
_GLOBAL = (
    "caAddress caName defaultPodDisruptionBudget externalIstiod imagePullPolicy imagePullSecrets istiod logAsJson "
    "logging meshID meshNetworks multiCluster network pilotCertProvider priorityClassName proxy proxy_init sts"
).split()
_PILOT = (
    "autoscaleBehavior autoscaleEnabled autoscaleMax autoscaleMin cpu env extraContainerArgs "
    "keepaliveMaxServerConnectionAge nodeSelector podAnnotations podLabels replicaCount resources rollingMaxSurge "
    "rollingMaxUnavailable seccompProfile serviceAnnotations topologySpreadConstraints traceSampling"
).split()
_COMPONENTS = ("base", "cni", "pilot", *GATEWAYS)
# Below `k8s` of a component: what charts call alike, for istiod and for a gateway.
_PILOT_K8S = ("resources", "replicaCount", "nodeSelector", "podAnnotations", "serviceAnnotations")
_GATEWAY_K8S = ("resources", "replicaCount", "nodeSelector", "podAnnotations", "tolerations", "affinity")
_SERVICE = ("type", "ports", "loadBalancerIP", "loadBalancerSourceRanges", "externalTrafficPolicy", "externalIPs")


class OperatorError(ValueError):
    """A document that cannot be translated: names the place in it, and what to write."""


def values(document: Any) -> Dict[str, Any]:
    """What a document becomes.

    Args:
        document: an IstioOperator, as YAML gives it.

    Returns:
        `istiod`: values of the chart istiod; `cni`: whether the plugin of the network is wanted, None where it does not
        say; `ingress` and `egress`: {name, values (of the chart gateway)}, None for a gateway that is not enabled.

    Raises:
        OperatorError: for an unknown field, or one that means nothing to the charts.
    """
    given = _mapping("document", document, ("apiVersion", "kind", "metadata", "spec"))
    if given.get("kind") != "IstioOperator" or given.get("apiVersion") not in API_VERSIONS:
        raise OperatorError(
            f"an IstioOperator ({API_VERSIONS[0]}) is wanted, not {given.get('kind')!r} ({given.get('apiVersion')!r})"
        )
    _mapping("metadata", given.get("metadata"), ("name", "namespace"))
    spec = _mapping("spec", given.get("spec"), ("values", "meshConfig", "components"))
    chosen = _mapping("spec.values", spec.get("values"), ("global", "pilot", "meshConfig"))
    components = _mapping("spec.components", spec.get("components"), _COMPONENTS)
    istiod = {
        "global": dict(_mapping("spec.values.global", chosen.get("global"), _GLOBAL)),
        "pilot": _pilot(_mapping("spec.values.pilot", chosen.get("pilot"), _PILOT), components.get("pilot")),
        # As IstioOperator's API has it, spec.meshConfig counts, and what is in values is laid below it.
        "meshConfig": {
            **_mapping("spec.values.meshConfig", chosen.get("meshConfig")),
            **_mapping("spec.meshConfig", spec.get("meshConfig")),
        },
    }
    _needed("base", components.get("base"))
    return {
        "istiod": {key: value for key, value in istiod.items() if value},
        "cni": _cni(components.get("cni")),
        **{direction: _gateway(key, components.get(key)) for key, direction in GATEWAYS.items()},
    }


def _pilot(chosen: Mapping[str, Any], component: Any) -> Dict[str, Any]:
    given = _needed("pilot", component)
    k8s = _mapping("spec.components.pilot.k8s", given.get("k8s"), (*_PILOT_K8S, "env", "hpaSpec"))
    found = {**chosen, **{key: value for key, value in k8s.items() if key in _PILOT_K8S}}
    env = {**_mapping("spec.values.pilot.env", chosen.get("env")), **_env("spec.components.pilot.k8s.env", k8s)}
    if env:
        # A program's environment is text; YAML's false would be written as another text than it is meant.
        found["env"] = {name: _text(value) for name, value in env.items()}
    hpa = _hpa("spec.components.pilot.k8s.hpaSpec", k8s)
    if hpa:
        found.update(autoscaleEnabled=True, autoscaleMin=hpa[0], autoscaleMax=hpa[1])
    return found


def _needed(name: str, component: Any) -> Mapping[str, Any]:
    """A component that no mesh is without."""
    where = f"spec.components.{name}"
    given = _mapping(where, component, ("enabled", *(("k8s",) if name == "pilot" else ())))
    if _boolean(f"{where}.enabled", given.get("enabled", True)) is False:
        raise OperatorError(f"{where}.enabled: there is no mesh without it: set istio_enabled to false for none")
    return given


def _cni(component: Any) -> Optional[bool]:
    given = _mapping("spec.components.cni", component, ("enabled",))
    return _boolean("spec.components.cni.enabled", given["enabled"]) if "enabled" in given else None


def _gateway(key: str, listed: Any) -> Optional[Dict[str, Any]]:
    where = f"spec.components.{key}"
    found = []
    for index, entry in enumerate(_sequence(where, listed)):
        place = f"{where}[{index}]"
        given = _mapping(place, entry, ("name", "enabled", "label", "k8s"))
        if not given.get("name"):
            raise OperatorError(f"{place}: no name: give it one, such as istio-{GATEWAYS[key]}gateway")
        translated = {"name": str(given["name"]), "values": _gateway_values(f"{place}.k8s", given)}
        if _boolean(f"{place}.enabled", given.get("enabled", True)):
            found.append(translated)
    if len(found) > 1:
        raise OperatorError(
            f"{where}: {len(found)} gateways are enabled, and the platform has one: take the others out"
        )
    return found[0] if found else None


def _gateway_values(where: str, given: Mapping[str, Any]) -> Dict[str, Any]:
    k8s = _mapping(where, given.get("k8s"), (*_GATEWAY_K8S, "env", "hpaSpec", "service", "serviceAnnotations"))
    found = {key: value for key, value in k8s.items() if key in _GATEWAY_K8S}
    env = _env(f"{where}.env", k8s)
    if env:
        found["env"] = {name: _text(value) for name, value in env.items()}
    hpa = _hpa(f"{where}.hpaSpec", k8s)
    if hpa:
        found["autoscaling"] = {"enabled": True, "minReplicas": hpa[0], "maxReplicas": hpa[1]}
    service = dict(_mapping(f"{where}.service", k8s.get("service"), _SERVICE))
    if k8s.get("serviceAnnotations"):
        service["annotations"] = dict(_mapping(f"{where}.serviceAnnotations", k8s["serviceAnnotations"]))
    if service:
        found["service"] = service
    if given.get("label"):
        found["labels"] = dict(_mapping(f"{where.rpartition('.')[0]}.label", given["label"]))
    return found


def _env(where: str, k8s: Mapping[str, Any]) -> Dict[str, Any]:
    """Kubernetes' list of variables, as the mapping that charts take."""
    found = {}
    for index, entry in enumerate(_sequence(where, k8s.get("env"))):
        given = _mapping(f"{where}[{index}]", entry, ("name", "value"))
        if "name" not in given or "value" not in given:
            raise OperatorError(f"{where}[{index}]: name and value are wanted")
        found[str(given["name"])] = given["value"]
    return found


def _hpa(where: str, k8s: Mapping[str, Any]) -> Optional[Tuple[int, int]]:
    if "hpaSpec" not in k8s:
        return None
    given = _mapping(where, k8s["hpaSpec"], ("minReplicas", "maxReplicas"))
    if set(given) != {"minReplicas", "maxReplicas"}:
        raise OperatorError(f"{where}: minReplicas and maxReplicas are wanted")
    return int(given["minReplicas"]), int(given["maxReplicas"])


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _mapping(where: str, data: Any, known: Optional[Sequence[str]] = None) -> Mapping[str, Any]:
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise OperatorError(f"{where}: a mapping is wanted, not {data!r}")
    for key in data:
        if known is not None and key not in known:
            raise OperatorError(f"{where}: unknown field {key!r}: {nearest(str(key), known)}")
    return data


def _sequence(where: str, data: Any) -> List[Any]:
    if data is None:
        return []
    if isinstance(data, (str, Mapping)) or not isinstance(data, Sequence):
        raise OperatorError(f"{where}: a list is wanted, not {data!r}")
    return list(data)


def _boolean(where: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise OperatorError(f"{where}: true or false is wanted, not {value!r}")
    return value
