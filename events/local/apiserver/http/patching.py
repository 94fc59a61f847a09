"""PATCH: which kind of patch it is, and what it makes of an object."""

from __future__ import annotations

from typing import Any

import orjson

from events import yamls
from events.errors import UserError
from events.local.apiserver.http.call import Call
from events.local.apiserver.managed import tracking
from events.local.apiserver.managed.values import go_text
from events.local.apiserver.objects import bodies, errors
from events.local.apiserver.objects.operations import Changing
from events.local.apiserver.objects.options import Options
from events.local.apiserver.patches import documents, json_patch, merge_patch, strategic
from events.local.apiserver.resources import Resource
from events.local.apiserver.status import StatusError
from events.local.apiserver.validation import DecodeError, field_texts, strict_message

Object = dict[str, Any]

JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
_KNOWN = (JSON_PATCH, MERGE_PATCH, STRATEGIC, APPLY)


def kind_of(call: Call) -> str:
    """The media type of the patch. Raises StatusError 415."""
    header = call.content_type
    media = bodies.media_type(header) if header else ""
    if media not in _KNOWN:
        raise StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    if media == STRATEGIC and call.resource.is_custom:
        accepted = ", ".join((JSON_PATCH, MERGE_PATCH, APPLY, APPLY))  # twice: a real server says so
        says = "the body of the request was in an unknown format - accepted media types include:"
        raise StatusError(415, "UnsupportedMediaType", f"{says} {accepted}")
    return media


def config(call: Call) -> Object:
    """The configuration of an apply. Raises StatusError 400."""
    try:
        found = yamls.load_one(call.body.decode())
        orjson.dumps(found)
    except (UserError, UnicodeError, TypeError, RecursionError) as error:
        raise errors.bad_request(f"error decoding YAML: {error}") from error
    if not isinstance(found, dict):
        raise errors.bad_request("error decoding YAML: the configuration must be an object")
    return found


def changing(call: Call, media: str, options: Options) -> Changing:
    """What a patch makes of an object: decoded, and with its owners. Raises StatusError 400 and 413."""
    resource, subresource = call.resource, call.subresource
    writer = options.writer(resource, subresource)
    apply, shown = _applied(call, media)

    def change(old: Object) -> Object:
        new = apply(old)
        found = decoded(resource, new, options, shown or new)
        if not isinstance(found.get("metadata"), dict):
            found["metadata"] = {}
        return tracking.update(old, found, resource.managed, writer)

    return change


def applied(call: Call, media: str) -> Changing:
    """A patch that is no apply, as a function. Raises StatusError 400 and 413."""
    return _applied(call, media)[0]


def _applied(call: Call, media: str) -> tuple[Changing, Any]:
    """The patch as a function; and what is shown of it when its result is no good, if not the result."""
    if media == JSON_PATCH:
        operations, warnings = json_patch.decode(call.body)
        call.warnings += warnings
        return (lambda old: json_patch.apply(old, operations)), None
    if media == MERGE_PATCH:
        patch, warnings = merge_patch.decode(call.body)
        call.warnings += warnings
        return (lambda old: merge_patch.apply(old, patch)), None
    patch, warnings = strategic.decode(call.body)
    call.warnings += warnings
    known, resource = call.resource.kinds.schemas, call.resource
    node = known.of(resource.group, resource.version, resource.kind)
    return (lambda old: strategic.apply(old, patch, node, known.resolve)), patch


def decoded(resource: Resource, new: Any, options: Options, shown: Any) -> Object:
    """A patched object, read by its type. Raises StatusError 422."""
    if not isinstance(new, dict):
        raise unusable(new, f"json: cannot unmarshal {documents.name_of(new)} into Go value of type {resource.kind}")
    for key, wanted in (("kind", resource.kind), ("apiVersion", resource.api_version)):
        if new.get(key) != wanted and not (resource.is_custom and key == "kind" and new.get(key)):
            raise unusable(shown, _other_type(resource, new))
    try:
        found = resource.rules.decode(new)
    except DecodeError as error:
        raise unusable(shown, str(error)) from error
    if found.unknown and options.validation == "Strict":
        raise unusable(shown, strict_message(found.unknown))
    if options.validation == "Warn":
        options.warnings += field_texts(found.unknown)
    return found.object


def _other_type(resource: Resource, new: Object) -> str:
    kind, version = new.get("kind"), new.get("apiVersion")
    if not kind:
        return "Object 'Kind' is missing"
    says = f"the API version in the data ({version}) does not match the expected API version ({resource.api_version})"
    return says if version != resource.api_version else f"unable to convert {kind} to {resource.kind}"


def unusable(shown: Any, reason: str) -> StatusError:
    """422: what the patch makes is no object of its kind."""
    if isinstance(shown, dict) and "apiVersion" not in shown:
        text = go_text(shown)
        message = f"Invalid value: {_quoted(text)}: {reason}"
        cause = {"reason": "FieldValueInvalid", "message": message, "field": "patch"}
        return StatusError(422, "Invalid", f' "" is invalid: patch: {message}', {"causes": [cause]})
    return documents.unusable(shown, reason)


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()
