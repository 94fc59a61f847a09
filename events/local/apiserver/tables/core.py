"""Cells of what is neither workload, network nor storage: namespaces, nodes, configuration, events, access rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from events.local.apiserver.resources import Object
from events.local.apiserver.tables.ages import UNKNOWN, Clock
from events.local.apiserver.tables.looks import AGE, NAME, Cells, Key, Look, flag, number, text, wide
from events.local.apiserver.tables.texts import NONE, UNSET, condition, name_of, part, quantity
from events.local.apiserver.validation.builtin import events

_ROLE_LABEL, _OLD_ROLE_LABEL = "node-role.kubernetes.io/", "kubernetes.io/role"


def _namespace(it: Object, clock: Clock) -> list[Any]:
    return [name_of(it), part(it, "status").get("phase", ""), clock.age(it)]


def _secret(it: Object, clock: Clock) -> list[Any]:
    return [name_of(it), it.get("type", ""), len(it.get("data") or ()), clock.age(it)]


def _config_map(it: Object, clock: Clock) -> list[Any]:
    return [name_of(it), len(it.get("data") or ()) + len(it.get("binaryData") or ()), clock.age(it)]


def _counted(member: str) -> Cells:
    """Name, how many there are of a member, age."""
    return lambda it, clock: [name_of(it), len(it.get(member) or ()), clock.age(it)]


def _lease(it: Object, clock: Clock) -> list[Any]:
    return [name_of(it), part(it, "spec").get("holderIdentity") or "", clock.age(it)]


def _node(it: Object, clock: Clock) -> list[Any]:
    status = part(it, "status")
    info, addresses = part(status, "nodeInfo"), status.get("addresses") or ()
    return [
        name_of(it),
        _node_state(it),
        ",".join(_node_roles(it["metadata"].get("labels") or {})) or NONE,
        clock.age(it),
        info.get("kubeletVersion", ""),
        _address(addresses, "InternalIP"),
        _address(addresses, "ExternalIP"),
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def _node_state(it: Object) -> str:
    ready = condition(reversed(part(it, "status").get("conditions") or []), "Ready")
    state = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    return f"{state},SchedulingDisabled" if part(it, "spec").get("unschedulable") else state


def _node_roles(labels: Mapping[str, str]) -> list[str]:
    roles = {key.removeprefix(_ROLE_LABEL) for key in labels if key.startswith(_ROLE_LABEL)}
    return sorted((roles | {labels.get(_OLD_ROLE_LABEL, "")}) - {""})


def _address(addresses: Iterable[Object], kind: str) -> str:
    return next((one.get("address", "") for one in addresses if one.get("type") == kind), NONE)


def _event(it: Object, clock: Clock) -> list[Any]:
    if "regarding" in it:
        it = events.converted(it, "v1")
    about, source, series = part(it, "involvedObject"), part(it, "source"), part(it, "series")
    first = clock.since(it.get("firstTimestamp") or it.get("eventTime"))
    last = clock.since(it["lastTimestamp"]) if it.get("lastTimestamp") else first
    count = it.get("count") or 1
    if series:
        last, count = clock.since(series.get("lastObservedTime")), series.get("count", 0)
    component = source.get("component") or it.get("reportingComponent") or ""
    place = source.get("host") or it.get("reportingInstance")
    kind, name = about.get("kind", "").lower(), about.get("name")
    return [
        last,
        it.get("type", ""),
        it.get("reason", ""),
        f"{kind}/{name}" if name else kind,
        about.get("fieldPath", ""),
        f"{component}, {place}" if place else component,
        it.get("message", "").strip(),
        first,
        count,
        name_of(it),
    ]


def _quota(it: Object, clock: Clock) -> list[Any]:
    status = part(it, "status")
    used = part(status, "used")
    requests: list[str] = []
    limits: list[str] = []
    for name, hard in sorted(part(status, "hard").items()):
        listed = limits if name.startswith("limits.") else requests
        listed.append(f"{name}: {quantity(used.get(name))}/{quantity(hard)}")
    return [name_of(it), ", ".join(requests), ", ".join(limits), clock.age(it)]


def _priority_class(it: Object, clock: Clock) -> list[Any]:
    default = bool(it.get("globalDefault"))
    return [name_of(it), it.get("value", 0), default, clock.age(it), it.get("preemptionPolicy") or ""]


def _runtime_class(it: Object, clock: Clock) -> list[Any]:
    return [name_of(it), it.get("handler", ""), clock.age(it)]


_SUBJECTS: tuple[tuple[str, Callable[[Object], str]], ...] = (
    ("User", lambda one: one.get("name", "")),
    ("Group", lambda one: one.get("name", "")),
    ("ServiceAccount", lambda one: f"{one.get('namespace', '')}/{one.get('name', '')}"),
)


def _binding(it: Object, clock: Clock) -> list[Any]:
    role, subjects = part(it, "roleRef"), it.get("subjects") or ()
    listed = [", ".join(shown(one) for one in subjects if one.get("kind") == kind) for kind, shown in _SUBJECTS]
    return [name_of(it), f"{role.get('kind', '')}/{role.get('name', '')}", clock.age(it), *listed]


def _policy(it: Object, clock: Clock) -> list[Any]:
    spec = part(it, "spec")
    kind = part(spec, "paramKind")
    shown = f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET
    return [name_of(it), len(spec.get("validations") or ()), shown, clock.age(it)]


def _policy_binding(it: Object, clock: Clock) -> list[Any]:
    spec = part(it, "spec")
    return [name_of(it), spec.get("policyName", ""), _parameter(part(spec, "paramRef")), clock.age(it)]


def _parameter(reference: Object) -> str:
    if name := reference.get("name"):
        return f"{reference.get('namespace') or '*'}/{name}"
    selector = reference.get("selector")
    if selector is None:
        return UNSET
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    wanted = "".join(
        f"LabelSelectorRequirement{{Key:{one['key']},Operator:{one['operator']},"
        f"Values:[{' '.join(one.get('values') or ())}],}},"
        for one in selector.get("matchExpressions") or ()
    )
    map_shown = f"map[string]string{{{labels}}}"
    return f"&LabelSelector{{MatchLabels:{map_shown},MatchExpressions:[]LabelSelectorRequirement{{{wanted}}},}}"


_EVENT = "@core.v1.Event"
_NODE, _NODE_INFO = "@core.v1.NodeStatus", "@core.v1.NodeSystemInfo"
_WEBHOOKS = (
    NAME,
    number("Webhooks", "Webhooks indicates the number of webhooks registered in this configuration"),
    AGE,
)
_A_ROLE = "a ClusterRole in the global namespace."
_ROLE = "If the RoleRef cannot be resolved, the Authorizer must return an error."
"""The published text of today goes on; tables have that of an older version."""
_ADMISSION, _RBAC = "admissionregistration.k8s.io", "rbac.authorization.k8s.io"

_EVENTS = Look(
    (
        text("Last Seen", f"{_EVENT}.lastTimestamp"),
        text("Type", f"{_EVENT}.type"),
        text("Reason", f"{_EVENT}.reason"),
        text("Object", f"{_EVENT}.involvedObject"),
        wide("Subobject", "@core.v1.ObjectReference.fieldPath"),
        wide("Source", f"{_EVENT}.source"),
        text("Message", f"{_EVENT}.message"),
        wide("First Seen", f"{_EVENT}.firstTimestamp"),
        wide("Count", f"{_EVENT}.count"),
        wide("Name", NAME.description, NAME.format),
    ),
    _event,
)

LOOKS: dict[Key, Look] = {
    ("", "Namespace"): Look((NAME, text("Status", "The status of the namespace"), AGE), _namespace),
    ("", "Secret"): Look(
        (NAME, text("Type", "@core.v1.Secret.type"), text("Data", "@core.v1.Secret.data"), AGE), _secret
    ),
    ("", "ConfigMap"): Look((NAME, text("Data", "@core.v1.ConfigMap.data"), AGE), _config_map),
    ("", "ServiceAccount"): Look((NAME, text("Secrets", "@core.v1.ServiceAccount.secrets"), AGE), _counted("secrets")),
    ("", "Node"): Look(
        (
            NAME,
            text("Status", "The status of the node"),
            text("Roles", "The roles of the node"),
            AGE,
            text("Version", f"{_NODE_INFO}.kubeletVersion"),
            wide("Internal-IP", f"{_NODE}.addresses"),
            wide("External-IP", f"{_NODE}.addresses"),
            wide("OS-Image", f"{_NODE_INFO}.osImage"),
            wide("Kernel-Version", f"{_NODE_INFO}.kernelVersion"),
            wide("Container-Runtime", f"{_NODE_INFO}.containerRuntimeVersion"),
        ),
        _node,
    ),
    ("", "Event"): _EVENTS,
    ("events.k8s.io", "Event"): _EVENTS,
    ("", "ResourceQuota"): Look(
        (
            NAME,
            text("Request", "Request represents a minimum amount of cpu/memory that a container may consume."),
            text(
                "Limit",
                "Limits control the maximum amount of cpu/memory that a container may use independent of contention on "
                "the node.",
            ),
            AGE,
        ),
        _quota,
    ),
    ("coordination.k8s.io", "Lease"): Look(
        (NAME, text("Holder", "@coordination.v1.LeaseSpec.holderIdentity"), AGE), _lease
    ),
    ("scheduling.k8s.io", "PriorityClass"): Look(
        (
            NAME,
            number("Value", "@scheduling.v1.PriorityClass.value"),
            flag("Global-Default", "@scheduling.v1.PriorityClass.globalDefault"),
            AGE,
            text("PreemptionPolicy", "@scheduling.v1.PriorityClass.preemptionPolicy"),
        ),
        _priority_class,
    ),
    ("node.k8s.io", "RuntimeClass"): Look((NAME, text("Handler"), AGE), _runtime_class),
    (_RBAC, "RoleBinding"): Look(
        (
            NAME,
            text("Role", f"RoleRef can reference a Role in the current namespace or {_A_ROLE} {_ROLE}"),
            AGE,
            wide("Users", "Users in the roleBinding"),
            wide("Groups", "Groups in the roleBinding"),
            wide("ServiceAccounts", "ServiceAccounts in the roleBinding"),
        ),
        _binding,
    ),
    (_RBAC, "ClusterRoleBinding"): Look(
        (
            NAME,
            text("Role", f"RoleRef can only reference {_A_ROLE} {_ROLE}"),
            AGE,
            wide("Users", "Users in the clusterRoleBinding"),
            wide("Groups", "Groups in the clusterRoleBinding"),
            wide("ServiceAccounts", "ServiceAccounts in the clusterRoleBinding"),
        ),
        _binding,
    ),
    (_ADMISSION, "MutatingWebhookConfiguration"): Look(_WEBHOOKS, _counted("webhooks")),
    (_ADMISSION, "ValidatingWebhookConfiguration"): Look(_WEBHOOKS, _counted("webhooks")),
    (_ADMISSION, "ValidatingAdmissionPolicy"): Look(
        (
            NAME,
            number("Validations", "Validations indicates the number of validation rules defined in this configuration"),
            text("ParamKind", "ParamKind specifies the kind of resources used to parameterize this policy"),
            AGE,
        ),
        _policy,
    ),
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): Look(
        (
            NAME,
            text("PolicyName", "PolicyName indicates the policy definition which the policy binding binded to"),
            text("ParamRef", "ParamRef indicates the param resource which sets the configration param"),
            AGE,
        ),
        _policy_binding,
    ),
}
