"""The Deployment of a Sensor or EventSource. Pure. Contract: sensors F.6, 0.4; eventsources 1.6, 1.7.

What the author's `template` says goes before everything here. Ours, where it says nothing: probes, requests, a security
context that restricted namespaces admit, and a grace period that is longer than the service's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from events.credentials import ConfigMapRef, SecretRef
from events.errors import UserError
from events.kube import objects
from events.kube.api import Object
from events.kube.mounts import Mounts, last_of_each
from events.resources import API_VERSION, Container, Template
from events.settings import GRACE, METRICS_PORT

LEADER_ELECTION = "events.argoproj.io/leader-election"
"""Annotation of an object: `k8s` has its pods use a Lease."""
CHECKSUM = "object-checksum"
"""Annotation of the pods: what they read when they start. Another one rolls them."""
MAX_LABEL = 63
_SUFFIX = 5
_GRACE_BEYOND = 15
_MEBIBYTES, _MEBIBYTES_PER_WORKER = 96, 64
RESTRICTED: Mapping[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
LOW_PORTS = {"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}
"""A safe sysctl: without root, ports below 1024 can be listened on."""


@dataclass(frozen=True, slots=True)
class Role:
    """Which of the two services a Deployment runs. `word` is in all its names."""

    kind: str
    word: str

    @property
    def controller(self) -> str:
        """The controller's name, and the value of the label `controller`."""
        return f"{self.word}-controller"

    def labels(self, name: str) -> dict[str, str]:
        """The labels by which everything of one object is found, also what Argo Events made."""
        return {"controller": self.controller, f"{self.word}-name": name, "owner-name": name}


SENSOR = Role("Sensor", "sensor")
EVENT_SOURCE = Role("EventSource", "eventsource")


@dataclass(frozen=True, slots=True)
class PodSettings:
    """What the controller's own environment says of all pods it makes."""

    image: str
    pull_policy: str = "Always"
    """IMAGE_PULL_POLICY; an object's own comes first (flaw C5)."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What one Deployment is made of."""

    role: Role
    owner: Object
    template: Template
    replicas: int | None
    """None: whoever scales the Deployment decides; Kubernetes begins with one."""
    references: Iterable[SecretRef | ConfigMapRef]
    bus: Mapping[str, Any]
    """The BusConfig, in wire names."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Environment variable -> file of the mounted ConfigMap."""
    checksum: str = ""
    history: int | None = None
    processes: int = 1
    has_low_ports: bool = False


def named(owner: Object, role: Role) -> str:
    """The name of an object's Deployment: it follows from name and uid, so that two controllers cannot make two."""
    meta = owner["metadata"]
    digest = hashlib.sha256(str(meta.get("uid", "")).encode()).digest()
    letters = objects.SUFFIX_ALPHABET
    suffix = "".join(letters[byte % len(letters)] for byte in digest[:_SUFFIX])
    return objects.generated(f"{meta['name']}-{role.word}-", suffix)


def owner_reference(owner: Object, kind: str) -> Object:
    """The controlling owner of what is made for an object."""
    meta = owner["metadata"]
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "name": meta["name"],
        "uid": meta.get("uid", ""),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def metadata(owner: Object, role: Role, labels: Mapping[str, str] | None = None) -> Object:
    """Namespace, labels and owner of what is made for an object; `labels` go below the object's own."""
    meta = owner["metadata"]
    if not objects.is_label_value(meta["name"]):
        message = f"{meta['name']!r} cannot be a label of pods, which have it as `owner-name`"
        raise UserError(message, path="metadata.name", cure=f"use a name of at most {MAX_LABEL} characters")
    return {
        "namespace": meta.get("namespace"),
        "labels": {**(labels or {}), **(meta.get("labels") or {}), **role.labels(meta["name"])},
        "ownerReferences": [owner_reference(owner, role.kind)],
    }


def deployment(workload: Workload, config_map: str, settings: PodSettings) -> Object:
    """The Deployment, with `generateName`; `config_map` is what its pods mount.

    UserError when what the object says cannot become one.
    """
    role, name = workload.role, workload.owner["metadata"]["name"]
    labels = role.labels(name)
    spec: Object = {"selector": {"matchLabels": labels}, "template": _pod(workload, config_map, settings)}
    if workload.replicas is not None:
        spec["replicas"] = max(1, workload.replicas)
    if workload.history is not None:
        spec["revisionHistoryLimit"] = workload.history
    meta = {"generateName": f"{name}-{role.word}-", **metadata(workload.owner, role)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def _pod(workload: Workload, config_map: str, settings: PodSettings) -> Object:
    template = workload.template
    own = template.metadata
    mounts = Mounts(template.volumes or [], _container(template).volume_mounts or [])
    mounts.scratch()
    mounts.carried(config_map)
    mounts.references([*workload.references, *_in_environment(_container(template))])
    mounts.bus(workload.bus)
    spec: Object = {
        "containers": [_main(workload, mounts, settings)],
        "volumes": mounts.volumes,
        "terminationGracePeriodSeconds": round(_grace(_container(template))) + _GRACE_BEYOND,
    }
    spec |= _without_none(
        serviceAccountName=template.service_account_name or None,
        securityContext=_pod_security(workload),
        nodeSelector=template.node_selector,
        tolerations=template.tolerations,
        affinity=template.affinity,
        imagePullSecrets=template.image_pull_secrets,
        priorityClassName=template.priority_class_name or None,
        priority=template.priority,
    )
    annotations = {**((own.annotations if own else None) or {}), CHECKSUM: workload.checksum}
    labels = {**((own.labels if own else None) or {}), **workload.role.labels(workload.owner["metadata"]["name"])}
    return {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec}


def _main(workload: Workload, mounts: Mounts, settings: PodSettings) -> Object:
    container = _container(workload.template)
    port = _number(container, "KERYX_METRICS_PORT", METRICS_PORT)
    return {
        "name": "main",
        "image": settings.image,
        "imagePullPolicy": container.image_pull_policy or settings.pull_policy,
        "args": [f"{workload.role.word}-service"],
        "env": _environment(workload, container),
        **({"envFrom": container.env_from} if container.env_from else {}),
        "ports": [{"name": "metrics", "containerPort": int(port)}],
        "resources": container.resources or _resources(workload.processes),
        "securityContext": container.security_context or _security(workload.template),
        "volumeMounts": mounts.mounts,
        "terminationMessagePolicy": "FallbackToLogsOnError",  # a crash is told in the object's status
        **_probes(),
    }


def _environment(workload: Workload, container: Container) -> list[Object]:
    """The author's variables, then ours, which win; each once, because the API server wants them so."""
    meta = workload.owner["metadata"]
    election = (meta.get("annotations") or {}).get(LEADER_ELECTION)
    files = [{"name": name, "value": path} for name, path in workload.files.items()]
    ours: list[Object] = [
        *files[:1],
        {"name": "EVENTBUS_SUBJECT", "value": f"eventbus-{meta.get('namespace')}"},
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "LEADER_ELECTION", **({"value": election} if election else {})},
        *files[1:],
    ]
    names = {one["name"] for one in ours}
    theirs = last_of_each(container.env or [], "name", "spec.template.container.env")
    return [*(one for one in theirs if one["name"] not in names), *ours]


def _in_environment(container: Container) -> Iterable[SecretRef | ConfigMapRef]:
    """What variables name is mounted, too (contract 0.2)."""
    for variable in container.env or []:
        source = variable.get("valueFrom")
        source = source if isinstance(source, dict) else {}
        for key, model in (("secretKeyRef", SecretRef), ("configMapKeyRef", ConfigMapRef)):
            ref = source.get(key)
            if isinstance(ref, dict) and isinstance(ref.get("name"), str):
                yield model(name=ref["name"], key=str(ref.get("key", "")), optional=ref.get("optional") or None)


def _probes() -> Object:
    """`/readyz` takes a pod out of its Service; `/healthz` ends one whose loop stands still for a minute."""
    ready = {"path": "/readyz", "port": "metrics"}
    alive = {"path": "/healthz", "port": "metrics"}
    return {
        "startupProbe": {"httpGet": alive, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 120},
        "readinessProbe": {"httpGet": ready, "periodSeconds": 2, "timeoutSeconds": 5, "failureThreshold": 3},
        "livenessProbe": {"httpGet": alive, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
    }


def _resources(processes: int) -> Object:
    """What is used when nothing happens, and a bit: no limits, which only the author can know."""
    mebibytes = _MEBIBYTES + _MEBIBYTES_PER_WORKER * (processes - 1)
    return {"requests": {"cpu": "50m", "memory": f"{mebibytes}Mi"}}


def _security(template: Template) -> Object:
    """Restricted; as root only where the pod's own security context asks for it."""
    pod = template.security_context or {}
    is_root = pod.get("runAsUser") == 0 or pod.get("runAsNonRoot") is False
    return {key: value for key, value in RESTRICTED.items() if not (is_root and key == "runAsNonRoot")}


def _pod_security(workload: Workload) -> Object | None:
    given = workload.template.security_context
    if not workload.has_low_ports or (given or {}).get("sysctls"):
        return given
    return {**(given or {}), "sysctls": [LOW_PORTS]}


def _grace(container: Container) -> float:
    return _number(container, "KERYX_GRACE", GRACE)


def _number(container: Container, name: str, default: float) -> float:
    """A number that the author set as a variable, where it is plain to see."""
    for variable in reversed(container.env or []):
        if variable.get("name") == name and isinstance(text := variable.get("value"), str):
            try:
                return max(0.0, float(text.removesuffix("s")))
            except ValueError:
                return default  # the service says so
    return default


def _container(template: Template) -> Container:
    return template.container or Container()


def _without_none(**fields: Any) -> Object:
    return {name: value for name, value in fields.items() if value is not None}
