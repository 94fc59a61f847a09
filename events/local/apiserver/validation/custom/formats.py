"""The `format` of a text in a schema of a custom resource: which are known, and whether a text has one."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import date
from urllib.parse import urlsplit

from events.local.apiserver import names
from events.local.apiserver.validation import times

_UUID = r"[0-9a-f]{8}-?[0-9a-f]{4}-?%s[0-9a-f]{3}-?%s[0-9a-f]{3}-?[0-9a-f]{12}"


def _like(pattern: str, flags: int = re.ASCII) -> Callable[[str], bool]:
    compiled = re.compile(pattern, flags)
    return lambda text: compiled.fullmatch(text) is not None


def _address(version: int) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            return ipaddress.ip_address(text).version == version and "%" not in text
        except ValueError:
            return False

    return check


def _network(text: str) -> bool:
    address, slash, length = text.partition("/")
    try:
        return bool(slash) and length.isdigit() and bool(ipaddress.ip_network(f"{address}/{int(length)}", strict=False))
    except ValueError:
        return False


def _base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return bool(text)


def _date(text: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _date_time(text: str) -> bool:
    try:
        times.normal(text.upper().replace(" ", "T", 1))
    except times.TimeError:
        return False
    return True


def _uri(text: str) -> bool:
    if not text or any(character <= " " or character == "\x7f" for character in text):
        return False
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return text.startswith("/") or bool(parts.scheme)


_MAC = r"(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}|(?:[0-9a-f]{2}[:-]){7}[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2,3}[0-9a-f]{4}"
_UNITS = (
    "ns|us|µs|ms|s|m|h|d|w|seconds?|minutes?|hours?|days?|weeks?|millis?|micros?|nanos?|milliseconds?|microseconds?|"
    "nanoseconds?|hrs?|mins?|secs?|wk|dy"
)
_DURATION = rf"[-+]?(?:\d+(?:\.\d*)?|\.\d+)\s*(?:{_UNITS})"
_HOST = r"(?:[a-z0-9\u00a1-\uffff]|[a-z0-9\u00a1-\uffff][-a-z0-9\u00a1-\uffff]{0,61}[a-z0-9\u00a1-\uffff])"


def _hostname(text: str) -> bool:
    if not text or len(text) > 253:
        return False
    return re.fullmatch(rf"{_HOST}(?:\.{_HOST})*\.?", text, re.IGNORECASE) is not None


def _isbn10(text: str) -> bool:
    digits = text.replace("-", "").replace(" ", "")
    if not re.fullmatch(r"\d{9}[\dX]", digits, re.ASCII):
        return False
    return sum((10 if c == "X" else int(c)) * (10 - i) for i, c in enumerate(digits)) % 11 == 0


def _isbn13(text: str) -> bool:
    digits = text.replace("-", "").replace(" ", "")
    if not re.fullmatch(r"\d{13}", digits, re.ASCII):
        return False
    return sum(int(c) * (3 if i % 2 else 1) for i, c in enumerate(digits)) % 10 == 0


def _credit_card(text: str) -> bool:
    digits = re.sub(r"[^0-9]+", "", text)
    if not 12 <= len(digits) <= 19:
        return False
    doubled = [int(c) * (2 if i % 2 else 1) for i, c in enumerate(reversed(digits))]
    return sum(n - 9 if n > 9 else n for n in doubled) % 10 == 0


def _rgb(text: str) -> bool:
    part = r"\s*(0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])\s*"
    return re.fullmatch(rf"rgb\({part},{part},{part}\)", text, re.ASCII) is not None


CHECKS: Mapping[str, Callable[[str], bool]] = {
    "bsonobjectid": _like("[0-9a-fA-F]{24}"),
    "byte": _base64,
    "cidr": _network,
    "creditcard": _credit_card,
    "date": _date,
    "datetime": _date_time,
    "duration": _like(rf"(?:{_DURATION}\s*)+"),
    "email": _like(r"(?:[^<>@\s]+@[^<>@\s]+|[^<>]*<[^<>@\s]+@[^<>@\s]+>)"),
    "hexcolor": _like("#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "hostname": _hostname,
    "ipv4": _address(4),
    "ipv6": _address(6),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "k8slongname": lambda text: not names.dns1123_subdomain(text),
    "k8sshortname": lambda text: not names.dns1123_label(text),
    "mac": _like(_MAC, re.IGNORECASE),
    "password": lambda _: True,
    "rgbcolor": _rgb,
    "ssn": _like(r"\d{3}[- ]?\d{2}[- ]?\d{4}"),
    "uri": _uri,
    "uuid": _like(_UUID % ("[0-9a-f]", "[0-9a-f]"), re.IGNORECASE),
    "uuid3": _like(_UUID % ("3", "[0-9a-f]"), re.IGNORECASE),
    "uuid4": _like(_UUID % ("4", "[89ab]"), re.IGNORECASE),
    "uuid5": _like(_UUID % ("5", "[89ab]"), re.IGNORECASE),
}
"""By the name without dashes."""
_NUMBERS = {"integer": ("int32", "int64"), "number": ("float", "double")}


def known(kind: str, form: str) -> str:
    """The format when it means something for the type, else nothing: it is ignored."""
    if kind in ("", "string"):
        return form if form.replace("-", "") in CHECKS else ""
    return form if form in _NUMBERS.get(kind, ()) else ""


def has(form: str, text: str) -> bool:
    """Whether a text has a (known) format."""
    return CHECKS[form.replace("-", "")](text)
