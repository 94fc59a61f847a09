"""EndpointSlices and Endpoints: which pods are behind a service; what others say is behind one without a selector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from events.kube import patches
from events.kube.api import KubeApi, KubeError
from events.kube.controller import Key
from events.kube.informer import Informer
from events.local.kubelet import hosts
from events.local.workloads import owned

Object = dict[str, Any]

LABEL = "label"
_SERVICE, _MANAGED = "kubernetes.io/service-name", "endpointslice.kubernetes.io/managed-by"
_MANAGER = "endpointslice-controller.k8s.io"
_NOTE = "endpoints.kubernetes.io/last-change-trigger-time"


class EndpointSlices:
    """`reconcile` writes the addresses of a service. One slice holds all: a machine has no thousand pods behind one."""

    def __init__(self, api: KubeApi, services: Informer, pods: Informer) -> None:
        self._api, self._services, self._pods = api, services, pods
        pods.add_index(LABEL, hosts.labels_of)

    async def reconcile(self, key: Key) -> float | None:
        """See `events.kube.controller`."""
        it = self._services.get(key.namespace, key.name)
        if it is None or owned.is_going(it) or not (it.get("spec") or {}).get("selector"):
            return None
        found = hosts.candidates([it], lambda label: self._pods.by(LABEL, label))
        pods = [pod for pod in found if is_behind(it, pod)]
        for wanted in (slice_of(it, pods), endpoints_of(it, pods)):
            await self._keep(wanted)
        return None

    async def _keep(self, wanted: Object) -> None:
        resource = await self._api.resource(wanted["apiVersion"], wanted["kind"])
        metadata = wanted["metadata"]
        try:
            found = await self._api.get(resource, metadata["name"], namespace=metadata["namespace"])
        except KubeError as error:
            if error.status != 404:
                raise
            await self._api.create(wanted)
            return
        parts = ("endpoints", "ports", "subsets")
        change = {key: wanted[key] for key in parts if key in wanted and (found.get(key) or []) != wanted[key]}
        if change:
            await self._api.patch(
                resource, metadata["name"], change, content_type=patches.MERGE, namespace=metadata["namespace"]
            )


def is_behind(service: Object, pod: Object) -> bool:
    """Whether a pod has an address and the labels. Pure."""
    selector = service["spec"]["selector"]
    has_address = bool((pod.get("status") or {}).get("podIP")) and not owned.is_over(pod)
    return has_address and bool(selector.items() <= (pod["metadata"].get("labels") or {}).items())


def _ready(service: Object, pod: Object) -> bool:
    return bool(service["spec"].get("publishNotReadyAddresses")) or owned.is_ready(pod)


def target_of(pod: Object, port: Object) -> int | None:
    """The port of a pod that a port of its service stands for."""
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    for container in pod["spec"]["containers"]:
        for one in container.get("ports") or ():
            if one.get("name") == target and one.get("protocol", "TCP") == port.get("protocol", "TCP"):
                return int(one["containerPort"])
    return None


def _ports(service: Object, pods: Iterable[Object]) -> list[Object]:
    """As the pods have them; of a name that they see differently, the first one's."""
    found = []
    every = list(pods)
    for port in service["spec"].get("ports") or ():
        numbers = [number for pod in every if (number := target_of(pod, port)) is not None]
        if numbers:
            found.append({"name": port.get("name") or "", "protocol": port.get("protocol", "TCP"), "port": numbers[0]})
    return found


def _reference(pod: Object) -> Object:
    metadata = pod["metadata"]
    return {"kind": "Pod", "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]}


def slice_of(service: Object, pods: list[Object]) -> Object:
    """The slice of a service. Pure."""
    metadata = service["metadata"]
    found = []
    for pod in pods:
        is_ready, is_going = _ready(service, pod), owned.is_going(pod)
        one = {
            "addresses": [pod["status"]["podIP"]],
            "conditions": {"ready": is_ready and not is_going, "serving": is_ready, "terminating": is_going},
            "targetRef": _reference(pod),
            "nodeName": pod["spec"].get("nodeName", ""),
        }
        if pod["spec"].get("subdomain") == metadata["name"]:
            one["hostname"] = pod["spec"].get("hostname") or pod["metadata"]["name"]
        found.append(one)
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{metadata['name']}-{owned.template_hash({}, metadata['uid'])[:5]}",
            "namespace": metadata["namespace"],
            "labels": {**(metadata.get("labels") or {}), _SERVICE: metadata["name"], _MANAGED: _MANAGER},
            "ownerReferences": [owned.owner_reference(service | {"apiVersion": "v1", "kind": "Service"})],
        },
        "addressType": "IPv4",
        "endpoints": found,
        "ports": _ports(service, pods),
    }


def endpoints_of(service: Object, pods: list[Object]) -> Object:
    """The same for older clients. Pure."""
    metadata, ports = service["metadata"], _ports(service, pods)

    def addresses(*, wanted: bool) -> list[Object]:
        return [
            {"ip": pod["status"]["podIP"], "nodeName": pod["spec"].get("nodeName", ""), "targetRef": _reference(pod)}
            for pod in pods
            if (_ready(service, pod) and not owned.is_going(pod)) is wanted
        ]

    parts = {"addresses": addresses(wanted=True), "notReadyAddresses": addresses(wanted=False), "ports": ports}
    named = [{key: one[key] for key in one if one[key] != ""} for one in ports]
    subset = {key: value for key, value in (parts | {"ports": named}).items() if value}
    has_any = subset.get("addresses") or subset.get("notReadyAddresses")
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": metadata.get("labels") or {},
        },
        "subsets": [subset] if has_any else [],
    }


def told(service: Object, port: Object, endpoints: Iterable[Object], slices: Iterable[Object]) -> list[tuple[str, int]]:
    """Where a port of a service without a selector leads, by what somebody wrote. Pure."""
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    found = []
    for one in endpoints:
        if (one["metadata"]["name"], one["metadata"]["namespace"]) == (name, namespace):
            for subset in one.get("subsets") or ():
                addresses = [address["ip"] for address in subset.get("addresses") or ()]
                found += list(_at(addresses, subset.get("ports") or (), port))
    for one in slices:
        metadata = one["metadata"]
        if metadata["namespace"] == namespace and (metadata.get("labels") or {}).get(_SERVICE) == name:
            ready = [it for it in one.get("endpoints") or () if (it.get("conditions") or {}).get("ready") is not False]
            found += list(_at([it["addresses"][0] for it in ready], one.get("ports") or (), port))
    return list(dict.fromkeys(found))


def _at(addresses: Iterable[str], ports: Iterable[Object], wanted: Object) -> Iterator[tuple[str, int]]:
    """The addresses, with the port of the wanted one's name."""
    numbers = [one["port"] for one in ports if (one.get("name") or "") == (wanted.get("name") or "")]
    return ((address, number) for address in addresses for number in numbers)
