"""Cells of services and what leads to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from events.local.apiserver.resources import Object
from events.local.apiserver.tables.ages import UNKNOWN, Clock
from events.local.apiserver.tables.looks import AGE, NAME, Key, Look, text, wide
from events.local.apiserver.tables.texts import NONE, labels_text, name_of, part, selected, shortened

_MOST = 3


def _service(it: Object, clock: Clock) -> list[Any]:
    spec = part(it, "spec")
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP") or NONE]
    return [
        name_of(it),
        spec.get("type", ""),
        addresses[0],
        _external(it),
        ",".join(map(_port, spec.get("ports") or ())) or NONE,
        clock.age(it),
        labels_text(spec.get("selector")),
    ]


def _port(port: Object) -> str:
    outside = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port', 0)}{outside}/{port.get('protocol', '')}"


def _external(it: Object) -> str:
    spec = part(it, "spec")
    given, kind = spec.get("externalIPs") or [], spec.get("type")
    if kind in ("ClusterIP", "NodePort"):
        return ",".join(given) or NONE
    if kind == "LoadBalancer":
        return ",".join([*_balanced(it), *given]) or "<pending>"
    return spec.get("externalName", "") if kind == "ExternalName" else UNKNOWN


def _balanced(it: Object) -> list[str]:
    """The addresses that a load balancer gave."""
    points = part(it, "status", "loadBalancer").get("ingress") or ()
    return sorted({one.get("ip") or one.get("hostname") or "" for one in points} - {""})


def _ingress(it: Object, clock: Clock) -> list[Any]:
    spec = part(it, "spec")
    ports = "80, 443" if spec.get("tls") else "80"
    given = spec.get("ingressClassName")
    addresses = ",".join(_balanced(it))
    return [
        name_of(it),
        NONE if given is None else given,
        _hosts(spec.get("rules") or []),
        addresses,
        ports,
        clock.age(it),
    ]


def _hosts(rules: list[Object]) -> str:
    """Rules without a host count among those that are not shown."""
    listed: list[str] = []
    has_more = False
    for rule in rules:
        has_more = has_more or len(listed) == _MOST
        if not has_more and rule.get("host"):
            listed.append(rule["host"])
    if not listed:
        return "*"
    return ",".join(listed) + (f" + {len(rules) - _MOST} more..." if has_more else "")


def _ingress_class(it: Object, clock: Clock) -> list[Any]:
    spec = part(it, "spec")
    given = part(spec, "parameters")
    group = f".{given['apiGroup']}" if given.get("apiGroup") is not None else ""
    shown = f"{given.get('kind', '')}{group}/{given.get('name', '')}" if given else NONE
    return [name_of(it), spec.get("controller", ""), shown, clock.age(it)]


def _network_policy(it: Object, clock: Clock) -> list[Any]:
    return [name_of(it), selected(part(it, "spec").get("podSelector")), clock.age(it)]


def _endpoints(it: Object, clock: Clock) -> list[Any]:
    subsets = it.get("subsets")
    return [name_of(it), shortened(list(_places(subsets)), "") if subsets else NONE, clock.age(it)]


def _places(subsets: Iterable[Object]) -> Iterable[str]:
    for subset in subsets:
        addresses = [one.get("ip", "") for one in subset.get("addresses") or ()]
        ports = subset.get("ports")
        if not ports:
            yield from addresses
        for port in ports or ():
            for address in addresses:
                host = f"[{address}]" if ":" in address else address
                yield f"{host}:{port.get('port', 0)}"


def _endpoint_slice(it: Object, clock: Clock) -> list[Any]:
    ports = [_slice_port(one) for one in it.get("ports") or ()]
    addresses = [address for one in it.get("endpoints") or () for address in one.get("addresses") or ()]
    return [name_of(it), it.get("addressType", ""), shortened(ports), shortened(addresses), clock.age(it)]


def _slice_port(port: Object) -> str:
    if port.get("port") is not None:
        return str(port["port"])
    return "*" if port.get("name") is None else str(port["name"])


_SERVICE = "@core.v1.ServiceSpec"
_SLICE = "@discovery.v1.EndpointSlice"
_GROUP = "networking.k8s.io"

LOOKS: dict[Key, Look] = {
    ("", "Service"): Look(
        (
            NAME,
            text("Type", f"{_SERVICE}.type"),
            text("Cluster-IP", f"{_SERVICE}.clusterIP"),
            text("External-IP", f"{_SERVICE}.externalIPs"),
            text("Port(s)", f"{_SERVICE}.ports"),
            AGE,
            wide("Selector", f"{_SERVICE}.selector"),
        ),
        _service,
    ),
    ("", "Endpoints"): Look((NAME, text("Endpoints", "@core.v1.Endpoints.subsets"), AGE), _endpoints),
    ("discovery.k8s.io", "EndpointSlice"): Look(
        (
            NAME,
            text("AddressType", f"{_SLICE}.addressType"),
            text("Ports", f"{_SLICE}.ports"),
            text("Endpoints", f"{_SLICE}.endpoints"),
            AGE,
        ),
        _endpoint_slice,
    ),
    (_GROUP, "Ingress"): Look(
        (
            NAME,
            text("Class", "The name of the IngressClass resource that should be used for additional configuration"),
            text("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
            text("Address", "Address is a list containing ingress points for the load-balancer"),
            text("Ports", "Ports of TLS configurations that open"),
            AGE,
        ),
        _ingress,
    ),
    (_GROUP, "IngressClass"): Look(
        (
            NAME,
            text("Controller", "Controller that is responsible for handling this class"),
            text("Parameters", "A reference to a resource with additional parameters"),
            AGE,
        ),
        _ingress_class,
    ),
    (_GROUP, "NetworkPolicy"): Look(
        (NAME, text("Pod-Selector", "@networking.v1.NetworkPolicySpec.podSelector"), AGE), _network_policy
    ),
}
