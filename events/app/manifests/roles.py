"""Who may do what. Contract: sensors G.3.

Each rule is what a test has seen its process ask of an API server, no more: `tests/contract/test_permissions.py`
compares both ways.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from events.app.crds import GROUP

Object = dict[str, Any]

NAMESPACE = "argo-events"
CONTROLLER, WEBHOOK = "argo-events-sa", "argo-events-webhook-sa"
RBAC = "rbac.authorization.k8s.io"
KINDS = ("eventbus", "eventsources", "sensors")
_OURS = [*KINDS, *(f"{kind}/{part}" for kind in KINDS for part in ("finalizers", "status"))]
_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


def rule(groups: str, resources: Iterable[str], verbs: Iterable[str], names: Iterable[str] = ()) -> Object:
    """One rule; `groups` with blanks between, "core" for the one without a name."""
    named = [("" if group == "core" else group) for group in groups.split()]
    made: Object = {"apiGroups": named, "resources": sorted(resources), "verbs": sorted(verbs)}
    return made | ({"resourceNames": sorted(names)} if names else {})


def _with_status(*kinds: str) -> list[str]:
    return [*kinds, *(f"{kind}/status" for kind in kinds)]


_MADE = ("create", "delete", "get", "list", "patch", "watch")

# What the controller does, in every namespace or in its own. Everything is made by server-side apply: `patch`, and
# `create` where nothing is there yet; `finalizers` are asked for where owners are protected.
COMMON_RULES = [
    rule(GROUP, KINDS, ("list", "watch")),
    rule(GROUP, [f"{kind}/finalizers" for kind in KINDS], ("update",)),
    rule("core", ("events",), ("create", "patch")),
    rule("coordination.k8s.io", ("leases",), ("create", "get", "update")),
]
DEPENDENT_RULES = [
    rule(GROUP, _with_status("eventsources", "sensors"), ("patch",)),
    rule("apps", ("deployments",), _MADE),
    rule("core", ("configmaps", "services"), _MADE),
    # Why a pod does not start is told where the author of its Sensor or EventSource looks.
    rule("core", ("pods",), ("list", "watch")),
]
"""For Sensors and EventSources."""
BUS_RULES = [
    # Who refuses a bus's pods (a quota, pod security) says so in Events alone.
    rule("core", ("events",), ("list",)),
    rule(GROUP, _with_status("eventbus"), ("patch",)),
    rule("apps", ("statefulsets",), _MADE),
    rule("policy", ("poddisruptionbudgets",), ("create", "delete", "list", "patch", "watch")),
    rule("core", ("persistentvolumeclaims",), ("delete", "list")),
]
"""For EventBuses, which have configuration and Services, too."""
CONTROLLER_RULES = [*COMMON_RULES, *DEPENDENT_RULES, *BUS_RULES]

# Apart, so that a cluster may grant it namespace by namespace: credentials and certificates of the buses.
SECRET_RULES = [rule("core", ("secrets",), ("create", "get", "update"))]

_ADMISSION = "admissionregistration.k8s.io"
_CONFIGURATIONS = ("validatingwebhookconfigurations",)
WEBHOOK_RULES = [
    rule(GROUP, ("eventbus",), ("get",)),
    rule(_ADMISSION, _CONFIGURATIONS, ("create",)),
    rule(_ADMISSION, _CONFIGURATIONS, ("get", "update"), ["webhook.argo-events.argoproj.io"]),
    rule(RBAC, ("clusterroles",), ("get",), ["argo-events-webhook"]),
    rule("core", ("configmaps",), ("get",), ["extension-apiserver-authentication"]),
]
"""Where there is no namespace, or another one."""
WEBHOOK_HOME_RULES = [
    rule("core", ("secrets",), ("create",)),
    rule("core", ("secrets",), ("get", "update"), ["events-webhook-certs"]),
    rule("apps", ("deployments",), ("get",), ["events-webhook"]),
]
"""In its own namespace."""


def account(name: str, namespace: str | None = NAMESPACE) -> Object:
    """A ServiceAccount."""
    return _object("v1", "ServiceAccount", name, namespace)


def role(name: str, rules: list[Object], namespace: str | None = NAMESPACE, *, kind: str = "Role") -> Object:
    """A Role; a ClusterRole has no namespace."""
    made = _object(f"{RBAC}/v1", kind, name, namespace if kind == "Role" else None)
    return made | {"rules": rules}


def binding(name: str, role: str, subject: str, namespace: str | None = NAMESPACE, *, kind: str = "Role") -> Object:
    """A RoleBinding or ClusterRoleBinding of a role to a ServiceAccount."""
    made = _object(f"{RBAC}/v1", f"{kind}Binding", name, namespace if kind == "Role" else None)
    to = {"kind": "ServiceAccount", "name": subject} | ({"namespace": namespace} if namespace else {})
    return made | {"roleRef": {"apiGroup": RBAC, "kind": kind, "name": role}, "subjects": [to]}


def of_the_controller(kind: str) -> list[Object]:
    """Cluster-wide (`ClusterRole`) or in one namespace (`Role`)."""
    binds = "argo-events-binding" if kind == "ClusterRole" else "argo-events-role-binding"
    return [
        role("argo-events-role", CONTROLLER_RULES, kind=kind),
        role("argo-events-secrets-role", SECRET_RULES, kind=kind),
        binding(binds, "argo-events-role", CONTROLLER, kind=kind),
        binding(binds.replace("events-", "events-secrets-", 1), "argo-events-secrets-role", CONTROLLER, kind=kind),
    ]


def aggregated() -> list[Object]:
    """What people with the roles `view`, `edit` and `admin` of a namespace may do with our kinds."""
    made = []
    for to, verbs in (("admin", _WRITE), ("edit", _WRITE), ("view", _READ)):
        one = role(f"argo-events-aggregate-to-{to}", [rule(GROUP, _OURS, verbs)], kind="ClusterRole")
        one["metadata"]["labels"] = {f"{RBAC}/aggregate-to-{to}": "true"}
        made.append(one)
    return made


def of_the_webhook() -> list[Object]:
    """The account of the admission webhook."""
    return [
        account(WEBHOOK),
        role("argo-events-webhook", WEBHOOK_RULES, kind="ClusterRole"),
        binding("argo-events-webhook-binding", "argo-events-webhook", WEBHOOK, kind="ClusterRole"),
        role("argo-events-webhook", WEBHOOK_HOME_RULES),
        binding("argo-events-webhook-binding", "argo-events-webhook", WEBHOOK),
    ]


def _object(api_version: str, kind: str, name: str, namespace: str | None) -> Object:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}
