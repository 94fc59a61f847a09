"""Event: the immutable CloudEvent that the whole system passes around, and its wire form (step 3 of the path).

Wire form (contract sensors E.6): CloudEvents 1.0 structured JSON in a fixed member order, data as `data_base64` as
upstream writes and reads it. Readers also take `data`. Own codec because it runs for every event: 1.1 µs to write and
1.8 µs to read, where the CloudEvents SDK takes ten times as long and cuts nanoseconds.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, cast

import orjson

from events import paths, rawjson, uris
from events.errors import InvalidEvent, UserError

JSON_TYPE = "application/json"
_JSON_TYPES = ("", JSON_TYPE, "text/json")
_ATTRIBUTES = ("specversion", "id", "source", "type", "subject", "datacontenttype", "time")
_KNOWN = frozenset((*_ATTRIBUTES, "data", "data_base64"))
_KNOWN_03 = frozenset((*_ATTRIBUTES, "data", "datacontentencoding"))
_SCHEMA = MappingProxyType({"1.0": "dataschema", "0.3": "schemaurl"})
_BASE64 = "base64"
_INT32 = 1 << 31
# As Go reads RFC 3339: an hour of one digit and a comma pass.
_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d?):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)
_DAY = r"(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
_PLAIN_UTC = re.compile(rf"\d{{4}}-{_DAY}T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{{0,8}}[1-9])?Z", re.ASCII).fullmatch
_PLAIN_SOURCE = re.compile(r"[A-Za-z0-9._~-]+(?:/[A-Za-z0-9._~-]+)*").fullmatch
_EXTENSION = re.compile(r"[A-Za-z0-9]+").fullmatch
_UNPARSED: Any = object()


def new_id() -> str:
    """A fresh event id: 32 lowercase hex digits."""
    return os.urandom(16).hex()


@dataclass(frozen=True, slots=True)
class Event:
    """One CloudEvent. `data` is the decoded payload, None when the event carries none; `time` is RFC 3339 text, UTC."""

    id: str
    source: str
    type: str
    subject: str = ""
    data: bytes | None = None
    datacontenttype: str = JSON_TYPE
    time: str = ""
    specversion: str = "1.0"
    extensions: Mapping[str, Any] = field(default_factory=dict)
    dataschema: str = ""
    is_base64: bool = True
    """Whether the wire form has the data as base64, as every event made here; else as it is, as others may write it."""
    _read: list[Any] = field(default_factory=lambda: [_UNPARSED, _UNPARSED], compare=False, repr=False)
    """What readers have made of the data: the tree, the document."""

    def tree(self) -> Any:
        """The data parsed as JSON, once for all readers; ValueError when it is not JSON."""
        if self._read[0] is _UNPARSED:
            self._read[0] = orjson.loads(self.data or b"")
        return self._read[0]

    def document(self) -> paths.Document | None:
        """The data to read paths from, made once for all readers; None when it is not JSON that orjson reads."""
        if self._read[1] is _UNPARSED:
            try:
                tree = self.tree()
            except ValueError:
                self._read[1] = None
            else:
                self._read[1] = paths.Document((self.data or b"").decode(), tree)
        return cast("paths.Document | None", self._read[1])

    def text(self) -> str:
        """The data as text, undecodable bytes replaced."""
        return (self.data or b"").decode("utf-8", "replace")

    def with_data(self, data: bytes) -> Event:
        """The same event with other data, as JSON (contract A.6)."""
        return replace(self, data=data, datacontenttype=JSON_TYPE, is_base64=True, _read=[_UNPARSED, _UNPARSED])

    def context(self) -> dict[str, str | None]:
        """The attributes that filters and parameters see, `time` in whole seconds (contract C.2)."""
        return {
            "id": self.id,
            "source": self.source,
            "specversion": self.specversion,
            "type": self.type,
            "datacontenttype": self.datacontenttype,
            "subject": self.subject,
            "time": f"{self.time[:19]}Z" if self.time else None,
        }


def now_text(moment: datetime | None = None) -> str:
    """A time as the bus has it: RFC 3339, UTC, fraction without trailing zeros."""
    moment = datetime.now(UTC) if moment is None else moment.astimezone(UTC)
    text = moment.isoformat()[:-6]  # without +00:00
    return f"{text.rstrip('0') if moment.microsecond else text}Z"


def utc_text(text: str) -> str:
    """RFC 3339 text brought to UTC, its nanoseconds kept; InvalidEvent when it is not RFC 3339."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise InvalidEvent(f"time {text!r} is not RFC 3339")
    year, month, day, hour, minute, second, fraction, sign, off_hours, off_minutes = match.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second))
        if sign:
            offset = timedelta(hours=int(off_hours), minutes=int(off_minutes))
            moment = moment - offset if sign == "+" else moment + offset
    except (ValueError, OverflowError) as error:
        raise InvalidEvent(f"time {text!r} is not RFC 3339: {error}") from error
    fraction = (fraction or "")[:9].rstrip("0")
    return f"{moment:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + (f".{fraction}" if fraction else "") + "Z"


def parse_time(text: str) -> datetime:
    """An event's time, cut to microseconds; InvalidEvent when it is not RFC 3339."""
    text = utc_text(text)
    seconds, _, fraction = text[:-1].partition(".")
    moment = datetime.fromisoformat(seconds).replace(tzinfo=UTC)
    return moment.replace(microsecond=int(fraction[:6].ljust(6, "0"))) if fraction else moment


def published(*, source: str, subject: str, type: str, data: bytes | None, id: str = "", time: str = "") -> Event:
    """A new event as upstream's SDK makes one: attributes trimmed, the source as a URI reference."""
    return Event(
        id=id.strip() or new_id(),
        source=source if _PLAIN_SOURCE(source) else _reference(source),
        type=type.strip(),
        subject=subject.strip(),
        data=data,
        time=utc_text(time) if time else now_text(),
    )


def _reference(source: str) -> str:
    """Empty when it is none: upstream's SDK leaves it out; validation refuses such names of event sources."""
    try:
        return uris.reference(source)
    except UserError:
        return ""


def to_wire(event: Event) -> bytes:
    """The event as it stands on the bus."""
    head = {"specversion": event.specversion, "id": event.id, "source": event.source, "type": event.type}
    if event.subject:
        head["subject"] = event.subject
    if event.specversion != "1.0" and event.is_base64 and event.data is not None:
        head["datacontentencoding"] = _BASE64
    if event.datacontenttype:
        head["datacontenttype"] = event.datacontenttype
    if event.dataschema:
        head[_SCHEMA[event.specversion]] = event.dataschema
    if event.time:
        head["time"] = event.time
    text = orjson.dumps(head)
    if _needs_html_escape(text):
        text = rawjson.escape(text)
    if event.data is None and not event.extensions:
        return text
    if event.is_base64 and event.specversion == "1.0" and event.data is not None and not event.extensions:
        return b'%b,"data_base64":"%b"}' % (text[:-1], binascii.b2a_base64(event.data, newline=False))
    rest = [member[1:-1] for member in (_data_member(event), _extension_members(event)) if member]
    return b"%b,%b}" % (text[:-1], b",".join(rest))


def _data_member(event: Event) -> bytes:
    if event.data is None:
        return b""
    if event.is_base64:
        key = b"data_base64" if event.specversion == "1.0" else b"data"
        return b'{"%b":"%b"}' % (key, base64.b64encode(event.data))
    if _media_type(event.datacontenttype).lower() in _JSON_TYPES:
        return b'{"data":%b}' % rawjson.compact(event.data)
    return rawjson.dumps({"data": event.text()})


def _extension_members(event: Event) -> bytes:
    return rawjson.dumps(dict(event.extensions)) if event.extensions else b""


def _needs_html_escape(text: bytes) -> bool:
    return b"<" in text or b">" in text or b"&" in text or b"\xe2\x80\xa8" in text or b"\xe2\x80\xa9" in text


def from_wire(wire: bytes) -> Event:
    """An event read from the bus, ours or upstream's; InvalidEvent when it is not a valid CloudEvent."""
    event = decode(wire)
    if not (event.id and event.source and event.type):
        missing = next(name for name in ("id", "source", "type") if not getattr(event, name))
        raise InvalidEvent(f"{missing} is missing")
    return event


def decode(wire: bytes) -> Event:
    """What a wire form says, also without an attribute that it should have; InvalidEvent when it is none."""
    try:
        members = orjson.loads(wire)
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(f"not JSON: {error}") from error
    if not isinstance(members, dict):
        raise InvalidEvent("not a JSON object")
    for name in _ATTRIBUTES:
        if members.get(name, "").__class__ is not str:
            _empty(members, name)
    source, time = members.get("source", ""), members.get("time", "")
    version = members.get("specversion", "")
    if version != "1.0" and version != "0.3":
        raise InvalidEvent(f"specversion {version!r} is unknown" if version else "specversion is missing")
    if not _PLAIN_SOURCE(source):
        source = _read_source(members)
    encoded = members.get("data_base64")
    data: bytes | None
    is_usual = version == "1.0" and members.keys() <= _KNOWN
    if is_usual and encoded.__class__ is str:
        data, is_base64 = _decoded(encoded), True
    else:
        data, is_base64 = _data(members, wire, version)
    return Event(
        id=members.get("id", ""),
        source=source,
        type=members.get("type", ""),
        subject=members.get("subject", ""),
        data=data,
        datacontenttype=members.get("datacontenttype", ""),
        time=utc_text(time) if time and not _PLAIN_UTC(time) else time,
        specversion=version,
        extensions={} if is_usual else _extensions(members, version),
        dataschema="" if is_usual else _reference(str(members.get(_SCHEMA[version]) or "")),
        is_base64=is_base64,
    )


def _empty(members: dict[str, Any], name: str) -> None:
    """null is as good as nothing."""
    if members[name] is not None:
        raise InvalidEvent(f"{name} is not a string")
    members[name] = ""


def _read_source(members: dict[str, Any]) -> str:
    if "source" not in members:
        return ""
    try:
        if not members["source"]:
            raise UserError("it is empty")
        return uris.reference(members["source"])
    except UserError as error:
        raise InvalidEvent(f"source: {error}") from error


def _extensions(members: dict[str, Any], version: str) -> dict[str, Any]:
    """Attributes that the specification does not name: text, true, false and whole numbers of 32 bits."""
    known = _KNOWN if version == "1.0" else _KNOWN_03
    found = {}
    for key, value in members.items():
        if key in known or key == _SCHEMA[version]:
            continue
        name = key.lower() if version == "1.0" else key
        if version == "1.0" and not _EXTENSION(key):
            raise InvalidEvent(f"extension {key!r} has a name with other characters than letters and digits")
        if name in _ATTRIBUTES or (version == "1.0" and name == "dataschema"):
            raise InvalidEvent(f"extension {key!r} has the name of an attribute")
        if value is not None:
            found[name] = _extension(key, value)
    return found


def _extension(name: str, value: Any) -> Any:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float) and -_INT32 <= value < _INT32:
        return int(value)
    raise InvalidEvent(f"extension {name!r} is not text, true, false or a number of 32 bits")


def _data(members: dict[str, Any], wire: bytes, version: str) -> tuple[bytes | None, bool]:
    """The data, and whether it stood there as base64."""
    if version == "1.0" and "data_base64" in members:
        return _decoded(members["data_base64"]), True
    if version != "1.0" and members.get("datacontentencoding") is not None:
        if members["datacontentencoding"] != _BASE64:
            raise InvalidEvent("datacontentencoding is not base64")
        return (_decoded(members["data"]) if "data" in members else None), True
    if "data" not in members:
        return None, True
    if _media_type(members.get("datacontenttype", "")) in _JSON_TYPES:
        # The raw text: number literals and key order of the payload are visible to parameters.
        return paths.read(wire.decode(), "data").raw.encode(), False
    text = members["data"]
    if text is not None and not isinstance(text, str):
        raise InvalidEvent(f"data of type {members['datacontenttype']!r} is not a string")
    return (text or "").encode("utf-8", "surrogatepass"), False


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip() if ";" in content_type else content_type


def _decoded(encoded: Any) -> bytes:
    if not isinstance(encoded, str):
        raise InvalidEvent("data_base64 is not a string")
    try:
        return binascii.a2b_base64(encoded, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidEvent(f"data_base64 is not base64: {error}") from error


def describe(event: Event) -> str:
    """The event as one JSON text `{"context":…,"data":base64}`: the whole-event parameter (contract C.2, row 4)."""
    data = None if event.data is None else base64.b64encode(event.data).decode()
    return rawjson.escape(orjson.dumps({"context": event.context(), "data": data})).decode()
