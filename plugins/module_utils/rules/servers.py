# Copyright: (c) 2026, banking.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules about release, servers, cluster, network, security and backups. What each refuses, and why: docs/rules.md."""

from __future__ import annotations

import datetime
import ipaddress
import itertools
import re
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, Union

from ansible_collections.banking.platform.plugins.module_utils import quantities
from ansible_collections.banking.platform.plugins.module_utils.findings import Finding, nearest
from ansible_collections.banking.platform.plugins.module_utils.quantities import show_size
from ansible_collections.banking.platform.plugins.module_utils.rules.data import days
from ansible_collections.banking.platform.plugins.module_utils.rules.platform import Platform, rule

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

# An acceptance that ends sooner is warned of, so that it can be renewed or made needless.
NEAR_DAYS = 30
END_DAYS = 90  # before the end of a release; an upgrade of all zones needs that long to be planned
ACCEPTANCE = "{reason: <why>, approved_by: <who>, until: <YYYY-MM-DD>}"
RISKS = ("vault_on_control_plane", "chaos_in_production")

SEALS = ("shamir", "transit", "pkcs11", "static")
FLAVORS = ("vault", "openbao")
# How the lookup of secrets is told where one lies.
REFERENCE = re.compile(r"(file|env|vault):.+")
# Providers of cluster-autoscaler that need no cloud:
# https://github.com/kubernetes/autoscaler/tree/master/cluster-autoscaler/cloudprovider
PROVIDERS = ("clusterapi", "externalgrpc")
MTLS_MODES = ("strict", "permissive")
TRUST_MODES = ("enforce", "warn")
TLS_MINIMUM = (1, 3)

# etcd's own advice: https://etcd.io/docs/v3.5/dev-guide/limit/#storage-size-limit
ETCD_QUOTA_MAXIMUM = 8 * 1024**3
# A node takes a network of so many bits out of the pods' (the controller manager's default, IPv4).
NODE_PREFIX = 24

# Tiers of requirement R1 and how long each is kept at least, in days.
BACKUP_TIERS = {"local": 7, "regional": 30, "cross-region": 365}
# Each field of a schedule with its lowest and highest value. On days of the week, 0 and 7 are Sunday.
CRON_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 7))


def unknown_variables(given: Iterable[str], known: Iterable[str], prefixes: Iterable[str]) -> List[Finding]:
    """Variables that look like the platform's own, and that nothing reads: mostly mistyped.

    Args:
        given: names of the run's variables.
        known: names that defaults and argument_specs of all roles know.
        prefixes: names of the roles, and `platform`: what begins with one of them and `_` is the platform's.
    """
    names = set(known)
    own = tuple(f"{prefix}_" for prefix in prefixes)
    findings = []
    for name in sorted(set(given) - names):
        # The longest prefix: node_... is not of a role called no.
        prefix = max((item for item in own if name.startswith(item)), key=len, default="")
        if prefix:
            hint = nearest(name, [item for item in names if item.startswith(prefix)] or names)
            findings.append(
                Finding(
                    "error",
                    name,
                    name,
                    f"no role reads {name}",
                    f"{hint} Rename it, or take it out",
                    "unknown-variable",
                )
            )
    return findings


def _production(platform: Platform) -> bool:
    return platform.environment.startswith("prod")


def _worst(platform: Platform) -> str:
    """How bad something is that only production must not have."""
    return "error" if _production(platform) else "warning"


def _date(value: Any) -> Optional[datetime.date]:
    """A date as YAML reads it (unquoted) or as text; None for what is none."""
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, datetime.date):
        return value
    try:
        return datetime.date.fromisoformat(str(value).strip())
    except ValueError:
        return None


def _acceptance(given: Any, today: datetime.date) -> Tuple[str, str]:
    """What an acceptance is worth.

    Returns:
        `none`, `incomplete`, `expired`, `near` or `valid`, and the words for it.
    """
    if not given:
        return "none", "it is not accepted"
    if not isinstance(given, Mapping):
        return "incomplete", f"its acceptance is {given!r}, no mapping"
    missing = [key for key in ("reason", "approved_by", "until") if not str(given.get(key) or "").strip()]
    if missing:
        return "incomplete", f"its acceptance lacks {', '.join(missing)}"
    until = _date(given["until"])
    if until is None:
        return "incomplete", f"its acceptance ends on {given['until']!r}, which is no date"
    left = (until - today).days
    if left < 0:
        return "expired", f"its acceptance by {given['approved_by']} ended on {until}, {-left} days ago"
    words = f"accepted by {given['approved_by']} until {until} ({left} days): {given['reason']}"
    return ("near" if left <= NEAR_DAYS else "valid"), words


def _accepted(
    platform: Platform, variable: str, given: Any, subject: str, cause: str, otherwise: str, name: str
) -> Finding:
    """The finding about something that needs an acceptance: an error without one, a note with it."""
    state, words = _acceptance(given, platform.today)
    if state in ("valid", "near"):
        step = f"be done with it before, or renew {variable}" if state == "near" else "nothing until then"
        return Finding("warning" if state == "near" else "info", subject, variable, f"{cause}; {words}", step, name)
    return Finding(
        "error", subject, variable, f"{cause}; {words}", f"{otherwise}, or set {variable}: {ACCEPTANCE}", name
    )


def _risk(platform: Platform, name: str) -> Any:
    risks = platform.variables.get("platform_accept_risks")
    return risks.get(name) if isinstance(risks, Mapping) else None


# --- Release and catalog ----------------------------------------------------------------------------------------------


def _entries(platform: Platform) -> Iterator[Tuple[str, str, Mapping[str, Any]]]:
    """Component (role), catalog name and catalog entry of all that is installed and that the catalog has."""
    for declaration in platform.declarations:
        for name in declaration.catalog:
            if name in platform.catalog.components:
                yield declaration.component, name, platform.catalog.component(name)


@rule("release-eol")
def release_eol(platform: Platform) -> Iterator[Finding]:
    """res-G8: a release without security fixes runs only as long as somebody answers for it."""
    catalog = platform.catalog
    end = _date(catalog.eol)
    if catalog.state == "eol" or (end is not None and end < platform.today):
        yield _accepted(
            platform,
            "platform_accept_eol",
            platform.variables.get("platform_accept_eol"),
            platform.environment,
            f"release {catalog.release} (Kubernetes {catalog.kubernetes}) ended on {catalog.eol}: no more fixes",
            "set platform_release to a current release",
            "release-eol",
        )
    elif end is not None and (end - platform.today).days <= END_DAYS:
        yield Finding(
            "warning",
            platform.environment,
            "platform_release",
            f"release {catalog.release} (Kubernetes {catalog.kubernetes}) ends on {end}, in "
            f"{(end - platform.today).days} days: no fixes after that",
            "plan the upgrade to a release that lasts longer",
            "release-eol",
        )


@rule("accepted-risks")
def accepted_risks(platform: Platform) -> Iterator[Finding]:
    """An acceptance under a name that no rule asks for accepts nothing."""
    risks = platform.variables.get("platform_accept_risks") or {}
    if not isinstance(risks, Mapping):
        yield Finding(
            "error",
            platform.environment,
            "platform_accept_risks",
            f"{risks!r} is no mapping",
            f"write it as {{{RISKS[0]}: {ACCEPTANCE}}}",
            "accepted-risks",
        )
        return
    for name in risks:
        if name not in RISKS:
            yield Finding(
                "error",
                platform.environment,
                f"platform_accept_risks.{name}",
                f"there is no risk {name!r}",
                nearest(name, RISKS),
                "accepted-risks",
            )


@rule("catalog-component")
def catalog_component(platform: Platform) -> Iterator[Finding]:
    """What is installed has a version, and the catalog is where it stands."""
    for declaration in platform.declarations:
        for name in declaration.catalog:
            if name not in platform.catalog.components:
                yield Finding(
                    "error",
                    declaration.component,
                    "catalog",
                    f"it installs {name!r}, which {platform.catalog.origin} does not have",
                    nearest(name, platform.catalog.components),
                    "catalog-component",
                )


@rule("component-eol")
def component_eol(platform: Platform) -> Iterator[Finding]:
    """res-G8: parts of a release may end before it does. The release's acceptance covers them."""
    accepted = _acceptance(platform.variables.get("platform_accept_eol"), platform.today)[0] in ("valid", "near")
    covered = accepted and platform.catalog.state == "eol"
    names = {name: component for component, name, _entry in _entries(platform) if name != "kubernetes"}
    for version in platform.catalog.versions(names, platform.today.isoformat()):
        if version["state"] == "eol":
            yield Finding(
                "info" if covered else "warning",
                names[version["component"]],
                "platform_release",
                f"{version['component']} {version['version']} has had no security fixes since {version['eol']}"
                + ("; covered by platform_accept_eol" if covered else ""),
                "upgrade to a release with a current one",
                "component-eol",
            )


def _minor(version: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


@rule("kubernetes-range")
def kubernetes_range(platform: Platform) -> Iterator[Finding]:
    """A project that neither states nor tests this minor may work; nobody has promised it."""
    ours = _minor(platform.catalog.kubernetes)
    for component, name, entry in _entries(platform):
        if not entry.get("kubernetes"):
            continue
        first, dash, last = str(entry["kubernetes"]).partition("-")
        last = last if dash else first
        if ours < _minor(first) or (last and ours > _minor(last)):
            yield Finding(
                "warning",
                component,
                "platform_release",
                f"{name} {entry['version']} states Kubernetes {entry['kubernetes']}, the release has "
                f"{'.'.join(str(part) for part in ours)}",
                f"pin a version of {name} that states it (platform_catalog_overrides), or test this one first",
                "kubernetes-range",
            )


@rule("business-licence")
def business_licence(platform: Platform) -> Iterator[Finding]:
    """res-B4: a licence that is not an open source one is somebody's to read."""
    for component, name, entry in _entries(platform):
        if str(entry.get("licence", "")).startswith("BUSL"):
            yield Finding(
                "info",
                component,
                "vault_flavor" if component == "vault" else "platform_release",
                f"{name} {entry['version']} is under the Business Source License ({entry['licence']})",
                "have it read" + (", or set vault_flavor to openbao" if component == "vault" else ""),
                "business-licence",
            )


@rule("image-tag")
def image_tag(platform: Platform) -> Iterator[Finding]:
    """res-B15: `latest` is another image tomorrow. Images of the bank's services have a rule of their own."""
    variables = {name: value for name, value in platform.variables.items() if name != "banking_apps_services"}
    for path, image in _images(variables):
        name, _at, digest = image.partition("@")
        tag = name.rsplit("/", 1)[-1].partition(":")[2]
        if not digest and tag in ("", "latest"):
            yield Finding(
                "error",
                path.partition("_")[0],
                path,
                f"{image!r} is the newest image, whichever that is" + ("" if tag else " (no tag means latest)"),
                "name it with a version and, better, a digest: <name>:<version>@sha256:<64 digits>",
                "image-tag",
            )


def _images(value: Any, path: str = "") -> Iterator[Tuple[str, str]]:
    """Path and reference of each setting that is called `image`, `..._image`, or lies in `images`, `..._images`."""
    items: Iterable[Tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    elif isinstance(value, str) and value:
        # In `images`, the last part of the path is a component's name or a number.
        keys = path.split(".")
        if re.search(r"(^|_)image$", keys[-1]) or any(re.search(r"(^|_)images$", key) for key in keys):
            yield path, value
    for key, item in items:
        yield from _images(item, f"{path}.{key}" if path else str(key))


# --- Vault and keys ---------------------------------------------------------------------------------------------------


@rule("vault-seal")
def vault_seal(platform: Platform) -> Iterator[Finding]:
    """res-B3: seals that the flavor cannot have, or that wait for the Vault that they unseal."""
    if not platform.enabled("vault"):
        return

    def finding(variable: str, cause: str, step: str, severity: str = "error") -> Finding:
        return Finding(severity, "vault", variable, cause, step, "vault-seal")

    seal, flavor = platform.variables.get("vault_seal", "shamir"), platform.variables.get("vault_flavor", "vault")
    licence, address = (
        str(platform.variables.get(name) or "").strip() for name in ("vault_licence", "vault_seal_address")
    )
    for name, value, known in (("vault_seal", seal, SEALS), ("vault_flavor", flavor, FLAVORS)):
        if value not in known:
            yield finding(name, f"{value!r} is not known", nearest(str(value), known))
    if licence and not REFERENCE.fullmatch(licence):
        # The value itself is not shown: it may be the licence.
        yield finding("vault_licence", "it is no reference", "write where the licence lies, such as file:<path>")
    elif licence.startswith("vault:"):
        yield finding(
            "vault_licence", "the licence lies in the Vault that needs it to start", "write it as file:<path>"
        )
    if licence and flavor == "openbao":
        yield finding("vault_licence", "OpenBao needs no licence", "take it out", "warning")
    if seal == "pkcs11" and flavor == "vault" and not licence:
        yield finding(
            "vault_seal",
            "an HSM unseals Vault Enterprise only, and vault_licence is empty",
            "set vault_licence to the reference of one, vault_flavor to openbao, or vault_seal to shamir",
        )
    if seal == "static":
        if flavor == "vault":
            yield finding(
                "vault_seal",
                "a seal whose key lies on the server is OpenBao's only",
                "set vault_flavor to openbao, or vault_seal to shamir or transit",
            )
        yield finding(
            "vault_seal",
            "the key that unseals lies on the servers themselves: who has a server and its disk has all secrets",
            "set it to shamir, transit or pkcs11",
            _worst(platform),
        )
    if seal == "transit":
        host = re.sub(r"^[a-z]+://|[:/][^]]*$", "", address).strip("[]")
        own = {
            name
            for node in platform.nodes
            if node.name in platform.groups.get("vault", ())
            for name in (node.name, node.address)
        }
        own.add(f"vault.{platform.variables.get('platform_domain', '')}")
        if not address:
            yield finding(
                "vault_seal_address",
                "the seal is transit, and no other Vault is named",
                "set it to that Vault's address, such as https://vault.other-site.example:8200",
            )
        elif host in own:
            yield finding(
                "vault_seal_address",
                f"{host} is this Vault itself: sealed, it cannot unseal itself",
                "set it to the address of a Vault elsewhere",
            )


@rule("vault-on-control-plane")
def vault_on_control_plane(platform: Platform) -> Iterator[Finding]:
    """Who breaks into the API server's node reads the memory of Vault. Elsewhere than in production it is only said."""
    shared = sorted(set(platform.groups.get("vault", ())) & set(platform.groups.get("control_plane", ())))
    if not platform.enabled("vault") or not shared:
        return
    cause = f"Vault shares {len(shared)} servers with the control plane ({', '.join(shared)})"
    variable = "platform_accept_risks.vault_on_control_plane"
    if _production(platform):
        yield _accepted(
            platform,
            variable,
            _risk(platform, "vault_on_control_plane"),
            "vault",
            cause,
            "give it servers of its own: list them in the group that platform_groups.vault names",
            "vault-on-control-plane",
        )
    else:
        yield Finding(
            "info", "vault", variable, cause, "in production, give it servers of its own", "vault-on-control-plane"
        )


@rule("vault-storage")
def vault_storage(platform: Platform) -> Iterator[Finding]:
    """res-E9: Vault on storage whose keys lie in Vault starts never again."""
    where = str(platform.variables.get("vault_storage", "/"))
    if platform.enabled("vault") and not where.startswith("/"):
        in_vault = platform.enabled("storage") and platform.variables.get("storage_keys") == "vault"
        yield Finding(
            "error",
            "vault",
            "vault_storage",
            f"{where!r} is no folder of a server"
            + (" but a class of storage, whose keys lie in Vault itself (storage_keys)" if in_vault else ""),
            "set it to a folder on an encrypted volume of the server, such as /var/lib/vault",
            "vault-storage",
        )


@rule("data-volumes-unlock")
def data_volumes_unlock(platform: Platform) -> Iterator[Finding]:
    """Vault's own data lie on such a volume: what opens it must not be Vault."""
    for variable in ("data_volumes_unlock", "data_volumes_key_file"):
        value = str(platform.variables.get(variable) or "")
        if value.partition(":")[0] == "vault":
            yield Finding(
                "error",
                "data_volumes",
                variable,
                f"{value!r}: the data of Vault lie on such a volume, neither could be opened before the other",
                "set data_volumes_unlock to tang or tpm2" if variable == "data_volumes_unlock" else "take it out",
                "data-volumes-unlock",
            )


@rule("data-volumes-tang")
def data_volumes_tang(platform: Platform) -> Iterator[Finding]:
    """Any zone may be lost, and none alone may open a volume."""
    get = platform.variables.get
    servers = get("data_volumes_tang_servers") or []
    if get("data_volumes_unlock") != "tang" or not (servers or get("data_volumes")):
        return

    def finding(variable: str, cause: str, step: str) -> Finding:
        return Finding("error", "data_volumes", variable, cause, step, "data-volumes-tang")

    if not str(get("data_volumes_tang_threshold", 2)).isdecimal():
        yield finding(
            "data_volumes_tang_threshold",
            f"{get('data_volumes_tang_threshold')!r} is no number of servers",
            "set it to 2",
        )
        return
    threshold = int(get("data_volumes_tang_threshold", 2))
    zones = [str(server.get("zone")) for server in servers]
    if not 1 <= threshold <= len(servers):
        yield finding(
            "data_volumes_tang_servers",
            f"{threshold} of {len(servers)} servers cannot be had",
            f"list one server in each of {', '.join(platform.zones)}, and set data_volumes_tang_threshold to 2",
        )
        return
    for zone in sorted(set(zones)):
        left = len(zones) - zones.count(zone)
        if left < threshold:
            yield finding(
                "data_volumes_tang_servers",
                f"without {zone}, {left} of {len(zones)} servers are left, {threshold} open a volume: no node starts",
                "add a server in another zone, or lower data_volumes_tang_threshold",
            )
        if zones.count(zone) >= threshold:
            yield finding(
                "data_volumes_tang_threshold",
                f"the {zones.count(zone)} servers of {zone} alone open the volumes of its nodes ({threshold} do)",
                f"set it to {zones.count(zone) + 1}, or put servers into other zones",
            )


# --- etcd and networks ------------------------------------------------------------------------------------------------


@rule("etcd-members")
def etcd_members(platform: Platform) -> Iterator[Finding]:
    """One more makes an even number that survives no more, and a majority larger: etcd.io/docs/v3.5/faq."""
    count = len(platform.groups.get("etcd", ()))
    if platform.enabled("etcd") and count and count % 2 == 0:
        yield Finding(
            "error",
            "etcd",
            "platform_groups.etcd",
            f"{count} members survive the loss of {(count - 1) // 2}, no more than {count - 1} would",
            "take one out of the group that platform_groups.etcd names, or put another one in",
            "etcd-members",
        )


@rule("etcd-quota")
def etcd_quota(platform: Platform) -> Iterator[Finding]:
    """A full disk loses more than a quota that is reached: beside the database there must be room for its copy."""
    if not platform.enabled("etcd"):
        return
    amounts = {}
    for name in ("etcd_quota", "etcd_disk"):
        if name not in platform.variables:
            return
        try:
            amounts[name] = quantities.size(platform.variables[name])
        except ValueError as error:
            cause, _separator, hint = str(error).partition(": ")
            yield Finding("error", "etcd", name, cause, hint, "etcd-quota")
    if len(amounts) < 2:
        return
    quota, disk = amounts["etcd_quota"], amounts["etcd_disk"]
    if disk < 3 * quota:
        yield Finding(
            "error",
            "etcd",
            "etcd_disk",
            f"{show_size(disk)} of disk for a quota of {show_size(quota)}: the database, its copy while it "
            f"is defragmented, and a snapshot take {show_size(3 * quota)}",
            f"set it to {show_size(3 * quota)} or more, or etcd_quota to {show_size(disk // 3)} or less",
            "etcd-quota",
        )
    if quota > ETCD_QUOTA_MAXIMUM:
        yield Finding(
            "warning",
            "etcd",
            "etcd_quota",
            f"{show_size(quota)} is more than the {show_size(ETCD_QUOTA_MAXIMUM)} that etcd advises: slow starts",
            f"set it to {show_size(ETCD_QUOTA_MAXIMUM)} or less",
            "etcd-quota",
        )


def _network(text: Any) -> Optional[Network]:
    try:
        return ipaddress.ip_network(str(text).strip())
    except ValueError:
        return None


def _address(text: Any) -> Optional[Address]:
    try:
        return ipaddress.ip_address(str(text).strip())
    except ValueError:
        return None


def _addresses(platform: Platform) -> Iterator[Tuple[str, Address]]:
    """Name and address of each node whose address can be read."""
    for node in platform.nodes:
        address = _address(node.address)
        if address is not None:
            yield node.name, address


def _range(text: Any) -> Optional[Tuple[Address, Address]]:
    """First and last address of a network or of `first-last`; None for what is neither."""
    first, dash, last = str(text).partition("-")
    if dash:
        ends = _address(first), _address(last)
        if ends[0] is None or ends[1] is None or ends[0].version != ends[1].version or int(ends[0]) > int(ends[1]):
            return None
        return ends[0], ends[1]
    network = _network(text)
    return (network[0], network[-1]) if network is not None else None


def _within(address: Address, ends: Tuple[Address, Address]) -> bool:
    return address.version == ends[0].version and int(ends[0]) <= int(address) <= int(ends[1])


def _meet(one: Tuple[Address, Address], other: Tuple[Address, Address]) -> bool:
    return _within(one[0], other) or _within(other[0], one)


def _cidrs(platform: Platform) -> Iterator[Tuple[str, Network]]:
    """Variable and value of the cluster's networks that can be read."""
    for variable in _networks_of(platform):
        network = _network(platform.variables.get(variable))
        if network is not None:
            yield variable, network


def _networks_of(platform: Platform) -> Dict[str, str]:
    """Variables with the cluster's networks, and whose addresses these are."""
    owners = {"kubernetes_pod_cidr": "pods", "kubernetes_service_cidr": "services", "calico_tunnel_cidr": "tunnels"}
    return {name: owner for name, owner in owners.items() if platform.enabled(name.partition("_")[0])}


@rule("cluster-networks")
def cluster_networks(platform: Platform) -> Iterator[Finding]:
    """An address that is a pod's and a node's at once reaches one of them only."""
    owners = _networks_of(platform)

    def finding(variable: str, cause: str, step: str) -> Finding:
        return Finding("error", variable.partition("_")[0], variable, cause, step, "cluster-networks")

    for variable in owners:
        value = platform.variables.get(variable)
        if value is not None and _network(value) is None:
            yield finding(
                variable, f"{value!r} is no network", "write its first address and its length, such as 10.244.0.0/16"
            )
    networks = list(_cidrs(platform))
    for (one, network), (variable, other) in itertools.combinations(networks, 2):
        if _meet((network[0], network[-1]), (other[0], other[-1])):
            yield finding(
                variable,
                f"{other} and the {owners[one]}' {network} overlap",
                "set it to a network that nothing else uses",
            )
    for variable, network in networks:
        inside = [name for name, address in _addresses(platform) if address in network]
        if inside:
            yield finding(
                variable,
                f"{network} holds the addresses of {len(inside)} nodes, such as {inside[0]}",
                "set it to a network that nothing else uses",
            )
        # A node takes a network out of the pods', and an address out of the tunnels'.
        prefix = {"pods": NODE_PREFIX, "tunnels": 32}.get(owners[variable])
        if prefix and network.version == 4:
            room = 2 ** max(prefix - network.prefixlen, 0) if network.prefixlen <= prefix else 0
            if room < len(platform.nodes):
                bits = max(len(platform.nodes) - 1, 0).bit_length()
                each = 2 ** (32 - prefix)
                yield finding(
                    variable,
                    f"{network} is enough for {room} nodes of {each} address{'es' if each > 1 else ''} each, there are "
                    f"{len(platform.nodes)}",
                    f"set it to a network of length /{prefix - bits} or shorter",
                )


@rule("api-virtual-ip")
def api_virtual_ip(platform: Platform) -> Iterator[Finding]:
    """The address moves from one control-plane node to another: it must be none's own, and belong where they are."""
    given = str(platform.variables.get("api_lb_virtual_ip") or "").strip()
    members = list(platform.groups.get("control_plane", ()))
    if not platform.enabled("api_lb"):
        return

    def finding(cause: str, step: str, severity: str = "error") -> Finding:
        return Finding(severity, "api_lb", "api_lb_virtual_ip", cause, step, "api-virtual-ip")

    if not given:
        if _production(platform) and len(members) > 1:
            yield finding(
                f"it is empty: clients reach one of {len(members)} API servers, and none when that one is away",
                "set it to a free address in the network of the control-plane nodes",
                "warning",
            )
        return
    address = _address(given)
    if address is None:
        yield finding(f"{given!r} is no address", "write it such as 10.20.0.10, without a length")
        return
    of_nodes = dict(_addresses(platform))
    owners = [name for name, other in of_nodes.items() if other == address]
    if owners:
        yield finding(f"{address} is the address of {owners[0]}", "set it to an address that nobody has")
    for variable, network in _cidrs(platform):
        if address in network:
            yield finding(f"{address} lies in {variable} ({network})", "set it to an address among the nodes'")
    for entry in _pool(platform):
        ends = _range(entry)
        if ends is not None and _within(address, ends):
            yield finding(f"{address} lies in metallb_pool ({entry}), which gives it away", "take it out of the pool")
    if platform.variables.get("api_lb_bgp"):
        # Routers are told where it is: it may be any address.
        if address.version != 4:
            yield finding(f"{address} is announced by BGP, which the role does for IPv4 only", "set an IPv4 address")
        return
    servers = [of_nodes[name] for name in members if name in of_nodes]
    around = _around([server for server in servers if server.version == address.version])
    if around is not None and address not in around:
        yield finding(
            f"{address} lies outside of {around}, the smallest network around the control-plane nodes",
            "set it to a free address in there, from where it can move to each; or say in api_lb_bgp which routers "
            "hear of it",
        )


def _around(addresses: List[Address]) -> Optional[Network]:
    """The smallest network with all of these addresses, at least a /24 (IPv6: a /64); None without addresses."""
    if not addresses:
        return None
    length = 24 if addresses[0].version == 4 else 64
    network = ipaddress.ip_network(f"{addresses[0]}/{length}", strict=False)
    while not all(address in network for address in addresses):
        network = network.supernet()
    return network


# --- Load balancer and mesh -------------------------------------------------------------------------------------------


def _pool(platform: Platform) -> List[Any]:
    return list(platform.variables.get("metallb_pool") or []) if platform.enabled("metallb") else []


@rule("load-balancer")
def load_balancer(platform: Platform) -> Iterator[Finding]:
    """res-D13: one gives addresses to services: with two they fight over each, with none the gateway stays without."""
    provider = platform.variables.get("kubernetes_cloud_provider")
    metallb = platform.enabled("metallb")
    if metallb and provider:
        yield Finding(
            "error",
            "metallb",
            "metallb_enabled",
            f"the cloud provider {provider!r} and MetalLB would both give services their addresses",
            "set metallb_enabled to false, or kubernetes_cloud_provider to an empty text",
            "load-balancer",
        )
    elif not metallb and not provider and platform.enabled("istio"):
        yield Finding(
            "error",
            "istio",
            "metallb_enabled",
            "the gateway is a service of type LoadBalancer, and nothing gives it an address",
            "set metallb_enabled to true and metallb_pool, or name the cloud provider in kubernetes_cloud_provider",
            "load-balancer",
        )


@rule("metallb-pool")
def metallb_pool(platform: Platform) -> Iterator[Finding]:
    """Addresses that are given away must be readable, and nobody else's."""

    def finding(cause: str, step: str, severity: str = "error") -> Finding:
        return Finding(severity, "metallb", "metallb_pool", cause, step, "metallb-pool")

    pool = _pool(platform)
    if platform.enabled("metallb") and not pool:
        yield finding(
            "it is empty: no service of type LoadBalancer, and so no gateway, gets an address",
            "list addresses that are routed to the nodes, such as 10.20.9.10-10.20.9.50",
            "warning",
        )
    for entry in pool:
        ends = _range(entry)
        if ends is None:
            yield finding(f"{entry!r} is no range of addresses", "write it as first-last or as a network")
            continue
        taken = [f"{name} ({address})" for name, address in _addresses(platform) if _within(address, ends)]
        taken += [f"{name} ({network})" for name, network in _cidrs(platform) if _meet((network[0], network[-1]), ends)]
        if taken:
            yield finding(f"{entry} meets {', '.join(taken)}", "leave these addresses out")


@rule("metallb-announce")
def metallb_announce(platform: Platform) -> Iterator[Finding]:
    """An address that no router learns of is reached by nobody."""
    way = platform.variables.get("metallb_announce", "layer2")
    if not platform.enabled("metallb") or way == "layer2":
        return

    def finding(variable: str, cause: str, step: str) -> Finding:
        return Finding("error", "metallb", variable, cause, step, "metallb-announce")

    routers = platform.variables.get("metallb_bgp") or {}
    told = (platform.variables.get("calico_bgp") or {}).get("service_networks")
    if way == "bgp" and not (routers.get("as_number") and routers.get("peers")):
        yield finding(
            "metallb_bgp", "it names no routers, and addresses are announced by BGP", "give it as_number and peers"
        )
    elif way == "bgp" and platform.variables.get("calico_bgp"):
        yield finding(
            "metallb_announce",
            "both MetalLB and Calico would speak BGP on each node",
            "set it to calico, and the addresses in calico_bgp.service_networks",
        )
    elif way == "calico" and not told:
        yield finding(
            "calico_bgp",
            "Calico is to announce addresses of services, and has none",
            "list the networks of metallb_pool in calico_bgp.service_networks",
        )


def _seconds(text: Any) -> Optional[float]:
    """Seconds of a duration such as `30s`, `500ms` or `1m`; None for what is none."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)", str(text).strip())
    return float(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[match[2]] if match else None


@rule("mesh-retries")
def mesh_retries(platform: Platform) -> Iterator[Finding]:
    """res-E11: attempts that the timeout cuts off are never made."""
    if not platform.enabled("istio"):
        return

    def finding(variable: str, cause: str, step: str) -> Finding:
        return Finding("error", "istio", variable, cause, step, "mesh-retries")

    spans = {}
    for name in ("istio_timeout", "istio_per_try_timeout"):
        if name not in platform.variables:
            return
        spans[name] = _seconds(platform.variables[name])
        if spans[name] is None:
            yield finding(name, f"{platform.variables[name]!r} is no duration", "write it such as 30s or 500ms")
    timeout, each = spans["istio_timeout"], spans["istio_per_try_timeout"]
    attempts = str(platform.variables.get("istio_retries", 0)).strip()
    if not attempts.isdecimal():
        yield finding("istio_retries", f"{attempts!r} is no number of attempts", "write it such as 3")
        return
    tries = int(attempts) + 1
    if timeout is not None and each is not None and tries * each > timeout:
        yield finding(
            "istio_per_try_timeout",
            f"the first attempt and {attempts} more of {each:g} s take {tries * each:g} s, the timeout {timeout:g} s",
            f"set it to {int(timeout / tries * 1000)}ms or less, or istio_timeout to {tries * each:g}s or more",
        )


@rule("mesh-mtls")
def mesh_mtls(platform: Platform) -> Iterator[Finding]:
    """A mesh that lets connections without a certificate pass protects from nobody within."""
    mode = platform.variables.get("istio_mtls", "strict")
    if not platform.enabled("istio") or mode == "strict":
        return
    known = mode in MTLS_MODES
    yield Finding(
        _worst(platform) if known else "error",
        "istio",
        "istio_mtls",
        "connections without a certificate are let pass" if known else f"{mode!r} is not known",
        "set it to strict" if known else nearest(str(mode), MTLS_MODES),
        "mesh-mtls",
    )


@rule("mesh-api")
def mesh_api(platform: Platform) -> Iterator[Finding]:
    """The Gateway API has time-outs of routes in its standard channel from 1.2 on."""
    version = str(platform.catalog.components.get("gateway-api", {}).get("version", ""))
    old = tuple(int(part) for part in re.findall(r"[0-9]+", version)[:2]) < (1, 2)
    if platform.enabled("istio") and platform.variables.get("istio_api", "istio") == "gateway-api" and old:
        yield Finding(
            "error",
            "istio",
            "istio_api",
            f"the Gateway API {version} of release {platform.catalog.release} has no time-outs of routes",
            "set it to istio, or platform_release to one with 1.2 or newer",
            "mesh-api",
        )


@rule("tls-minimum")
def tls_minimum(platform: Platform) -> Iterator[Finding]:
    """res-B6: one minimum for all components."""
    given = platform.variables.get("platform_tls_minimum")
    if given is None:
        return
    match = re.fullmatch(r"(?:TLS ?v?)?([0-9])\.([0-9])", str(given).strip(), re.IGNORECASE)
    if match and (int(match[1]), int(match[2])) == TLS_MINIMUM:
        return
    older = match is not None and (int(match[1]), int(match[2])) < TLS_MINIMUM
    yield Finding(
        _worst(platform) if older else "error",
        platform.environment,
        "platform_tls_minimum",
        f"TLS {match[1]}.{match[2]} is let pass, the documents ask for 1.3 everywhere"
        if match and older
        else f"{given!r} is no version of TLS that there is",
        'set it to "1.3"',
        "tls-minimum",
    )


@rule("domain-local")
def domain_local(platform: Platform) -> Iterator[Finding]:
    """res-G5: `.local` belongs to multicast DNS (RFC 6762)."""
    domain = str(platform.variables.get("platform_domain") or "").rstrip(".").lower()
    if domain == "local" or domain.endswith(".local"):
        yield Finding(
            "warning",
            platform.environment,
            "platform_domain",
            f"{domain}: some resolvers ask for names below .local by multicast only (RFC 6762)",
            "use a domain that the bank owns, such as platform.bank.example",
            "domain-local",
        )


# --- Registry, policies, drills ---------------------------------------------------------------------------------------


@rule("harbor-bootstrap")
def harbor_bootstrap(platform: Platform) -> Iterator[Finding]:
    """res-E10: Harbor cannot be pulled from itself."""
    registry = str(platform.variables.get("harbor_image_registry") or "")
    host = re.sub(r"^[a-z]+://", "", registry).split("/", 1)[0].split(":", 1)[0].lower()
    own = f"harbor.{platform.variables.get('platform_domain', '')}".lower()
    if platform.enabled("harbor") and host == own:
        yield Finding(
            "error",
            "harbor",
            "harbor_image_registry",
            f"Harbor's own images would come from {host}, which is Harbor: it could never start after a full stop",
            "set it to the bootstrap registry of the deploy host, or to docker.io/goharbor",
            "harbor-bootstrap",
        )


@rule("image-trust-mode")
def image_trust_mode(platform: Platform) -> Iterator[Finding]:
    """res-B13: a signature that nobody insists on proves nothing."""
    mode = platform.variables.get("image_trust_mode", "enforce")
    if not platform.enabled("image_trust") or mode == "enforce":
        return
    if mode not in TRUST_MODES:
        cause, step = f"{mode!r} is not known", nearest(str(mode), TRUST_MODES)
    elif _production(platform):
        cause, step = "images without a signature run in production", "set it to enforce"
    else:
        return
    yield Finding("error", "image_trust", "image_trust_mode", cause, step, "image-trust-mode")


@rule("chaos-in-production")
def chaos_in_production(platform: Platform) -> Iterator[Finding]:
    """What breaks things on purpose is there for a drill, for which somebody answers."""
    if platform.enabled("chaos") and _production(platform):
        yield _accepted(
            platform,
            "platform_accept_risks.chaos_in_production",
            _risk(platform, "chaos_in_production"),
            "chaos",
            "Chaos Mesh may stop any pod of production",
            "set chaos_enabled to false",
            "chaos-in-production",
        )


@rule("autoscaler-provider")
def autoscaler_provider(platform: Platform) -> Iterator[Finding]:
    """res-D12: cluster-autoscaler asks a provider for nodes; servers of one's own have none but these."""
    provider = platform.variables.get("autoscaling_provider")
    if platform.enabled("autoscaling") and provider and provider not in PROVIDERS:
        yield Finding(
            "error",
            "autoscaling",
            "autoscaling_provider",
            f"{provider!r} cannot add servers of your own: {' and '.join(PROVIDERS)} can",
            f"{nearest(str(provider), PROVIDERS)} Or set it to an empty text: no cluster-autoscaler",
            "autoscaler-provider",
        )


# --- Storage and backups ----------------------------------------------------------------------------------------------


@rule("storage-failure-domain")
def storage_failure_domain(platform: Platform) -> Iterator[Finding]:
    """res-E8: Rook's own default lets all copies lie in one zone."""
    domain = platform.variables.get("storage_failure_domain", "zone")
    if not platform.enabled("storage") or domain == "zone":
        return
    if domain != "host":
        cause, step, severity = f"{domain!r} is not known", nearest(str(domain), ("zone", "host")), "error"
    elif len(platform.zones) >= 3:
        cause = f"there are {len(platform.zones)} zones, and all copies of an object may lie in one of them"
        step, severity = "set it to zone", _worst(platform)
    else:
        return
    yield Finding(severity, "storage", "storage_failure_domain", cause, step, "storage-failure-domain")


@rule("storage-copies")
def storage_copies(platform: Platform) -> Iterator[Finding]:
    """Copies that a lost zone may take, and writing that goes on meanwhile, with two copies at least."""
    if not platform.enabled("storage"):
        return

    def finding(severity: str, variable: str, cause: str, step: str) -> Finding:
        return Finding(severity, "storage", variable, cause, step, "storage-copies")

    values = [
        str(platform.variables.get(name)).strip() for name in ("storage_copies", "storage_copies_minimum")
    ]  # such as ["3", "2"]
    if not all(value.isdecimal() for value in values):
        yield finding(
            "error", "storage_copies", f"{values[0]} and {values[1]} are no numbers of copies", "set them to 3 and 2"
        )
        return
    copies, minimum = (int(value) for value in values)
    zones = len(platform.zones)
    if copies < 3:
        yield finding(
            _worst(platform),
            "storage_copies",
            f"{copies} copies: with one lost, the next fault loses data or stops writing",
            "set it to 3",
        )
    if platform.variables.get("storage_failure_domain", "zone") == "zone" and copies > zones:
        yield finding(
            "error",
            "storage_copies",
            f"{copies} copies, each in a zone of its own, and {zones} zones",
            f"set it to {zones}, or storage_failure_domain to host",
        )
    if minimum < 2:
        yield finding(
            _worst(platform),
            "storage_copies_minimum",
            f"{minimum} copy is enough for writing: what is written then is lost with it",
            "set it to 2",
        )
    if copies > 1 and minimum >= copies:
        yield finding(
            "error",
            "storage_copies_minimum",
            f"{minimum} of {copies} copies must be there for writing: the loss of any one stops it",
            f"set it to {copies - 1}",
        )


def _tiers(platform: Platform) -> List[Mapping[str, Any]]:
    tiers = platform.variables.get("backup_tiers") or [] if platform.enabled("backup") else []
    return [tier for tier in tiers if isinstance(tier, Mapping)]


@rule("backup-locked-bucket")
def backup_locked_bucket(platform: Platform) -> Iterator[Finding]:
    """res-C2: what expires is deleted, which a locked bucket refuses for years."""
    audit = platform.variables.get("backup_audit_bucket")
    for tier in _tiers(platform):
        same = tier.get("bucket") == audit
        if same or tier.get("locked"):
            yield Finding(
                "error",
                "backup",
                f"backup_tiers.{tier.get('name')}." + ("bucket" if same else "locked"),
                f"backups of the tier {tier.get('name')} go to {tier.get('bucket')}, "
                + ("the locked bucket of the audit log" if same else "a bucket with object lock")
                + ": none that has expired can be deleted",
                "name a bucket without object lock, and set locked to false",
                "backup-locked-bucket",
            )


@rule("backup-retention")
def backup_retention(platform: Platform) -> Iterator[Finding]:
    """res-C4: each tier has its own time, and each of the three is there for another kind of loss."""
    tiers = _tiers(platform)
    for name, least in BACKUP_TIERS.items() if platform.enabled("backup") and _production(platform) else ():
        if name not in [tier.get("name") for tier in tiers]:
            yield Finding(
                "error",
                "backup",
                "backup_tiers",
                f"there is no tier {name}",
                f"add {{name: {name}, schedule: ..., keep: {least}d, bucket: ...}}",
                "backup-retention",
            )
    for tier in tiers:
        name = str(tier.get("name"))
        try:
            keep = days(tier.get("keep"))
        except ValueError as error:
            cause, _separator, step = str(error).partition(": ")
        else:
            if keep >= BACKUP_TIERS.get(name, 0):
                continue
            cause = f"backups are kept for {keep:g} days, {BACKUP_TIERS[name]} are asked for"
            step = f"set it to {BACKUP_TIERS[name]}d or more"
        yield Finding("error", "backup", f"backup_tiers.{name}.keep", cause, step, "backup-retention")


@rule("schedule")
def schedule(platform: Platform) -> Iterator[Finding]:
    """Five fields, each in its range. (PostgreSQL's operator has six: it has a rule of its own.)"""
    schedules = [
        ("backup", f"backup_tiers.{tier.get('name')}.schedule", tier.get("schedule")) for tier in _tiers(platform)
    ]
    if platform.enabled("compliance") and "compliance_schedule" in platform.variables:
        schedules.append(("compliance", "compliance_schedule", platform.variables["compliance_schedule"]))
    for component, variable, text in schedules:
        cause = _no_schedule(text)
        if cause:
            yield Finding(
                "error",
                component,
                variable,
                cause,
                'write minute, hour, day of month, month, day of week, such as "0 3 * * 0"',
                "schedule",
            )


def _no_schedule(text: Any) -> str:
    """Why a text is no schedule of five fields; empty for one that is."""
    fields = str(text or "").split()
    if len(fields) != len(CRON_FIELDS):
        return f"{text!r} has {len(fields)} fields, not five"
    for value, (name, low, high) in zip(fields, CRON_FIELDS, strict=True):
        for item in value.split(","):
            match = re.fullmatch(r"(?:\*|([0-9]+)(?:-([0-9]+))?)(?:/([0-9]+))?", item)
            if not match:
                return f"{text!r}: {item!r} is no {name}"
            first, last, step = (int(number) if number else None for number in match.groups())
            ends = [number for number in (first, last) if number is not None]
            if any(not low <= number <= high for number in ends) or ends != sorted(ends) or step == 0:
                return f"{text!r}: {item!r} is no {name} ({low} to {high})"
    return ""
