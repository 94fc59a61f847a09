"""Defaults of built-in kinds: what a typed server fills in when it reads an object.

One function per definition, called with what was just decoded (nested definitions first) and changing it. A value that
is absent here was absent, null or zero in the object. Source: the defaulting functions of the API's own types.
"""

from __future__ import annotations

import base64
import copy
import re
from collections.abc import Callable
from typing import Any

Object = dict[str, Any]
Fill = Callable[[Object], None]

_RBAC = "rbac.authorization.k8s.io"
_MANY = (1 << 31) - 1


def tag_of(image: str) -> str:
    """The tag of an image: `latest` when neither a tag nor a digest is given."""
    if not image:
        return ""
    name, at, _ = image.partition("@")
    tagged = re.search(r":([\w][\w.-]*)\Z", name)
    return tagged[1] if tagged else "" if at else "latest"


def container(it: Object) -> None:
    """Pull policy and termination message."""
    pull = "Always" if tag_of(it.get("image", "")) == "latest" else "IfNotPresent"
    it.setdefault("imagePullPolicy", pull)
    it.setdefault("terminationMessagePath", "/dev/termination-log")
    it.setdefault("terminationMessagePolicy", "File")


def pod_spec(it: Object) -> None:
    """What every pod has, in a template too."""
    it.setdefault("dnsPolicy", "ClusterFirst")
    it.setdefault("restartPolicy", "Always")
    it.setdefault("securityContext", {})
    it.setdefault("terminationGracePeriodSeconds", 30)
    it.setdefault("schedulerName", "default-scheduler")
    if account := it.get("serviceAccountName", it.get("serviceAccount")):
        it["serviceAccountName"] = it["serviceAccount"] = account  # the old name says the same
    if it.get("hostNetwork"):
        for one in (*(it.get("containers") or ()), *(it.get("initContainers") or ())):
            for port in one.get("ports") or ():
                if not port.get("hostPort"):
                    port["hostPort"] = port.get("containerPort", 0)


def pod(it: Object) -> None:
    """What only a pod has: requests that follow from limits."""
    spec = it["spec"]
    for one in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        resources = one.get("resources") or {}
        if limits := resources.get("limits"):
            resources["requests"] = {**limits, **(resources.get("requests") or {})}
    spec.setdefault("enableServiceLinks", True)


def probe(it: Object) -> None:
    """Times and thresholds."""
    for key, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        it.setdefault(key, value)


def http_get(it: Object) -> None:
    """Where a probe asks."""
    it.setdefault("path", "/")
    it.setdefault("scheme", "HTTP")


def volume(it: Object) -> None:
    """A volume of no kind is an empty directory."""
    if not any(value is not None for key, value in it.items() if key != "name"):
        it["emptyDir"] = {}
    if image := it.get("image"):
        pull = "Always" if tag_of(image.get("reference", "")) == "latest" else "IfNotPresent"
        image.setdefault("pullPolicy", pull)


def service(it: Object) -> None:
    """Type, affinity, ports and policies."""
    spec = it["spec"]
    kind = spec.setdefault("type", "ClusterIP")
    if spec.setdefault("sessionAffinity", "None") == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": 10800, **config}}
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port", 0)
    if kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs")):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind in ("NodePort", "LoadBalancer", "ClusterIP"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        for ingress in (it.get("status") or {}).get("loadBalancer", {}).get("ingress") or ():
            if ingress.get("ip"):
                ingress.setdefault("ipMode", "VIP")


def deployment(it: Object) -> None:
    """One replica, rolling, ten revisions."""
    spec = it["spec"]
    spec.setdefault("replicas", 1)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)


def daemon_set(it: Object) -> None:
    """Rolling, one node after the other."""
    spec = it["spec"]
    strategy = spec.setdefault("updateStrategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)


def stateful_set(it: Object) -> None:
    """One replica, in order, claims kept."""
    spec = it["spec"]
    spec.setdefault("podManagementPolicy", "OrderedReady")
    strategy = spec.setdefault("updateStrategy", {})
    if "type" not in strategy:
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        strategy["rollingUpdate"].setdefault("partition", 0)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    retention.setdefault("whenDeleted", "Retain")
    retention.setdefault("whenScaled", "Retain")
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)


def replica_set(it: Object) -> None:
    """One replica."""
    it["spec"].setdefault("replicas", 1)


def replication_controller(it: Object) -> None:
    """One replica; selector and labels of the template."""
    spec = it["spec"]
    spec.setdefault("replicas", 1)
    if labels := ((spec.get("template") or {}).get("metadata") or {}).get("labels"):
        spec.setdefault("selector", dict(labels))
        it["metadata"].setdefault("labels", dict(labels))


def job(it: Object) -> None:
    """One completion, six retries; the labels of the template."""
    spec = it["spec"]
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", _MANY if "backoffLimitPerIndex" in spec else 6)
    if labels := (spec["template"].get("metadata") or {}).get("labels"):
        it["metadata"].setdefault("labels", dict(labels))
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")
    spec.setdefault("manualSelector", False)


def cron_job(it: Object) -> None:
    """Runs beside each other, three good and one bad kept."""
    spec = it["spec"]
    spec.setdefault("concurrencyPolicy", "Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)


def network_policy(it: Object) -> None:
    """Of ingress; of egress when it says so."""
    spec = it.setdefault("spec", {})
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", *(["Egress"] if spec.get("egress") else [])]


def ingress_class(it: Object) -> None:
    """Parameters are the cluster's."""
    if (parameters := (it.get("spec") or {}).get("parameters")) is not None:
        parameters.setdefault("scope", "Cluster")


def role_ref(it: Object) -> None:
    """Roles have one group."""
    it["roleRef"]["apiGroup"] = it["roleRef"].get("apiGroup") or _RBAC


def subject(it: Object) -> None:
    """Users and groups have the group of RBAC."""
    if it.get("kind") in ("User", "Group"):
        it.setdefault("apiGroup", _RBAC)


def webhook(it: Object) -> None:
    """Fail, for ten seconds, whatever is equivalent."""
    it.setdefault("failurePolicy", "Fail")
    it.setdefault("matchPolicy", "Equivalent")
    it.setdefault("namespaceSelector", {})
    it.setdefault("objectSelector", {})
    it.setdefault("timeoutSeconds", 10)


def mutating_webhook(it: Object) -> None:
    """As every webhook; called once."""
    webhook(it)
    it.setdefault("reinvocationPolicy", "Never")


def match_resources(it: Object) -> None:
    """Whatever is equivalent, everywhere."""
    it.setdefault("matchPolicy", "Equivalent")
    it.setdefault("namespaceSelector", {})
    it.setdefault("objectSelector", {})


def autoscaler(it: Object) -> None:
    """From one replica; by CPU."""
    spec = it["spec"]
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    if (behavior := spec.get("behavior")) is not None:
        percent = {"type": "Percent", "value": 100, "periodSeconds": 15}
        up = {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}, percent],
        }
        behavior["scaleUp"] = up | (behavior.get("scaleUp") or {})
        down = {"selectPolicy": "Max", "policies": [copy.copy(percent)]}
        behavior["scaleDown"] = down | (behavior.get("scaleDown") or {})


def persistent_volume(it: Object) -> None:
    """Kept, a file system."""
    it["status"].setdefault("phase", "Pending")
    it["spec"].setdefault("persistentVolumeReclaimPolicy", "Retain")
    it["spec"].setdefault("volumeMode", "Filesystem")


def claim(it: Object) -> None:
    """Not bound yet."""
    it["status"].setdefault("phase", "Pending")


def node_status(it: Object) -> None:
    """What there is can be used."""
    if "capacity" in it:
        it.setdefault("allocatable", dict(it["capacity"]))


def limit_range_item(it: Object) -> None:
    """Limits of containers follow from each other."""
    if it.get("type") != "Container":
        return
    default = {**(it.get("max") or {}), **(it.get("default") or {})}
    request = {**(it.get("min") or {}), **default, **(it.get("defaultRequest") or {})}
    it.update({key: value for key, value in (("default", default), ("defaultRequest", request)) if value})


def namespace(it: Object) -> None:
    """Every namespace is labelled with its name."""
    if name := it["metadata"].get("name"):
        it["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name


def secret(it: Object) -> None:
    """Opaque; what was given as text becomes data."""
    it.setdefault("type", "Opaque")
    if texts := it.pop("stringData", None):
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in texts.items()}
        it["data"] = {**(it.get("data") or {}), **encoded}


def definition(it: Object) -> None:
    """Names that follow from others, no conversion, the first stored version."""
    spec = it["spec"]
    named = spec["names"]
    kind = named.get("kind", "")
    if kind:
        named.setdefault("singular", kind.lower())
        named.setdefault("listKind", f"{kind}List")
    spec.setdefault("conversion", {"strategy": "None"})
    if not it["status"].get("storedVersions"):
        stored = next((one["name"] for one in spec.get("versions") or () if one.get("storage")), None)
        if stored is not None:
            it["status"]["storedVersions"] = [stored]


def storage_class(it: Object) -> None:
    """Deleted with its claim, bound at once."""
    it.setdefault("reclaimPolicy", "Delete")
    it.setdefault("volumeBindingMode", "Immediate")


def endpoint_port(it: Object) -> None:
    """TCP, without a name."""
    it.setdefault("name", "")
    it.setdefault("protocol", "TCP")


def _fixed(**values: Any) -> Fill:
    def fill(it: Object) -> None:
        for key, value in values.items():
            it.setdefault(key, value)

    return fill


_CORE, _APPS, _BATCH = "io.k8s.api.core.v1.", "io.k8s.api.apps.v1.", "io.k8s.api.batch.v1."
_ADMISSION, _NETWORK = "io.k8s.api.admissionregistration.v1.", "io.k8s.api.networking.v1."
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_MODE = 0o644

DEFAULTS: dict[str, Fill] = {
    f"{_CORE}ConfigMapVolumeSource": _fixed(defaultMode=_MODE),
    f"{_CORE}Container": container,
    f"{_CORE}ContainerPort": _fixed(protocol="TCP"),
    f"{_CORE}DownwardAPIVolumeSource": _fixed(defaultMode=_MODE),
    f"{_CORE}EndpointPort": _fixed(protocol="TCP"),
    f"{_CORE}EphemeralContainer": container,
    f"{_CORE}GRPCAction": _fixed(service=""),
    f"{_CORE}HTTPGetAction": http_get,
    f"{_CORE}HostPathVolumeSource": _fixed(type=""),
    f"{_CORE}LimitRangeItem": limit_range_item,
    f"{_CORE}Namespace": namespace,
    f"{_CORE}NamespaceStatus": _fixed(phase="Active"),
    f"{_CORE}NodeStatus": node_status,
    f"{_CORE}ObjectFieldSelector": _fixed(apiVersion="v1"),
    f"{_CORE}PersistentVolume": persistent_volume,
    f"{_CORE}PersistentVolumeClaim": claim,
    f"{_CORE}PersistentVolumeClaimSpec": _fixed(volumeMode="Filesystem"),
    f"{_CORE}Pod": pod,
    f"{_CORE}PodSpec": pod_spec,
    f"{_CORE}Probe": probe,
    f"{_CORE}ProjectedVolumeSource": _fixed(defaultMode=_MODE),
    f"{_CORE}ReplicationController": replication_controller,
    f"{_CORE}Secret": secret,
    f"{_CORE}SecretVolumeSource": _fixed(defaultMode=_MODE),
    f"{_CORE}Service": service,
    f"{_CORE}ServiceAccountTokenProjection": _fixed(expirationSeconds=3600),
    f"{_CORE}Volume": volume,
    f"{_APPS}DaemonSet": daemon_set,
    f"{_APPS}Deployment": deployment,
    f"{_APPS}ReplicaSet": replica_set,
    f"{_APPS}StatefulSet": stateful_set,
    "io.k8s.api.autoscaling.v1.HorizontalPodAutoscalerSpec": _fixed(minReplicas=1),
    "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler": autoscaler,
    f"{_BATCH}CronJob": cron_job,
    f"{_BATCH}Job": job,
    f"{_BATCH}PodFailurePolicyOnPodConditionsPattern": _fixed(status="True"),
    "io.k8s.api.discovery.v1.EndpointPort": endpoint_port,
    f"{_NETWORK}IngressClass": ingress_class,
    f"{_NETWORK}NetworkPolicy": network_policy,
    f"{_NETWORK}NetworkPolicyPort": _fixed(protocol="TCP"),
    "io.k8s.api.rbac.v1.ClusterRoleBinding": role_ref,
    "io.k8s.api.rbac.v1.RoleBinding": role_ref,
    "io.k8s.api.rbac.v1.Subject": subject,
    "io.k8s.api.storage.v1.StorageClass": storage_class,
    f"{_ADMISSION}MatchResources": match_resources,
    f"{_ADMISSION}MutatingAdmissionPolicySpec": _fixed(failurePolicy="Fail"),
    f"{_ADMISSION}MutatingWebhook": mutating_webhook,
    f"{_ADMISSION}NamedRuleWithOperations": _fixed(scope="*"),
    f"{_ADMISSION}RuleWithOperations": _fixed(scope="*"),
    f"{_ADMISSION}ServiceReference": _fixed(port=443),
    f"{_ADMISSION}ValidatingAdmissionPolicySpec": _fixed(failurePolicy="Fail"),
    f"{_ADMISSION}ValidatingWebhook": webhook,
    f"{_EXTENSIONS}CustomResourceDefinition": definition,
    f"{_EXTENSIONS}ServiceReference": _fixed(port=443),
}
"""Definition, and what fills it in."""
