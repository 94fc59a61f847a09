"""What a server itself writes into a new or changed object of a built-in kind, before it judges it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Object = dict[str, Any]

_FINALIZER = "kubernetes"
_BATCH = "batch.kubernetes.io/"


def prepare_in_place(group: str, kind: str, it: Object) -> None:
    """Fill in what a client cannot say. The object has its name and uid by now."""
    if change := _CHANGES.get((group, kind)):
        change(it)


def prepare_change_in_place(group: str, kind: str, it: Object, old: Mapping[str, Any]) -> None:
    """Take what a client cannot change from the stored object. Not for changes of a subresource."""
    if (group, kind) == ("apiextensions.k8s.io", "CustomResourceDefinition"):
        it["status"] = status = dict(old.get("status") or {})
        stored = list(status.get("storedVersions") or ())
        for version in it["spec"].get("versions") or ():
            if version.get("storage") and version.get("name") not in stored:
                stored.append(version["name"])
        status["storedVersions"] = stored
    elif (group, kind) == ("", "Namespace"):
        it["status"] = old.get("status") or {}
        finalizers = (old.get("spec") or {}).get("finalizers")
        it["spec"] = {**(it.get("spec") or {}), "finalizers": finalizers} if finalizers else it.get("spec") or {}
    elif (group, kind) == ("", "Service"):
        _kept_address(it, old)


def _kept_address(it: Object, old: Mapping[str, Any]) -> None:
    """A client that sends a service as it once wrote it keeps the address and ports that it was given."""
    spec, before = it["spec"], old["spec"]
    if spec.get("type") == "ClusterIP" and before.get("type") in ("LoadBalancer", "NodePort"):
        _drop_node_ports(spec, before)
    if "ExternalName" in (spec.get("type"), before.get("type")):
        return
    for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if not spec.get(key) and before.get(key):
            spec[key] = before[key]
    if "NodePort" in (spec.get("type"), before.get("type")) and spec.get("type") != "ClusterIP":
        given = {(one.get("port"), one.get("protocol")): one.get("nodePort") for one in before.get("ports") or ()}
        for port in spec.get("ports") or ():
            number = given.get((port.get("port"), port.get("protocol")))
            if number and not port.get("nodePort"):
                port["nodePort"] = number


def _drop_node_ports(spec: Object, before: Mapping[str, Any]) -> None:
    """They go with the type that they were given for, unless the client says something about them."""
    given = spec.get("ports") or ()
    if [one.get("nodePort") for one in given] == [one.get("nodePort") for one in before.get("ports") or ()]:
        spec["ports"] = [{key: value for key, value in one.items() if key != "nodePort"} for one in given]


def _namespace(it: Object) -> None:
    finalizers = it.setdefault("spec", {}).setdefault("finalizers", [])
    if _FINALIZER not in finalizers:
        finalizers.append(_FINALIZER)
    it["status"] = {"phase": "Active"}
    it["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = it["metadata"].get("name", "")


def _pod(it: Object) -> None:
    it["status"] = {"phase": "Pending", "qosClass": quality(it)}


def _claim(it: Object) -> None:
    it["status"] = {"phase": "Pending"}


def _volume(it: Object) -> None:
    since = it["metadata"].get("creationTimestamp")
    it["status"] = {"phase": "Pending"} | ({"lastPhaseTransitionTime": since} if since else {})


def quality(it: Mapping[str, Any]) -> str:
    """The quality of service that follows from a pod's requests and limits of CPU and memory."""
    spec = it["spec"]
    every = [
        one.get("resources") or {} for one in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ()))
    ]
    kinds = ("cpu", "memory")

    def counted(amounts: Mapping[str, str] | None) -> dict[str, str]:
        return {key: value for key, value in (amounts or {}).items() if key in kinds and value != "0"}

    limits, requests = [counted(one.get("limits")) for one in every], [counted(one.get("requests")) for one in every]
    if not any(limits) and not any(requests):
        return "BestEffort"
    if all(len(one) == len(kinds) for one in limits) and limits == requests:
        return "Guaranteed"
    return "Burstable"


def _job(it: Object) -> None:
    spec, name, uid = it["spec"], it["metadata"].get("name", ""), it["metadata"].get("uid", "")
    if spec.get("manualSelector"):
        return
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    for prefix in ("", _BATCH):
        labels[f"{prefix}controller-uid"] = uid
        labels[f"{prefix}job-name"] = name
    selector = spec.setdefault("selector", {})
    selector.setdefault("matchLabels", {})[f"{_BATCH}controller-uid"] = uid


def _definition(it: Object) -> None:
    stored = next((one["name"] for one in it["spec"].get("versions") or () if one.get("storage")), None)
    names = {"plural": "", "kind": ""}
    it["status"] = {"conditions": None, "acceptedNames": names, "storedVersions": [stored] if stored else None}


def with_address(it: Object, address: str) -> None:
    """Give a service its address (`None` for a headless one keeps what it asked for), and the fields that follow."""
    spec = it["spec"]
    if spec.get("type") == "ExternalName":
        return
    given = spec.get("clusterIP") or address
    spec["clusterIP"] = given
    spec.setdefault("clusterIPs", [given])
    family = "IPv6" if ":" in given else "IPv4"
    spec.setdefault("ipFamilies", [family])
    spec.setdefault("ipFamilyPolicy", "SingleStack")


_CHANGES: Mapping[tuple[str, str], Callable[[Object], None]] = {
    ("", "Namespace"): _namespace,
    ("", "PersistentVolume"): _volume,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Pod"): _pod,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("batch", "Job"): _job,
}
