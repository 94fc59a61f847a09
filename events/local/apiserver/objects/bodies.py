"""From the bytes of a request to an object of its kind: JSON, YAML or protobuf in, everything odd said in a 400."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from events import yamls
from events.errors import UserError
from events.local.apiserver.objects import errors
from events.local.apiserver.objects.options import Options
from events.local.apiserver.patches import documents
from events.local.apiserver.resources import Resource
from events.local.apiserver.status import StatusError
from events.local.apiserver.validation import DecodeError, cannot_be_handled, decoded, field_texts, strict_message
from events.local.apiserver.validation.duplicates import duplicated

Object = dict[str, Any]

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
ACCEPTED = (JSON, YAML, PROTOBUF)
LARGEST = 3 * 1024 * 1024
DEEPEST = 200
_SHOWN = 30
_TYPE_OF_HEAD = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
)


class _Unreadable(Exception):
    """No object at all; the text says why."""


def parsed(body: bytes, content_type: str, kind: str) -> tuple[Object, list[str]]:
    """The object of a body, and the paths of keys that are there twice. Raises StatusError 400, 413 and 415."""
    media = media_type(content_type)
    if media not in ACCEPTED:
        raise unsupported(ACCEPTED)
    try:
        if media == PROTOBUF:
            from events.local.apiserver import protobuf

            return protobuf.decode(body), []
        return _json(body) if media == JSON else _yaml(body)
    except _Unreadable as error:
        says = f"the object provided is unrecognized (must be of type {kind}): {error} ({_shortened(body)})"
        raise errors.bad_request(says) from error


def media_type(content_type: str) -> str:
    """Without parameters, in lower case; nothing given is JSON."""
    return content_type.split(";", 1)[0].strip().lower() or JSON


def unsupported(accepted: tuple[str, ...]) -> StatusError:
    """415."""
    says = f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    return StatusError(415, "UnsupportedMediaType", says)


def _json(body: bytes) -> tuple[Object, list[str]]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _Unreadable(f"couldn't get version/kind; json parse error: {documents.syntax_error(body)}") from error
    return _object(found), duplicated(body)


def _yaml(body: bytes) -> tuple[Object, list[str]]:
    try:
        documents_of = yamls.load_all(body.decode())
        found = documents_of[0] if documents_of else None
        orjson.dumps(found)  # half a surrogate, or a number that JSON has not
    except (UserError, UnicodeError, TypeError, RecursionError) as error:
        raise _Unreadable(f"yaml: {yaml_error(error)}") from error
    return _object(found), []


def yaml_error(error: Exception) -> str:
    """What is wrong with a text, in the words and by the line numbers of a real server's reader."""
    cause = error.__cause__
    problem = getattr(cause, "problem", None)
    if not problem:
        return str(error)
    marks = (getattr(cause, "context_mark", None), getattr(cause, "problem_mark", None))
    line = next((mark.line for mark in marks if mark is not None and mark.line), 0)
    return f"line {line}: {problem}" if line else str(problem)


def _object(found: Any) -> Object:
    if found is None:
        return {}
    if not isinstance(found, dict):
        kind = documents.name_of(found)
        says = f"json: cannot unmarshal {kind} into Go value of type {_TYPE_OF_HEAD}"
        raise _Unreadable(f"couldn't get version/kind; json parse error: {says}")
    if _is_deeper_than(found, DEEPEST):
        raise _Unreadable("exceeded max depth")
    return found


def _is_deeper_than(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return levels == 0 or any(_is_deeper_than(one, levels - 1) for one in value.values() if type(one) in _NESTED)
    return levels == 0 or any(_is_deeper_than(one, levels - 1) for one in value if type(one) in _NESTED)


_NESTED = (dict, list)


def _shortened(body: bytes) -> str:
    """The start of a body, as a real server quotes it: as text when it looks like JSON, else in hexadecimal."""
    if not body:
        return "<empty>"
    start, more = body[:_SHOWN], " ..." if len(body) > _SHOWN else ""
    return (start.decode(errors="replace") if body.startswith(b"{") else start.hex()) + more


def decoded_object(resource: Resource, given: Object, twice: list[str], options: Options, body: bytes = b"") -> Object:
    """The object as its kind has it; unknown fields are refused, warned of or dropped. Raises StatusError 400."""
    if resource.is_custom:
        _check_custom_head(given, body or orjson.dumps(given), resource)
    kind, version = given.get("kind"), given.get("apiVersion")
    name = kind if isinstance(kind, str) and kind else resource.kind
    group_version = version if isinstance(version, str) and version else resource.api_version
    plain_version = group_version.rpartition("/")[2]
    _check_head(resource, kind, version)
    if group_version != resource.api_version:
        says = f"the API version in the data ({group_version}) does not match the expected API version"
        if not resource.is_custom and name != resource.kind:
            raise errors.bad_request(_other_kind(resource, name, group_version, plain_version))
        raise errors.bad_request(f"{says} ({resource.api_version})")
    if name != resource.kind and not resource.is_custom:
        raise errors.bad_request(_other_kind(resource, name, group_version, plain_version))
    whole = {**given, "kind": name, "apiVersion": group_version}
    found = read(resource, whole, name, plain_version)
    report(found, twice, options, lambda says: cannot_be_handled(name, plain_version, says))
    if not resource.is_custom:
        for key, value in resource.managed.empty.items():
            if value is None and given.get(key) == []:
                found.object[key] = []  # nothing in it, but said: who said it owns it
    return found.object


def _check_custom_head(given: Object, body: bytes, resource: Resource) -> None:
    """An object of a definition must say what it is."""
    if given.get("kind"):
        return
    shown = body.decode(errors="replace")
    says = f"Object 'Kind' is missing in '{shown}' ({_shortened(body)})"
    raise errors.bad_request(f"the object provided is unrecognized (must be of type {resource.kind}): {says}")


def _check_head(resource: Resource, kind: Any, version: Any) -> None:
    for key, value in (("kind", kind), ("apiVersion", version)):
        if value is not None and not isinstance(value, str):
            what = documents.name_of(value)
            where = f"json: cannot unmarshal {what} into Go struct field .{key} of type string"
            raise errors.bad_request(
                f"the object provided is unrecognized (must be of type {resource.kind}): "
                f"couldn't get version/kind; json parse error: {where}"
            )


def _other_kind(resource: Resource, name: str, group_version: str, plain_version: str) -> str:
    target = f"{resource.group.partition('.')[0] or 'core'}.{resource.kind}"
    says = f"converting ({plain_version}.{name}) to ({target}): unknown conversion"
    if not resource.kinds.schemas.name_of(group_version.rpartition("/")[0], plain_version, name):
        says = f'no kind "{name}" is registered for version "{group_version}" in scheme "apiserver"'
    return f'{name} in version "{plain_version}" cannot be handled as a {resource.kind}: {says}'


def read(resource: Resource, whole: Object, name: str = "", version: str = "") -> decoded.Decoded:
    """`decode`, with its refusal in the words of an answer. Raises StatusError 400."""
    try:
        return resource.rules.decode(whole)
    except DecodeError as error:
        name, version = name or resource.kind, version or resource.version
        says = f'{name} in version "{version}" cannot be handled as a {resource.kind}: {error}'
        raise errors.bad_request(says) from error


def report(found: decoded.Decoded, twice: list[str], options: Options, framed: Callable[[str], str]) -> None:
    """What becomes of unknown and doubled fields. Raises StatusError 400 under `Strict`."""
    if options.validation == "Ignore" or not (found.unknown or twice):
        return
    if options.validation == "Strict":
        raise errors.bad_request(framed(strict_message(found.unknown, twice)))
    options.warnings += field_texts(found.unknown, twice)
