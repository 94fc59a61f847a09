"""The pods of an object: of a Sensor or a Deployment as well as of a Service."""

from __future__ import annotations

from typing import Any

from events.app.verbs import arguments
from events.app.verbs.session import Session
from events.errors import UserError
from events.kube.api import Object, Resource
from events.kube.discovery import Kind

POD = Resource("", "v1", "pods", "Pod", namespaced=True)
_OURS = {"EventBus": "eventbus", "EventSource": "eventsource", "Sensor": "sensor"}
_GROUP = "argoproj.io"
_DEFAULT = "kubectl.kubernetes.io/default-container"


def selector(resource: Resource, obj: Object) -> str:
    """By which labels the pods of an object are found; empty when it has none."""
    name, spec = obj["metadata"]["name"], obj.get("spec") or {}
    if resource.group == _GROUP and (word := _OURS.get(resource.kind)):
        return f"controller={word}-controller,owner-name={name}"
    if resource.group == _GROUP and resource.kind == "Workflow":
        return f"workflows.argoproj.io/workflow={name}"
    found = spec.get("selector") or {}
    if not isinstance(found, dict):
        return ""
    if "matchLabels" not in found and "matchExpressions" not in found:
        return _labels(found)  # a Service's, a ReplicationController's
    terms = [_labels(found.get("matchLabels") or {}), *map(_term, found.get("matchExpressions") or [])]
    return ",".join(filter(None, terms))


def _labels(labels: dict[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in labels.items() if isinstance(value, str))


def _term(one: dict[str, Any]) -> str:
    operator, values = one.get("operator"), ",".join(one.get("values") or [])
    terms = {"In": f" in ({values})", "NotIn": f" notin ({values})", "Exists": ""}
    return f"!{one['key']}" if operator == "DoesNotExist" else f"{one['key']}{terms[str(operator)]}"


async def of(session: Session, word: str) -> tuple[Kind | None, Object | None, list[Object]]:
    """What `POD` or `KIND/NAME` means, with its pods; kind and object are None for a pod. UserError for none."""
    if "/" not in word:
        return None, None, [await session.api.get(POD, word, namespace=session.namespace)]
    target = arguments.one(await session.catalogue(), word, "pods")
    resource = target.kind.resource
    obj = await session.api.get(resource, target.name, namespace=session.namespace if resource.namespaced else None)
    if resource == POD:
        return None, None, [obj]
    if not (labels := selector(resource, obj)):
        raise UserError(f"{word} has no pods of its own", cure="name a pod: `keryx get pods`")
    return target.kind, obj, await chosen(session, labels)


async def chosen(session: Session, labels: str, fields: str = "") -> list[Object]:
    """The pods of a selector, the oldest first."""
    found = await session.api.list(POD, namespace=session.namespace, label_selector=labels, field_selector=fields)
    return sorted(found["items"], key=lambda one: (one["metadata"].get("creationTimestamp") or "", name_of(one)))


def name_of(pod: Object) -> str:
    """Its name."""
    return str(pod["metadata"]["name"])


def containers(pod: Object) -> list[str]:
    """All containers in the order they start."""
    spec = pod.get("spec") or {}
    several = ("initContainers", "containers", "ephemeralContainers")
    return [str(one["name"]) for field in several for one in spec.get(field) or []]


def default_container(pod: Object) -> tuple[str, list[str]]:
    """The container that is meant when none is named, and the others."""
    several = [str(one["name"]) for one in pod["spec"]["containers"]]
    noted = (pod["metadata"].get("annotations") or {}).get(_DEFAULT)
    first = noted if noted in several else several[0]
    return first, [one for one in several if one != first]


def is_ready(pod: Object) -> bool:
    """Whether it serves."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def is_running(pod: Object) -> bool:
    """Whether it runs and is not on its way out."""
    return (pod.get("status") or {}).get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")
