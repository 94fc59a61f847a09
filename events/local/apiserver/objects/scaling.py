"""The scale subresource: how many, of built-in kinds and of custom ones."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from events.local.apiserver.access.refusals import invalid
from events.local.apiserver.managed import scale as owners
from events.local.apiserver.managed import tracking
from events.local.apiserver.objects import errors
from events.local.apiserver.objects.options import Options
from events.local.apiserver.patches import documents
from events.local.apiserver.resources import Resource
from events.local.apiserver.schemas import Schemas
from events.local.apiserver.status import StatusError
from events.local.apiserver.validation import causes
from events.local.apiserver.validation.custom import scale

Object = dict[str, Any]


def read(resource: Resource, it: Object) -> Object:
    """The Scale of an object. Raises StatusError 500 when it has none, as a real server does."""
    given = it if resource.is_custom else _with_selector(it)
    try:
        found = scale.read(given, resource.scale_paths)
    except scale.ScaleError as error:
        raise errors.internal(str(error)) from error
    return found


def owned(resource: Resource, it: Object) -> Object:
    """The Scale of an object to write on: with who owns its replicas, and 0 where there are none yet."""
    try:
        found = read(resource, it)
    except StatusError:
        found = read(resource, scale.write(it, 0, resource.scale_paths))
    entries = owners.to_scale(it["metadata"].get("managedFields"), _path(resource))
    if entries:
        found["metadata"]["managedFields"] = entries
    return found


def written(resource: Resource, it: Object, new: Object) -> Object:
    """The object with the replicas of a Scale, owned by who wrote them there."""
    replicas = (new.get("spec") or {}).get("replicas") or 0
    result = scale.write(it, replicas, resource.scale_paths)
    written_by = (new.get("metadata") or {}).get("managedFields") or []
    entries = owners.to_parent(
        it["metadata"].get("managedFields"),
        [{key: value for key, value in one.items() if key != "time"} for one in written_by],
        _path(resource),
        resource.api_version,
    )
    metadata = {key: value for key, value in it["metadata"].items() if key != "managedFields"}
    if entries:
        metadata["managedFields"] = entries
    if version := (new.get("metadata") or {}).get("resourceVersion"):
        metadata["resourceVersion"] = version
    else:
        metadata.pop("resourceVersion", None)
    return {**result, "metadata": metadata}


def writer(options: Options) -> tracking.Writer:
    """Who writes a Scale."""
    return tracking.Writer(options.manager, owners.SCALE_VERSION, options.now, "scale")


@cache
def managed(known: Schemas) -> tracking.Kind:
    """What field management knows of a Scale."""
    return tracking.Kind("Scale", {owners.SCALE_VERSION: known.of("autoscaling", "v1", "Scale")}, known.resolve)


def checked(resource: Resource, new: Any, name: str) -> Object:
    """A Scale that was sent. Raises StatusError 400 and 422."""
    if not isinstance(new, dict):
        raise errors.bad_request("the Scale must be an object")
    version, kind = new.get("apiVersion", owners.SCALE_VERSION), new.get("kind", "Scale")
    if (version, kind) != (owners.SCALE_VERSION, "Scale"):
        raise errors.bad_request('no kind is registered for the type v1.Scale in scheme "apiserver"')
    metadata, spec = new.get("metadata") or {}, new.get("spec") or {}
    if not isinstance(metadata, dict) or not isinstance(spec, dict):
        raise errors.bad_request("metadata and spec of the Scale must be objects")
    replicas = spec.get("replicas") or 0
    if not isinstance(replicas, int) or isinstance(replicas, bool):
        kind = documents.name_of(replicas)
        says = f"json: cannot unmarshal {kind} into Go struct field ScaleSpec.spec.replicas of type int32"
        raise documents.unusable(new, says)
    if (said := metadata.get("name") or name) != name:
        raise errors.bad_request(f"the name of the object ({said}) does not match the name on the URL ({name})")
    if replicas < 0 and not resource.is_custom:
        found = [causes.invalid("spec.replicas", replicas, "must be greater than or equal to 0")]
        raise invalid("autoscaling", "Scale", name, found)
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": {"replicas": replicas}}


def _path(resource: Resource) -> str:
    return resource.scale_paths["specReplicasPath"].lstrip(".")


def _with_selector(it: Object) -> Object:
    """Built-in kinds select by `spec.selector`; a Scale says it as a text."""
    spec, status = it.get("spec") or {}, it.get("status") or {}
    selector = selector_text(spec.get("selector") or {})
    return {**it, "spec": {"replicas": 0, **spec}, "status": {**status, "selector": selector}}


def selector_text(selector: Mapping[str, Any]) -> str:
    """`app=x,tier in (a,b)`."""
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        selector = {"matchLabels": selector}
    terms = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for one in selector.get("matchExpressions") or ():
        key, values = one["key"], ",".join(sorted(one.get("values") or ()))
        operator = one["operator"]
        terms.append(
            {"Exists": key, "DoesNotExist": f"!{key}", "In": f"{key} in ({values})"}.get(
                operator, f"{key} notin ({values})"
            )
        )
    return ",".join(sorted(terms))
