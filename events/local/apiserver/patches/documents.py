"""The text of a patch: JSON, and what a real server says of text that is none."""

from __future__ import annotations

import json
from typing import Any

import orjson

from events.local.apiserver.status import StatusError

_LITERALS = ("true", "false", "null")
DEEPEST = 200
"""Levels a patch may have; the deepest schema of Kubernetes has about 20."""


def decode(body: bytes) -> tuple[Any, list[str]]:
    """The patch, and a warning per field that is there twice (`duplicate field "spec.replicas"`).

    Raises StatusError 400 for what is not JSON.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise undecodable(syntax_error(body)) from error
    if _is_deeper_than(found, DEEPEST):
        raise undecodable("exceeded max depth")
    return found, _duplicates(body)


def undecodable(text: str) -> StatusError:
    """400: this is no patch."""
    return StatusError(400, "BadRequest", f"error decoding patch: {text}")


def unusable(patched: Any, reason: str) -> StatusError:
    """422: the patch fits, but what it makes is no object of its kind."""
    shown = json.dumps(patched, ensure_ascii=False, separators=(",", ":"))
    message = f"Invalid value: {json.dumps(shown, ensure_ascii=False)}: {reason}"
    cause = {"reason": "FieldValueInvalid", "message": message, "field": "patch"}
    return StatusError(422, "Invalid", f' "" is invalid: patch: {message}', {"causes": [cause]})


def _is_deeper_than(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return levels == 0 or any(_is_deeper_than(item, levels - 1) for item in value.values())
    return isinstance(value, list) and (levels == 0 or any(_is_deeper_than(item, levels - 1) for item in value))


class _Twice(dict[str, Any]):
    """An object of which some keys came more than once."""

    twice: tuple[str, ...] = ()


def _duplicates(body: bytes) -> list[str]:
    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = _Twice(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            found.twice = tuple(dict.fromkeys(key for place, key in enumerate(keys) if key in keys[:place]))
        return found

    warnings: list[str] = []
    _collect(json.loads(body, object_pairs_hook=keep), "", warnings)
    return warnings


def _collect(value: Any, path: str, warnings: list[str]) -> None:
    if isinstance(value, list):
        for index, item in enumerate(value):
            _collect(item, f"{path}[{index}]", warnings)
    elif isinstance(value, dict):
        for key in value.twice if isinstance(value, _Twice) else ():
            warnings.append(f'duplicate field "{_below(path, key)}"')
        for key, item in value.items():
            _collect(item, _below(path, key), warnings)


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def syntax_error(body: bytes) -> str:
    """What is wrong with a text that is not JSON, in the words of Go's decoder."""
    text = body.decode("utf-8", "replace")
    try:
        json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        return _in_words(text, error)
    except RecursionError:
        return "exceeded max depth"
    except _NoConstant as constant:
        return f"invalid character '{constant}' looking for beginning of value"
    return "invalid UTF-8"


class _NoConstant(Exception):
    """`NaN` and its kind are no JSON."""


def _no_constant(name: str) -> None:
    raise _NoConstant(name[0])


_PLACES = {
    "Expecting value": "looking for beginning of value",
    "Expecting property name": "looking for beginning of object key string",
    "Expecting ':' delimiter": "after object key",
    "Extra data": "after top-level value",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
}


def _in_words(text: str, error: json.JSONDecodeError) -> str:
    rest = text[error.pos :]
    if not error.msg.startswith("Invalid control"):
        rest = rest.lstrip(" \t\r\n")
    if not rest or error.msg.startswith("Unterminated"):
        return "unexpected end of JSON input"
    literal = next((one for one in _LITERALS if one[0] == rest[0]), "")
    if literal and error.msg == "Expecting value":
        same = next((place for place, sign in enumerate(literal) if rest[place : place + 1] != sign), len(literal))
        if same == len(rest):
            return "unexpected end of JSON input"
        return f"invalid character {_quoted(rest[same])} in literal {literal} (expecting '{literal[same]}')"
    if error.msg.startswith("Invalid \\escape") and len(rest) > 1:
        rest = rest[1:]
    if error.msg == "Expecting ',' delimiter":
        where = "after array element" if _in_array(text[: error.pos]) else "after object key:value pair"
    else:
        where = next((words for start, words in _PLACES.items() if error.msg.startswith(start)), "in the text")
    return f"invalid character {_quoted(rest[0])} {where}"


def _quoted(sign: str) -> str:
    return {"'": r"'\''", "\n": r"'\n'", "\t": r"'\t'", "\r": r"'\r'"}.get(sign, f"'{sign}'")


def _in_array(text: str) -> bool:
    """Whether a text that is JSON so far ends inside an array."""
    opened: list[str] = []
    signs = iter(text)
    is_text = False
    for sign in signs:
        if is_text:
            if sign == "\\":
                next(signs, None)
            is_text = sign != '"'
        elif sign == '"':
            is_text = True
        elif sign in "[{":
            opened.append(sign)
        elif sign in "]}" and opened:
            opened.pop()
    return bool(opened) and opened[-1] == "["


def name_of(value: Any) -> str:
    """The kind of a JSON value as messages name it."""
    if isinstance(value, bool):
        return "bool"
    names: dict[type, str] = {dict: "object", list: "array", str: "string", int: "number", float: "number"}
    return names.get(type(value), "null")
