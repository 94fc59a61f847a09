"""Event: the immutable CloudEvent that the whole system passes around, and its wire form (step 3 of the path).

Wire form (contract sensors E.6): CloudEvents 1.0 structured JSON in a fixed member order, data as `data_base64` as
upstream writes and reads it. Readers also take `data`. Own codec because it runs for every event: 1.1 µs to write and
1.8 µs to read, where the CloudEvents SDK takes ten times as long and cuts nanoseconds.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from events import paths, rawjson
from events.errors import InvalidEvent

JSON_TYPE = "application/json"
_JSON_TYPES = ("", JSON_TYPE, "text/json")
_ATTRIBUTES = ("specversion", "id", "source", "type", "subject", "datacontenttype", "time")
_KNOWN = frozenset((*_ATTRIBUTES, "data", "data_base64", "dataschema"))
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))",
)
_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})
_HTML_UNSAFE = re.compile("[<>&\u2028\u2029]")
_UNPARSED: Any = object()


def new_id() -> str:
    """A fresh event id: 32 lowercase hex digits."""
    return uuid.uuid4().hex


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
    _tree: list[Any] = field(default_factory=lambda: [_UNPARSED], compare=False, repr=False)

    def tree(self) -> Any:
        """The data parsed as JSON, once for all readers; ValueError when it is not JSON."""
        if self._tree[0] is _UNPARSED:
            self._tree[0] = orjson.loads(self.data or b"")
        return self._tree[0]

    def text(self) -> str:
        """The data as text, undecodable bytes replaced."""
        return (self.data or b"").decode("utf-8", "replace")

    def with_data(self, data: bytes) -> Event:
        """The same event with other data, as JSON (contract A.6)."""
        return replace(self, data=data, datacontenttype=JSON_TYPE, _tree=[_UNPARSED])

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
    fraction = f".{moment.microsecond:06}".rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


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


def to_wire(event: Event) -> bytes:
    """The event as it stands on the bus."""
    head = {"specversion": event.specversion, "id": event.id, "source": event.source, "type": event.type}
    if event.subject:
        head["subject"] = event.subject
    if event.datacontenttype:
        head["datacontenttype"] = event.datacontenttype
    if event.time:
        head["time"] = event.time
    text = orjson.dumps(head | dict(event.extensions) if event.extensions else head)
    if _needs_html_escape(text):
        text = _HTML_UNSAFE.sub(lambda found: found[0].translate(_HTML), text.decode()).encode()
    if event.data is None:
        return text
    return b'%b,"data_base64":"%b"}' % (text[:-1], base64.b64encode(event.data))


def _needs_html_escape(text: bytes) -> bool:
    return b"<" in text or b">" in text or b"&" in text or b"\xe2\x80\xa8" in text or b"\xe2\x80\xa9" in text


def from_wire(wire: bytes) -> Event:
    """An event read from the bus, ours or upstream's; InvalidEvent when it is not a CloudEvent."""
    try:
        members = orjson.loads(wire)
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(f"not JSON: {error}") from error
    if not isinstance(members, dict):
        raise InvalidEvent("not a JSON object")
    for name in _ATTRIBUTES:
        if not isinstance(members.get(name, ""), str):
            raise InvalidEvent(f"{name} is not a string")
    for name in ("id", "source", "type", "specversion"):
        if not members.get(name):
            raise InvalidEvent(f"{name} is missing")
    if members["specversion"] not in ("1.0", "0.3"):
        raise InvalidEvent(f"specversion {members['specversion']!r} is unknown")
    time = members.get("time", "")
    extensions = {} if len(members) <= 8 and members.keys() <= _KNOWN else _extensions(members)
    return Event(
        id=members["id"],
        source=members["source"],
        type=members["type"],
        subject=members.get("subject", ""),
        data=_data(members, wire),
        datacontenttype=members.get("datacontenttype", ""),
        time=utc_text(time) if time and not _is_plain_utc(time) else time,
        specversion=members["specversion"],
        extensions=extensions,
    )


def _is_plain_utc(time: str) -> bool:
    """The form every publisher writes; anything else goes through the full parser."""
    return len(time) >= 20 and time[-1] == "Z" and time[10] == "T" and _RFC3339.fullmatch(time) is not None


def _extensions(members: dict[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in members.items() if name not in _KNOWN and value is not None}
    for name, value in found.items():
        if isinstance(value, (dict, list)):
            raise InvalidEvent(f"extension {name} is not a plain value")
    if members.get("dataschema"):
        found["dataschema"] = members["dataschema"]
    return found


def _data(members: dict[str, Any], wire: bytes) -> bytes | None:
    encoded = members.get("data_base64")
    if isinstance(encoded, str):
        try:
            return base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidEvent(f"data_base64 is not base64: {error}") from error
    if "data" not in members:
        return None
    if members.get("datacontenttype", "") in _JSON_TYPES:
        # The raw text: number literals and key order of the payload are visible to parameters.
        return paths.read(wire.decode(), "data").raw.encode()
    if not isinstance(members["data"], str):
        raise InvalidEvent(f"data of type {members['datacontenttype']!r} is not a string")
    return str(members["data"]).encode()


def describe(event: Event) -> str:
    """The event as one JSON text `{"context":…,"data":base64}`: the whole-event parameter (contract C.2, row 4)."""
    data = None if event.data is None else base64.b64encode(event.data).decode()
    return rawjson.escape(orjson.dumps({"context": event.context(), "data": data})).decode()
