"""Objects of built-in kinds as a typed server has them: unknown fields set apart, values read and written anew.

A decoder is compiled per definition, at its first use. What it gives is what a client reads back: quantities and times
in their canonical form, nulls and empty values left out where the type leaves them out, structures that are always
there filled in. Paths are linked pairs `(parent, step)`; they become text only when there is something to say.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from events.local.apiserver import quantities, schemas
from events.local.apiserver.validation import defaults, times

Path = tuple[Any, Any] | None
Decode = Callable[[Any, Path, "Findings"], Any]

_INTEGERS = {"int32": 1 << 31, "int64": 1 << 63}
_DEEPEST = 250  # what Python follows without running out of stack


class DecodeError(ValueError):
    """A value has another type than its field; the message is a real server's."""


@dataclass
class Findings:
    """One decoding: `unknown` collects the fields that the type does not have, in the order of the text."""

    unknown: list[str] = field(default_factory=list)
    defaulting: bool = True


def text(path: Path) -> str:
    """`spec.containers[0].image`."""
    steps: list[str] = []
    while path is not None:
        path, step = path
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step}")
    return "".join(reversed(steps)).removeprefix(".")


def _field(path: Path) -> str:
    """`spec.containers.image`: how a decoder of Go names a field."""
    names: list[str] = []
    while path is not None:
        path, step = path
        if isinstance(step, str):
            names.append(step)
    return ".".join(reversed(names))


def _mismatch(value: Any, path: Path, owner: str, wanted: str) -> DecodeError:
    if isinstance(value, bool):
        given = "bool"
    elif isinstance(value, int | float):
        given = (
            "number"
            if wanted in ("string", "bool") or wanted[0] in "[mv"
            else f"number {value}"
            if abs(value) < 1 << 64
            else "number"
        )
    else:
        given = "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"
    return DecodeError(f"json: cannot unmarshal {given} into Go struct field {owner}.{_field(path)} of type {wanted}")


class Decoders:
    """The decoders of all definitions, made when first used."""

    def __init__(self, known: schemas.Schemas) -> None:
        self._schemas = known
        self._structures: dict[str, _Structure] = {}

    def of(self, name: str) -> Decode:
        """The decoder of a definition, by its published name."""
        if (found := self._structures.get(name)) is None:
            found = self._structures[name] = _Structure(self, name, self._schemas.definition(name))
        return found

    def named(self, name: str, owner: str) -> tuple[Decode, str]:
        """The decoder of what a reference names, and the type as Go calls it."""
        short = name.rsplit(".", 1)[1]
        package = name.split(".")[-2]
        if special := _SPECIAL.get(short):
            return partial(special, owner), f"{package}.{short}"
        if short.startswith("JSONSchemaPropsOr"):
            props = self.of(name.removesuffix(short) + "JSONSchemaProps")
            return partial(_SCHEMA_OR[short], owner, props), f"{package}.{short}"
        return self.of(name), f"{package}.{short}"

    def node(self, node: schemas.Node, owner: str) -> tuple[Decode, str]:
        """The decoder of a field's schema."""
        if name := schemas.reference(node):
            return self.named(name, owner)
        kind, form = node.get("type"), node.get("format")
        if kind == "array":
            item, called = self.node(node["items"], owner)
            return partial(_array, owner, f"[]{called}", item), f"[]{called}"
        if kind == "object" and "additionalProperties" in node:
            item, called = self.node(node["additionalProperties"], owner)
            return partial(_map, owner, f"map[string]{called}", item), f"map[string]{called}"
        if kind == "integer":
            called = form or "int32"
            return partial(_integer, owner, called, _INTEGERS.get(called, 1 << 63)), called
        if kind == "string" and form == "byte":
            return partial(_bytes, owner), "[]uint8"
        if kind in _PLAIN:
            return partial(_PLAIN[kind], owner), {"string": "string", "boolean": "bool", "number": "float64"}[str(kind)]
        return partial(_anything, owner), "object"


class _Structure:
    """The decoder of one definition."""

    __slots__ = ("_called", "_decoders", "_fill", "_filled", "_owner", "_presence", "_properties", "_short")

    def __init__(self, owner: Decoders, name: str, node: schemas.Node) -> None:
        self._owner = owner
        self._short = name.rsplit(".", 1)[1]
        self._called = f"{name.split('.')[-2]}.{self._short}"
        self._properties: dict[str, schemas.Node] = node.get("properties", {})
        self._presence: dict[str, str] = node.get(schemas.PRESENCE, {})
        self._decoders: dict[str, tuple[Decode, str]] = {}
        self._fill = defaults.DEFAULTS.get(name)
        self._filled = [key for key, code in self._presence.items() if code in ("always", "null")]

    def __call__(self, value: Any, path: Path, found: Findings) -> Any:
        if value is None:
            value = {}
        elif type(value) is not dict:
            owner, called = self._short, self._called
            raise _mismatch(value, path, owner, called)
        result: dict[str, Any] = {}
        decoders = self._decoders
        for key, item in value.items():
            known = decoders.get(key)
            if known is None:
                if key not in self._properties:
                    found.unknown.append(text((path, key)))
                    continue
                known = self._compiled(key)
            decode, presence = known
            decoded = decode(item, (path, key), found)
            if presence == "drop":
                if decoded:
                    result[key] = decoded
            elif presence == "keep":
                if item is not None:
                    result[key] = decoded
            else:
                result[key] = None if item is None and presence == "null" else decoded
        for key in self._filled:
            if key not in result:
                result[key] = None if self._presence[key] == "null" else self._zero(key, path, found)
        if self._fill and found.defaulting:
            self._fill(result)
        return result

    def _compiled(self, key: str) -> tuple[Decode, str]:
        decode, called = self._owner.node(self._properties[key], self._short)
        if isinstance(decode, _Structure):
            decode = partial(_structure, decode, self._short, called)
        presence = self._presence.get(key, "keep")
        if presence == "null" and ("items" in self._properties[key] or "additionalProperties" in self._properties[key]):
            decode = partial(_filled_or_null, decode)
        known = self._decoders[key] = (decode, presence)
        return known

    def _zero(self, key: str, path: Path, found: Findings) -> Any:
        decode, _ = self._decoders.get(key) or self._compiled(key)
        return decode(None, (path, key), found)


def _structure(decode: _Structure, owner: str, called: str, value: Any, path: Path, found: Findings) -> Any:
    if value is not None and type(value) is not dict:
        raise _mismatch(value, path, owner, called)
    return decode(value, path, found)


def _string(owner: str, value: Any, path: Path, _found: Findings) -> str:
    if type(value) is str:
        return value
    if value is None:
        return ""
    raise _mismatch(value, path, owner, "string")


def _boolean(owner: str, value: Any, path: Path, _found: Findings) -> bool:
    if value is None:
        return False
    if isinstance(value, bool):
        return value
    raise _mismatch(value, path, owner, "bool")


def _number(owner: str, value: Any, path: Path, _found: Findings) -> float:
    if value is None:
        return 0
    if isinstance(value, int | float) and not isinstance(value, bool):
        number: float = plain(value)
        return number
    raise _mismatch(value, path, owner, "float64")


def _integer(owner: str, called: str, limit: int, value: Any, path: Path, _found: Findings) -> int:
    if value is None:
        return 0
    if type(value) is int and -limit <= value < limit:
        return value
    raise _mismatch(value, path, owner, called)


def _array(owner: str, called: str, item: Decode, value: Any, path: Path, found: Findings) -> Any:
    if value is None:
        return None
    if type(value) is not list:
        raise _mismatch(value, path, owner, called)
    return [item(one, (path, index), found) for index, one in enumerate(value)]


def _map(owner: str, called: str, item: Decode, value: Any, path: Path, found: Findings) -> Any:
    if value is None:
        return None
    if type(value) is not dict:
        raise _mismatch(value, path, owner, called)
    return {key: item(one, (path, key) if isinstance(one, dict | list) else path, found) for key, one in value.items()}


def _filled_or_null(decode: Decode, value: Any, path: Path, found: Findings) -> Any:
    """Lists and maps that are empty are not stored: read back, they are null where null is written at all."""
    return decode(value, path, found) or None


def _bytes(owner: str, value: Any, path: Path, _found: Findings) -> str | None:
    if value is None:
        return None
    if type(value) is not str:
        raise _mismatch(value, path, owner, "[]uint8")
    try:
        return base64.b64encode(base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)).decode()
    except (binascii.Error, ValueError):
        raise DecodeError(f"illegal base64 data at input byte {_first_bad_byte(value)}") from None


def _first_bad_byte(value: str) -> int:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for index, character in enumerate(value):
        if character not in alphabet and character not in "\r\n":
            return index
    return len(value) - len(value) % 4


def _time(_owner: str, value: Any, path: Path, _found: Findings, *, micro: bool = False) -> str | None:
    if value is None:
        return None
    if type(value) is not str:
        raise _mismatch(value, path, "Time", "string")
    try:
        return times.normal(value, micro=micro)
    except times.TimeError as error:
        raise DecodeError(str(error)) from None


def _quantity(_owner: str, value: Any, _path: Path, _found: Findings) -> str:
    if value is None:
        return "0"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise DecodeError(quantities.WRONG_FORMAT)
    try:
        return str(quantities.parse(str(value).strip()))
    except quantities.QuantityError as error:
        raise DecodeError(str(error)) from None


def _int_or_string(_owner: str, value: Any, path: Path, found: Findings) -> int | str:
    if value is None:
        return 0
    if type(value) is str:
        return value
    return _integer("IntOrString", "int32", 1 << 31, value, path, found)


def _anything(_owner: str, value: Any, _path: Path, _found: Findings) -> Any:
    return plain(value)


def plain(value: Any, depth: int = 0) -> Any:
    """A copy with numbers as JSON has them in Go: 64-bit integers where they are whole, else floats."""
    if depth > _DEEPEST:
        raise DecodeError("json: exceeded max depth")
    if isinstance(value, dict):
        return {key: plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < _INTEGERS["int64"]:
        return int(value)
    if isinstance(value, int) and not -_INTEGERS["int64"] <= value < _INTEGERS["int64"]:
        return _as_float(value)
    return value


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise DecodeError("json: cannot unmarshal number into Go value of type float64") from None


def _schema_or_bool(_owner: str, props: Decode, value: Any, path: Path, found: Findings) -> Any:
    return value if isinstance(value, bool) or value is None else props(value, path, found)


def _schema_or_array(_owner: str, props: Decode, value: Any, path: Path, found: Findings) -> Any:
    if isinstance(value, list):
        return [props(one, (path, index), found) for index, one in enumerate(value)]
    return value if value is None else props(value, path, found)


def _schema_or_strings(owner: str, props: Decode, value: Any, path: Path, found: Findings) -> Any:
    if isinstance(value, list):
        return [_string(owner, one, path, found) for one in value]
    return value if value is None else props(value, path, found)


_PLAIN: dict[str | None, Any] = {"string": _string, "boolean": _boolean, "number": _number}
_SPECIAL: dict[str, Any] = {
    "Time": _time,
    "MicroTime": partial(_time, micro=True),
    "Quantity": _quantity,
    "IntOrString": _int_or_string,
    "RawExtension": _anything,
    "JSON": _anything,
    "FieldsV1": _anything,
}
_SCHEMA_OR: dict[str, Any] = {
    "JSONSchemaPropsOrBool": _schema_or_bool,
    "JSONSchemaPropsOrArray": _schema_or_array,
    "JSONSchemaPropsOrStringArray": _schema_or_strings,
}
