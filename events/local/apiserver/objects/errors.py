"""Refusals about objects, in the words of a real server. What is about access is in `access.refusals`."""

from __future__ import annotations

from typing import Any

from events.local.apiserver.access.refusals import conflict as _conflict
from events.local.apiserver.access.refusals import forbidden_because
from events.local.apiserver.access.refusals import invalid as _invalid
from events.local.apiserver.access.refusals import not_found as _not_found
from events.local.apiserver.resources import Resource
from events.local.apiserver.status import StatusError
from events.local.apiserver.validation.causes import Cause

MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def bad_request(message: str) -> StatusError:
    """400."""
    return StatusError(400, "BadRequest", message)


def no_such_path() -> StatusError:
    """404: nothing is served there."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> StatusError:
    """405."""
    says = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", says, {})


def not_found(resource: Resource, name: str) -> StatusError:
    """404: the object is not there."""
    return _not_found(resource.group, resource.plural, name)


def already_exists(resource: Resource, name: str, *, is_ending: bool = False) -> StatusError:
    """409: the name is taken, maybe by an object that is being deleted."""
    details = {"name": name, **({"group": resource.group} if resource.group else {}), "kind": resource.plural}
    intro = "object is being deleted: " if is_ending else ""
    return StatusError(409, "AlreadyExists", f'{intro}{resource.qualified} "{name}" already exists', details)


def conflict(resource: Resource, name: str, why: str = MODIFIED) -> StatusError:
    """409: another one wrote."""
    return _conflict(resource.group, resource.plural, name, why)


def invalid(resource: Resource, name: str, causes: list[Cause], kind: str = "") -> StatusError:
    """422: fields break rules."""
    group = "" if resource.storage == "events" else resource.group  # both kinds of events are judged as one
    return _invalid(group, kind or resource.kind, name, causes)


def forbidden(resource: Resource, name: str, why: str) -> StatusError:
    """403, for another reason than access."""
    return forbidden_because(resource.group, resource.plural, name, why)


def invalid_options(kind: str, causes: list[Cause]) -> StatusError:
    """422: the query breaks rules."""
    return _invalid("meta.k8s.io", kind, "", causes)


def internal(message: str) -> StatusError:
    """500, for what a real server calls an internal error."""
    return StatusError(500, "InternalError", f"Internal error occurred: {message}", {"causes": [{"message": message}]})


def expired(message: str) -> StatusError:
    """410."""
    return StatusError(410, "Expired", message)


def status(error: StatusError) -> dict[str, Any]:
    """The Status object of a refusal."""
    found: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": error.message,
    }
    if error.reason:
        found["reason"] = error.reason
    if error.details is not None:
        found["details"] = error.details
    return {**found, "code": error.code}


def success(resource: Resource, name: str, uid: str) -> dict[str, Any]:
    """The Status object of a removal."""
    details = {
        "name": name,
        **({"group": resource.group} if resource.group else {}),
        "kind": resource.plural,
        "uid": uid,
    }
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
