"""What runs in a cluster: the controller and the admission webhook. Contract: sensors G.2, F.1; flaw C11."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from events.app.manifests.roles import CONTROLLER, NAMESPACE, WEBHOOK, Object
from events.version import VERSION

IMAGE = f"keryx:{VERSION}"
"""The one place that names the image, as `docker build` makes it; the controller gives it on to the pods it makes."""
USER = 9731
CONFIGURATION = "argo-events-controller-config"
_FOLDER = "/etc/argo-events"
_METRICS, _HEALTH, _ADMISSION = 7777, 8081, 8443


def controller(*flags: str) -> list[Object]:
    """Two replicas, of which one leads: the other takes over within seconds."""
    name = "controller-manager"
    # Containers and volumes are merged by name: these are Argo Events', so that none of its own stays beside them.
    container = _container(
        name,
        ["controller", *flags],
        {"metrics": _METRICS, "health": _HEALTH},
        [
            {"name": "ARGO_EVENTS_IMAGE", "value": IMAGE},
            {"name": "IMAGE_PULL_POLICY", "value": "IfNotPresent"},
            _downward("NAMESPACE", "metadata.namespace"),
            _downward("POD_NAME", "metadata.name"),
        ],
        memory=("128Mi", "1Gi"),
    )
    container["volumeMounts"].append({"name": "controller-config-volume", "mountPath": _FOLDER, "readOnly": True})
    container |= _probes("health", "HTTP")
    volume = {"name": "controller-config-volume", "configMap": {"name": CONFIGURATION}}
    return [_deployment(name, CONTROLLER, container, [volume]), _budget(name)]


def webhook() -> list[Object]:
    """Two replicas behind a Service."""
    name = "events-webhook"
    container = _container(
        "webhook",
        ["webhook-service"],
        {"webhook": _ADMISSION},
        [_downward("NAMESPACE", "metadata.namespace"), {"name": "PORT", "value": str(_ADMISSION)}],
        memory=("64Mi", "256Mi"),
    )
    container |= _probes("webhook", "HTTPS")
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "selector": {"app": name},
            "ports": [{"name": "webhook", "port": _ADMISSION, "targetPort": "webhook", "protocol": "TCP"}],
        },
    }
    return [_deployment(name, WEBHOOK, container, []), service, _budget(name)]


def configuration(text: str) -> Object:
    """The controller's configuration; a change is taken while it runs."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIGURATION, "namespace": NAMESPACE},
        "data": {"controller-config.yaml": text},
    }


def _deployment(name: str, account: str, container: Object, volumes: Iterable[Object]) -> Object:
    labels = {"app": name}
    anti_affinity = {
        "weight": 100,
        "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": labels}},
    }
    pod = {
        "serviceAccountName": account,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [anti_affinity]}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}, *volumes],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _container(
    name: str, arguments: list[str], ports: dict[str, int], env: list[Object], *, memory: tuple[str, str]
) -> Object:
    return {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": arguments,
        "env": env,
        "ports": [{"name": name, "containerPort": number} for name, number in ports.items()],
        # No limit of CPU: a controller that is slowed down loses its lease.
        "resources": {"requests": {"cpu": "50m", "memory": memory[0]}, "limits": {"memory": memory[1]}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - a volume of the pod's own
    }


def _probes(port: str, scheme: str) -> dict[str, Any]:
    def probe(path: str, failures: int) -> Object:
        where = {"path": path, "port": port} | ({"scheme": scheme} if scheme != "HTTP" else {})
        return {"httpGet": where, "initialDelaySeconds": 3, "periodSeconds": 3, "failureThreshold": failures}

    return {"livenessProbe": probe("/healthz", 10), "readinessProbe": probe("/readyz", 3)}


def _budget(name: str) -> Object:
    """Nodes can always be emptied, one pod at a time."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": name}}},
    }


def _downward(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
