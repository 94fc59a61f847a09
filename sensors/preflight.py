"""Which permission a trigger will need, as far as its spec says so before any event. Used by `health`.

Only what no event can change: the resource stands in the Sensor, and no parameter touches what it is or where it goes.
"""

from __future__ import annotations

from dataclasses import dataclass

from events import yamls
from events.errors import KeryxError
from events.kube.api import KubeApi
from events.kube.permissions import Missing
from sensors import types
from sensors.artifacts.locations import ArtifactLocation
from sensors.registry import PRECEDENCE

_VERBS = {
    "k8s": {"": "create", "create": "create", "patch": "patch", "delete": "delete"},
    "argoWorkflow": {"": "create", "submit": "create"},
}
"""Not `update`: it creates what is missing, so either verb may do."""
_FIXED = ("apiVersion", "kind", "metadata", "metadata.namespace")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the account must be allowed to do."""

    verb: str
    api_version: str
    kind: str
    namespace: str
    """Empty: that of the Sensor."""


def wanted(trigger: types.Trigger) -> Wanted | None:
    """What a trigger needs; None: only its events tell."""
    if trigger.template is None or trigger.parameters:
        return None
    kind = next((one for one in PRECEDENCE if one in trigger.template.kinds), "")
    if kind not in _VERBS:
        return None
    raw = trigger.template.kinds[kind]
    verb = _VERBS[kind].get(raw.get("operation") or "")
    parameters = raw.get("parameters") or []
    if verb is None or any(str(one.get("dest") or "") in _FIXED for one in parameters):
        return None
    resource = _resource(raw.get("source"))
    api_version, name = (resource or {}).get("apiVersion"), (resource or {}).get("kind")
    metadata = (resource or {}).get("metadata")
    if not (isinstance(api_version, str) and isinstance(name, str) and isinstance(metadata, dict)):
        return None
    return Wanted(verb, api_version, name, str(metadata.get("namespace") or ""))


def _resource(raw: object) -> dict[str, object] | None:
    try:
        location = ArtifactLocation.parse(raw, lenient=True) if isinstance(raw, dict) else ArtifactLocation()
        given = location.given()
        if given[:1] == ["resource"]:
            return location.resource
        found = yamls.load_one(location.inline or "") if given[:1] == ["inline"] else None
    except KeryxError:
        return None
    return found if isinstance(found, dict) else None


async def permission(kube: KubeApi, wanted: Wanted, namespace: str, user: str) -> Missing:
    """The same as the API server names it. Raises ActionError, also when it does not know the kind."""
    resource = await kube.resource(wanted.api_version, wanted.kind)
    home = (wanted.namespace or namespace) if resource.namespaced else ""
    return Missing(user, wanted.verb, resource.plural, resource.group, home)
