"""The built-in kinds: one row each. What a kind asks of its objects is in `validation`, its columns are in `tables`."""

from __future__ import annotations

from typing import Any

from events.local.apiserver.resources import STATUS, VERBS, Resource
from events.local.apiserver.validation import Kinds

_SPEC = ("spec",)
_CLUSTER = {"namespaced": False}
_POD = ("attach", "binding", "ephemeralcontainers", "eviction", "exec", "log", "portforward", "proxy", STATUS)
_SCALED = ("scale", STATUS)
_EVENT_FIELDS = (
    ".involvedObject.kind",
    ".involvedObject.namespace",
    ".involvedObject.name",
    ".involvedObject.uid",
    ".involvedObject.apiVersion",
    ".involvedObject.resourceVersion",
    ".involvedObject.fieldPath",
    ".reason",
    ".reportingComponent",
    ".source",
    ".type",
)
_POD_FIELDS = (
    ".spec.nodeName",
    ".spec.restartPolicy",
    ".spec.schedulerName",
    ".spec.serviceAccountName",
    ".spec.hostNetwork",
    ".status.phase",
    ".status.podIP",
    ".status.podIPs",
    ".status.nominatedNodeName",
)
_NO_COLLECTION = tuple(verb for verb in VERBS if verb != "deletecollection")
_REVIEW: dict[str, Any] = {"verbs": ("create",), "stored": False}

_ADMISSION, _APPS, _AUTH = "admissionregistration.k8s.io", "apps", "authorization.k8s.io"
_RBAC, _STORAGE, _NETWORK = "rbac.authorization.k8s.io", "storage.k8s.io", "networking.k8s.io"

# fmt: off
ROWS: tuple[tuple[str, str, str, str, dict[str, Any]], ...] = (
    # group, version, plural, kind, what differs from a namespaced kind that is only stored
    ("", "v1", "bindings", "Binding", _REVIEW),
    ("", "v1", "configmaps", "ConfigMap", {"short": "cm"}),
    ("", "v1", "endpoints", "Endpoints", {"short": "ep"}),
    ("", "v1", "events", "Event", {"short": "ev", "selectable": _EVENT_FIELDS}),
    ("", "v1", "limitranges", "LimitRange", {"short": "limits"}),
    ("", "v1", "namespaces", "Namespace", {**_CLUSTER, "short": "ns", "subresources": ("finalize", STATUS),
        "verbs": _NO_COLLECTION, "selectable": (".status.phase",)}),
    ("", "v1", "nodes", "Node", {**_CLUSTER, "short": "no", "subresources": ("proxy", STATUS),
        "selectable": (".spec.unschedulable",)}),
    ("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", {"short": "pvc", "subresources": (STATUS,)}),
    ("", "v1", "persistentvolumes", "PersistentVolume", {**_CLUSTER, "short": "pv", "subresources": (STATUS,)}),
    ("", "v1", "pods", "Pod", {"short": "po", "categories": ("all",), "subresources": _POD, "counted": _SPEC,
        "selectable": _POD_FIELDS}),
    ("", "v1", "podtemplates", "PodTemplate", {}),
    ("", "v1", "replicationcontrollers", "ReplicationController", {"short": "rc", "categories": ("all",),
        "subresources": _SCALED, "counted": _SPEC, "selectable": (".status.replicas",)}),
    ("", "v1", "resourcequotas", "ResourceQuota", {"short": "quota", "subresources": (STATUS,)}),
    ("", "v1", "secrets", "Secret", {"selectable": (".type",)}),
    ("", "v1", "serviceaccounts", "ServiceAccount", {"short": "sa", "subresources": ("token",)}),
    ("", "v1", "services", "Service", {"short": "svc", "categories": ("all",), "subresources": ("proxy", STATUS),
        "selectable": (".spec.clusterIP", ".spec.type")}),
    (_ADMISSION, "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration",
        {**_CLUSTER, "categories": ("api-extensions",), "counted": ("webhooks",)}),
    (_ADMISSION, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy",
        {**_CLUSTER, "categories": ("api-extensions",), "subresources": (STATUS,), "counted": _SPEC}),
    (_ADMISSION, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding",
        {**_CLUSTER, "categories": ("api-extensions",), "counted": _SPEC}),
    (_ADMISSION, "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration",
        {**_CLUSTER, "categories": ("api-extensions",), "counted": ("webhooks",)}),
    ("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition",
        {**_CLUSTER, "short": "crd crds", "categories": ("api-extensions",), "subresources": (STATUS,),
         "counted": _SPEC}),
    (_APPS, "v1", "controllerrevisions", "ControllerRevision", {}),
    (_APPS, "v1", "daemonsets", "DaemonSet", {"short": "ds", "categories": ("all",), "subresources": (STATUS,),
        "counted": _SPEC}),
    (_APPS, "v1", "deployments", "Deployment", {"short": "deploy", "categories": ("all",), "subresources": _SCALED,
        "counted": ("spec", "annotations")}),
    (_APPS, "v1", "replicasets", "ReplicaSet", {"short": "rs", "categories": ("all",), "subresources": _SCALED,
        "counted": _SPEC}),
    (_APPS, "v1", "statefulsets", "StatefulSet", {"short": "sts", "categories": ("all",), "subresources": _SCALED,
        "counted": _SPEC}),
    ("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", {**_CLUSTER, **_REVIEW}),
    ("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", {**_CLUSTER, **_REVIEW}),
    (_AUTH, "v1", "localsubjectaccessreviews", "LocalSubjectAccessReview", _REVIEW),
    (_AUTH, "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", {**_CLUSTER, **_REVIEW}),
    (_AUTH, "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", {**_CLUSTER, **_REVIEW}),
    (_AUTH, "v1", "subjectaccessreviews", "SubjectAccessReview", {**_CLUSTER, **_REVIEW}),
    ("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", {"short": "hpa",
        "categories": ("all",), "subresources": (STATUS,)}),
    ("batch", "v1", "cronjobs", "CronJob", {"short": "cj", "categories": ("all",), "subresources": (STATUS,),
        "counted": _SPEC}),
    ("batch", "v1", "jobs", "Job", {"categories": ("all",), "subresources": (STATUS,), "counted": _SPEC,
        "selectable": (".status.successful",)}),
    ("coordination.k8s.io", "v1", "leases", "Lease", {}),
    ("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", {"counted": ("endpoints", "ports", "labels")}),
    ("events.k8s.io", "v1", "events", "Event", {"short": "ev", "storage": "events",
        "selectable": tuple(_EVENT_FIELDS)}),
    (_NETWORK, "v1", "ingressclasses", "IngressClass", {**_CLUSTER, "counted": _SPEC}),
    (_NETWORK, "v1", "ingresses", "Ingress", {"short": "ing", "subresources": (STATUS,), "counted": _SPEC}),
    (_NETWORK, "v1", "networkpolicies", "NetworkPolicy", {"short": "netpol", "counted": _SPEC}),
    ("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", _CLUSTER),
    ("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", {"short": "pdb", "subresources": (STATUS,),
        "counted": _SPEC}),
    (_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", _CLUSTER),
    (_RBAC, "v1", "clusterroles", "ClusterRole", _CLUSTER),
    (_RBAC, "v1", "rolebindings", "RoleBinding", {}),
    (_RBAC, "v1", "roles", "Role", {}),
    ("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", {**_CLUSTER, "short": "pc",
        "counted": ("value", "globalDefault", "description", "preemptionPolicy")}),
    (_STORAGE, "v1", "csidrivers", "CSIDriver", _CLUSTER),
    (_STORAGE, "v1", "storageclasses", "StorageClass", {**_CLUSTER, "short": "sc"}),
    (_STORAGE, "v1", "volumeattachments", "VolumeAttachment", {**_CLUSTER, "subresources": (STATUS,)}),
)
# fmt: on


def builtin(kinds: Kinds) -> list[Resource]:
    """The resources of all rows, in their order: it is the order of groups in discovery."""
    return [_resource(kinds, *row) for row in ROWS]


def _resource(kinds: Kinds, group: str, version: str, plural: str, kind: str, row: dict[str, Any]) -> Resource:
    own = f"{group}/{plural}" if group else plural
    return Resource(
        kinds=kinds,
        group=group,
        version=version,
        plural=plural,
        kind=kind,
        namespaced=row.get("namespaced", True),
        singular=kind.lower(),
        list_kind=f"{kind}List",
        short_names=tuple(row.get("short", "").split()),
        categories=row.get("categories", ()),
        verbs=row.get("verbs", VERBS),
        subresources=row.get("subresources", ()),
        storage=row.get("storage", own) if row.get("stored", True) else "",
        stored_version=version,
        counted=row.get("counted", ()),
        selectable=row.get("selectable", ()),
    )
