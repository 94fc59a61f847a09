"""Refusals about access, in the words of a real server."""

from __future__ import annotations

from typing import Any

from events.local.apiserver.access.identity import Attributes, User
from events.local.apiserver.status import StatusError
from events.local.apiserver.validation.causes import Cause, quoted


def unauthorized() -> StatusError:
    """The credentials are no good; which part of them is wrong is nobody's business."""
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(user: User, wanted: Attributes, reason: str = "") -> StatusError:
    """The user may not do it; `reason` says what hindered the decision (a binding to a role that is not there)."""
    message = denial(user, wanted)
    return forbidden_because(wanted.group, wanted.resource, wanted.name, f"{message}: {reason}" if reason else message)


def forbidden_because(group: str, resource: str, name: str, message: str) -> StatusError:
    """A refusal with a message of its own."""
    what = _qualified(group, resource)
    whom = f'{what} "{name}"' if name else what
    told = f"{whom} is forbidden: {message}" if resource else f"forbidden: {message}"
    return StatusError(403, "Forbidden", told, _details(group, resource, name))


def denial(user: User, wanted: Attributes) -> str:
    """One sentence: who cannot do what, where."""
    who, verb = quoted(user.name), wanted.verb
    if not wanted.is_resource:
        return f"User {who} cannot {verb} path {quoted(wanted.path)}"
    what = f"User {who} cannot {verb} resource {quoted(wanted.full_resource)} in API group {quoted(wanted.group)}"
    return f"{what} in the namespace {quoted(wanted.namespace)}" if wanted.namespace else f"{what} at the cluster scope"


def bad_request(message: str) -> StatusError:
    """The request makes no sense."""
    return StatusError(400, "BadRequest", message)


def not_found(group: str, resource: str, name: str) -> StatusError:
    """An object is not there."""
    told = f'{_qualified(group, resource)} "{name}" not found'
    return StatusError(404, "NotFound", told, _details(group, resource, name))


def conflict(group: str, resource: str, name: str, why: str) -> StatusError:
    """An object is another than the one meant."""
    told = f'Operation cannot be fulfilled on {_qualified(group, resource)} "{name}": {why}'
    return StatusError(409, "Conflict", told, _details(group, resource, name))


def invalid(group: str, kind: str, name: str, causes: list[Cause]) -> StatusError:
    """Fields that break rules; `kind` may be empty, as it is in reviews."""
    said = list(dict.fromkeys(f"{cause['field']}: {cause['message']}" for cause in causes))
    listed = said[0] if len(said) == 1 else f"[{', '.join(said)}]"
    told = f"{_qualified(group, kind)} {quoted(name)} is invalid: {listed}"
    return StatusError(422, "Invalid", told, {**_details(group, kind, name), "causes": causes})


def _qualified(group: str, what: str) -> str:
    return f"{what}.{group}" if group else what


def _details(group: str, kind: str, name: str) -> dict[str, Any]:
    return {key: value for key, value in (("name", name), ("group", group), ("kind", kind)) if value}
