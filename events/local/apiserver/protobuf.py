"""Bodies of requests in protobuf, as kubectl from 1.32 on sends them, turned into plain objects.

A body is `k8s`, a zero byte, and an envelope with apiVersion, kind and the object. Fields are known by number, from
tables (`protobuf.bin`, made by `tools/protobuf_tables.py` from the published types of Kubernetes 1.36); unknown ones
are skipped. What a client's JSON would not have is left out: empty values of fields that are not written when empty.
Depth and the number of fields are bounded, so that a small body cannot become a large object. Answers are JSON.
"""

from __future__ import annotations

import base64
import importlib.resources
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import orjson

from events.local.apiserver.status import StatusError

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\0"
_DATA = "protobuf.bin"
_DEEPEST = 64
_MOST_FIELDS = 200_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FARTHEST = 253_402_300_799  # the end of the year 9999
_SCHEMA = "apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaProps"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_OPTIONS = "Options"

Value = int | bytes | memoryview


class _Broken(Exception):
    """No protobuf, or not that of the kind."""


@dataclass(frozen=True)
class Tables:
    """From `apiVersion/kind` to a message, from a message to its fields."""

    kinds: Mapping[str, str]
    messages: Mapping[str, Mapping[int, tuple[str, str]]]


def decode(body: bytes) -> dict[str, Any]:
    """The object of a body, with its `apiVersion` and `kind`. Raises StatusError 400 and, for other kinds, 415."""
    if not body.startswith(_MAGIC):
        says = "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        raise StatusError(400, "BadRequest", says)
    try:
        api_version, kind, raw = _envelope(memoryview(body)[len(_MAGIC) :])
        message = _message(api_version, kind)
        decoded = _Decoding().message(message, raw, 0)
    except (_Broken, UnicodeDecodeError, orjson.JSONDecodeError, zlib.error) as error:
        raise StatusError(400, "BadRequest", f"the object provided is unrecognized: {error}") from error
    return {"kind": kind, "apiVersion": api_version} | decoded


@cache
def tables() -> Tables:
    """Read when the first body comes."""
    content = importlib.resources.files(__package__).joinpath(_DATA).read_bytes()
    data = orjson.loads(zlib.decompress(content))
    messages = {name: {number: (key, kind) for number, key, kind in rows} for name, rows in data["messages"].items()}
    return Tables(data["kinds"], messages)


def _message(api_version: str, kind: str) -> str:
    known = tables().kinds
    name = known.get(f"/{kind}" if kind.endswith(_OPTIONS) and f"/{kind}" in known else f"{api_version}/{kind}")
    if name is None:
        accepted = "accepted media types include: application/json, application/yaml"
        says = f"the body of the request was in an unknown format - {accepted}"
        raise StatusError(415, "UnsupportedMediaType", says)
    return name


def _envelope(data: memoryview) -> tuple[str, str, memoryview]:
    api_version, kind, raw = "", "", memoryview(b"")
    for number, value in _fields(data):
        if number == 1:
            for part, text in _fields(_bytes(value)):
                api_version = _text(text) if part == 1 else api_version
                kind = _text(text) if part == 2 else kind
        elif number == 2:
            raw = _bytes(value)
        elif number == 3 and len(_bytes(value)):
            raise _Broken("its content is encoded")
    if not api_version or not kind:
        raise _Broken("apiVersion or kind is missing")
    return api_version, kind, raw


def _fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    """Number and value of each field: an integer, or bytes."""
    place, end = 0, len(data)
    while place < end:
        tag, place = _varint(data, place)
        number, wire = tag >> 3, tag & 7
        value: Value
        if wire == _VARINT:
            value, place = _varint(data, place)
        elif wire == _BYTES:
            length, place = _varint(data, place)
            value, place = data[place : place + length], place + length
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
            value, place = bytes(data[place : place + length]), place + length
        else:
            raise _Broken(f"proto: illegal wireType {wire}")
        if place > end or not number:
            raise _Broken("unexpected EOF" if number else "proto: illegal tag 0")
        yield number, value


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise _Broken("unexpected EOF")
        byte = data[place]
        place += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFF_FFFF_FFFF_FFFF, place
    raise _Broken("proto: integer overflow")


def _bytes(value: Value) -> memoryview:
    if isinstance(value, int):
        raise _Broken("proto: wrong wireType = 0")
    return memoryview(value)


def _text(value: Value) -> str:
    return bytes(_bytes(value)).decode()


def _integer(value: Value) -> int:
    if not isinstance(value, int):
        raise _Broken("proto: wrong wireType = 2")
    return value - (1 << 64) if value >> 63 else value


def _number(value: Value) -> float:
    data = bytes(_bytes(value))
    if len(data) != 8:
        raise _Broken("proto: wrong wireType")
    return float(struct.unpack("<d", data)[0])


def _base64(value: Value) -> str:
    return base64.b64encode(_bytes(value)).decode()


_SCALARS: Mapping[str, Callable[[Value], Any]] = {
    "s": _text,
    "i": _integer,
    "b": lambda value: bool(_integer(value)),
    "d": _number,
    "y": _base64,
}


class _Decoding:
    """One body; counts its fields."""

    def __init__(self) -> None:
        self._left = _MOST_FIELDS

    def message(self, name: str, data: memoryview, depth: int) -> dict[str, Any]:
        if depth > _DEEPEST:
            raise _Broken("it is nested too deeply")
        known = tables().messages[name]
        found: dict[str, Any] = {}
        for number, value in self._fields(data):
            if number in known:
                self._field(found, *known[number], value, depth)
        return found

    def _fields(self, data: memoryview) -> Iterator[tuple[int, Value]]:
        for field in _fields(data):
            self._left -= 1
            if self._left < 0:
                raise _Broken("it has too many fields")
            yield field

    def _field(self, found: dict[str, Any], key: str, kind: str, value: Value, depth: int) -> None:
        mark = kind[0] if kind[0] in "*!~" else ""
        kind = kind[1:] if mark else kind
        if kind.startswith("[]"):
            found.setdefault(key, []).append(self._value(kind[2:], value, depth))
        elif kind.startswith("{}"):
            name, entry = self._entry(kind[2:], _bytes(value), depth)
            found.setdefault(key, {})[name] = entry
        elif mark == "~":
            found |= self._value(kind, value, depth)
        else:
            decoded = self._value(kind, value, depth)
            if decoded is not None and (mark or decoded not in (0, "", {}, []) or isinstance(decoded, float)):
                found[key] = decoded

    def _entry(self, kind: str, data: memoryview, depth: int) -> tuple[str, Any]:
        key, entry = "", self._value(kind, 0 if kind in "ib" else b"", depth)
        for number, value in self._fields(data):
            key = _text(value) if number == 1 else key
            entry = self._value(kind, value, depth) if number == 2 else entry
        return key, entry

    def _value(self, kind: str, value: Value, depth: int) -> Any:
        if kind in _SCALARS:
            return _SCALARS[kind](value)
        data = _bytes(value)
        if kind.startswith("@"):
            return self.message(kind[1:], data, depth + 1)
        if kind.startswith("()"):  # a message around a list
            return [self._value(kind[4:], item, depth) for number, item in self._fields(data) if number == 1]
        return getattr(self, f"_{kind[1:]}")(dict(self._fields(data)), data, depth + 1)

    def _Time(self, parts: Mapping[int, Value], _data: memoryview, _depth: int) -> str | None:  # noqa: N802
        return _moment(parts, "%Y-%m-%dT%H:%M:%SZ")

    def _MicroTime(self, parts: Mapping[int, Value], _data: memoryview, _depth: int) -> str | None:  # noqa: N802
        return _moment(parts, "%Y-%m-%dT%H:%M:%S.%fZ")

    def _Quantity(self, parts: Mapping[int, Value], _data: memoryview, _depth: int) -> str:  # noqa: N802
        return _text(parts.get(1, b"")) or "0"

    def _IntOrString(self, parts: Mapping[int, Value], _data: memoryview, _depth: int) -> int | str:  # noqa: N802
        return _text(parts.get(3, b"")) if _integer(parts.get(1, 0)) else _integer(parts.get(2, 0))

    def _FieldsV1(self, parts: Mapping[int, Value], _data: memoryview, _depth: int) -> Any:  # noqa: N802
        raw = bytes(_bytes(parts.get(1, b"")))
        return orjson.loads(raw) if raw else None

    _RawExtension = _JSON = _FieldsV1

    def _JSONSchemaPropsOrBool(  # noqa: N802
        self, parts: Mapping[int, Value], _data: memoryview, depth: int
    ) -> Any:
        return self.message(_SCHEMA, _bytes(parts[2]), depth) if 2 in parts else bool(_integer(parts.get(1, 0)))

    def _JSONSchemaPropsOrArray(self, _parts: Mapping[int, Value], data: memoryview, depth: int) -> Any:  # noqa: N802
        return self._alternatives(data, depth, lambda value: self.message(_SCHEMA, _bytes(value), depth))

    def _JSONSchemaPropsOrStringArray(  # noqa: N802
        self, _parts: Mapping[int, Value], data: memoryview, depth: int
    ) -> Any:
        return self._alternatives(data, depth, _text)

    def _alternatives(self, data: memoryview, depth: int, item: Callable[[Value], Any]) -> Any:
        """One schema (field 1), or a list (field 2)."""
        listed = []
        for number, value in self._fields(data):
            if number == 1:
                return self.message(_SCHEMA, _bytes(value), depth)
            listed.append(item(value))
        return listed


def _moment(parts: Mapping[int, Value], form: str) -> str | None:
    """A time; none when it is the zero of all times."""
    seconds, nanoseconds = _integer(parts.get(1, 0)), _integer(parts.get(2, 0))
    if not seconds and not nanoseconds:
        return None
    if not 0 <= seconds <= _FARTHEST or not 0 <= nanoseconds < 1_000_000_000:
        raise _Broken("a time is out of range")
    return (_EPOCH + timedelta(seconds=seconds, microseconds=nanoseconds // 1000)).strftime(form)
