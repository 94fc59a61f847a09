"""The kinds every cluster has, and Argo's: for the in-process API, which has nothing to discover them from."""

from __future__ import annotations

from collections.abc import Iterator

from events.kube.api import Resource

# group/version -> plural, kind; `!` = cluster-scoped, `*` = its status is a subresource of its own.
_TABLE = {
    "v1": (
        "configmaps ConfigMap",
        "endpoints Endpoints",
        "events Event",
        "namespaces Namespace !*",
        "nodes Node !*",
        "persistentvolumeclaims PersistentVolumeClaim *",
        "persistentvolumes PersistentVolume !*",
        "pods Pod *",
        "secrets Secret",
        "serviceaccounts ServiceAccount",
        "services Service *",
    ),
    "admissionregistration.k8s.io/v1": (
        "mutatingwebhookconfigurations MutatingWebhookConfiguration !",
        "validatingwebhookconfigurations ValidatingWebhookConfiguration !",
    ),
    "apiextensions.k8s.io/v1": ("customresourcedefinitions CustomResourceDefinition !*",),
    "apps/v1": (
        "daemonsets DaemonSet *",
        "deployments Deployment *",
        "replicasets ReplicaSet *",
        "statefulsets StatefulSet *",
    ),
    "batch/v1": ("cronjobs CronJob *", "jobs Job *"),
    "coordination.k8s.io/v1": ("leases Lease",),
    "networking.k8s.io/v1": ("ingresses Ingress *", "networkpolicies NetworkPolicy"),
    "policy/v1": ("poddisruptionbudgets PodDisruptionBudget *",),
    "rbac.authorization.k8s.io/v1": (
        "clusterrolebindings ClusterRoleBinding !",
        "clusterroles ClusterRole !",
        "rolebindings RoleBinding",
        "roles Role",
    ),
    "scheduling.k8s.io/v1": ("priorityclasses PriorityClass !",),
    "storage.k8s.io/v1": ("storageclasses StorageClass !",),
    "argoproj.io/v1alpha1": (
        "clusterworkflowtemplates ClusterWorkflowTemplate !",
        "cronworkflows CronWorkflow",
        "eventbus EventBus *",
        "eventsources EventSource *",
        "sensors Sensor *",
        "workflows Workflow",
        "workflowtemplates WorkflowTemplate",
    ),
}


def known() -> Iterator[tuple[Resource, bool]]:
    """Every resource, and whether its status is a subresource."""
    for api_version, rows in _TABLE.items():
        group, _, version = api_version.rpartition("/")
        for row in rows:
            plural, kind, *marks = row.split()
            mark = "".join(marks)
            yield Resource(group, version, plural, kind, namespaced="!" not in mark), "*" in mark


def is_custom(resource: Resource) -> bool:
    """Whether a custom resource definition stands behind it: such kinds have no strategic merge patch."""
    return "." in resource.group and not resource.group.endswith(".k8s.io")
