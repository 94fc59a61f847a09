"""Cells of volumes, claims and the classes and drivers behind them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from events.local.apiserver.resources import Column, Object
from events.local.apiserver.tables.ages import Clock
from events.local.apiserver.tables.looks import AGE, NAME, Key, Look, flag, text, wide
from events.local.apiserver.tables.texts import NONE, UNSET, is_going, name_of, part, quantity

_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_CLASS = "volume.beta.kubernetes.io/storage-class"
_DEFAULTS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


def _modes(given: Iterable[str] | None) -> str:
    several = set(given or ())
    return ",".join(short for mode, short in _MODES.items() if mode in several)


def _class(it: Object) -> str:
    """An old annotation wins."""
    marked = (it["metadata"].get("annotations") or {}).get(_CLASS)
    found: str = part(it, "spec").get("storageClassName") or "" if marked is None else marked
    return found


def _or_unset(spec: Object, name: str) -> str:
    return UNSET if spec.get(name) is None else str(spec[name])


def _phase(it: Object) -> str:
    return "Terminating" if is_going(it) else part(it, "status").get("phase", "")


def _volume(it: Object, clock: Clock) -> list[Any]:
    spec = part(it, "spec")
    claim = part(spec, "claimRef")
    return [
        name_of(it),
        quantity(part(spec, "capacity").get("storage")),
        _modes(spec.get("accessModes")),
        spec.get("persistentVolumeReclaimPolicy", ""),
        _phase(it),
        f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
        _class(it),
        _or_unset(spec, "volumeAttributesClassName"),
        part(it, "status").get("reason", ""),
        clock.age(it),
        _or_unset(spec, "volumeMode"),
    ]


def _claim(it: Object, clock: Clock) -> list[Any]:
    spec, status = part(it, "spec"), part(it, "status")
    volume = spec.get("volumeName", "")
    return [
        name_of(it),
        _phase(it),
        volume,
        quantity(part(status, "capacity").get("storage")) if volume else "",
        _modes(status.get("accessModes")) if volume else "",
        _class(it),
        _or_unset(spec, "volumeAttributesClassName"),
        clock.age(it),
        _or_unset(spec, "volumeMode"),
    ]


def _storage_class(it: Object, clock: Clock) -> list[Any]:
    annotations = it["metadata"].get("annotations") or {}
    is_default = any(annotations.get(name) == "true" for name in _DEFAULTS)
    return [
        f"{name_of(it)}{' (default)' if is_default else ''}",
        it.get("provisioner", ""),
        it.get("reclaimPolicy") or "Delete",
        it.get("volumeBindingMode") or "Immediate",
        bool(it.get("allowVolumeExpansion")),
        clock.age(it),
    ]


def _driver(it: Object, clock: Clock) -> list[Any]:
    spec = part(it, "spec")
    requests = spec.get("tokenRequests")
    return [
        name_of(it),
        spec.get("attachRequired") is not False,
        bool(spec.get("podInfoOnMount")),
        bool(spec.get("storageCapacity")),
        UNSET if requests is None else ",".join(one.get("audience", "") for one in requests),
        bool(spec.get("requiresRepublish")),
        ",".join(spec.get("volumeLifecycleModes") or ()) or NONE,
        clock.age(it),
    ]


def _attachment(it: Object, clock: Clock) -> list[Any]:
    spec = part(it, "spec")
    volume = part(spec, "source").get("persistentVolumeName") or ""
    attached = bool(part(it, "status").get("attached"))
    return [name_of(it), spec.get("attacher", ""), volume, spec.get("nodeName", ""), attached, clock.age(it)]


_VOLUME, _CLAIM = "@core.v1.PersistentVolume", "@core.v1.PersistentVolumeClaim"
_DRIVER, _ATTACHMENT = "@storage.v1.CSIDriverSpec", "@storage.v1.VolumeAttachment"
_GROUP = "storage.k8s.io"

LOOKS: dict[Key, Look] = {
    ("", "PersistentVolume"): Look(
        (
            NAME,
            text("Capacity", f"{_VOLUME}Spec.capacity"),
            text("Access Modes", f"{_VOLUME}Spec.accessModes"),
            text("Reclaim Policy", f"{_VOLUME}Spec.persistentVolumeReclaimPolicy"),
            text("Status", f"{_VOLUME}Status.phase"),
            text("Claim", f"{_VOLUME}Spec.claimRef"),
            text("StorageClass", "StorageClass of the pv"),
            text("VolumeAttributesClass", "VolumeAttributesClass of the pv"),
            text("Reason", f"{_VOLUME}Status.reason"),
            AGE,
            wide("VolumeMode", f"{_VOLUME}Spec.volumeMode"),
        ),
        _volume,
    ),
    ("", "PersistentVolumeClaim"): Look(
        (
            NAME,
            text("Status", f"{_CLAIM}Status.phase"),
            text("Volume", f"{_CLAIM}Spec.volumeName"),
            text("Capacity", f"{_CLAIM}Status.capacity"),
            text("Access Modes", f"{_CLAIM}Status.accessModes"),
            text("StorageClass", "StorageClass of the pvc"),
            text("VolumeAttributesClass", "VolumeAttributesClass of the pvc"),
            AGE,
            wide("VolumeMode", f"{_CLAIM}Spec.volumeMode"),
        ),
        _claim,
    ),
    (_GROUP, "StorageClass"): Look(
        (
            NAME,
            text("Provisioner", "@storage.v1.StorageClass.provisioner"),
            text("ReclaimPolicy", "@storage.v1.StorageClass.reclaimPolicy"),
            text("VolumeBindingMode", "@storage.v1.StorageClass.volumeBindingMode"),
            text("AllowVolumeExpansion", "@storage.v1.StorageClass.allowVolumeExpansion"),
            AGE,
        ),
        _storage_class,
    ),
    (_GROUP, "CSIDriver"): Look(
        (
            NAME,
            flag("AttachRequired", f"{_DRIVER}.attachRequired"),
            flag("PodInfoOnMount", f"{_DRIVER}.podInfoOnMount"),
            flag("StorageCapacity", f"{_DRIVER}.storageCapacity"),
            text("TokenRequests", f"{_DRIVER}.tokenRequests"),
            flag("RequiresRepublish", f"{_DRIVER}.requiresRepublish"),
            text("Modes", f"{_DRIVER}.volumeLifecycleModes"),
            AGE,
        ),
        _driver,
    ),
    (_GROUP, "VolumeAttachment"): Look(
        (
            NAME,
            Column("Attacher", "string", f"{_ATTACHMENT}Spec.attacher", "name"),
            text("PV", f"{_ATTACHMENT}Source.persistentVolumeName"),
            text("Node", f"{_ATTACHMENT}Spec.nodeName"),
            flag("Attached", f"{_ATTACHMENT}Status.attached"),
            AGE,
        ),
        _attachment,
    ),
}
