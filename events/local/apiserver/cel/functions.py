"""The functions of expressions, found by name and types; the receiver of a method is the first argument."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from events import regexes
from events.local.apiserver import quantities
from events.local.apiserver.cel import network, values
from events.local.apiserver.cel.errors import CelError
from events.local.apiserver.cel.types import (
    BOOL,
    BYTES,
    CIDR,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    IP,
    QUANTITY,
    STRING,
    TIMESTAMP,
    UINT,
    URL,
    Type,
    list_of,
    optional,
)

ANY = Type("any")
LIST, MAP, OPTIONAL = Type("list"), Type("map"), Type("optional_type")
_LISTS = list_of(STRING)


@dataclass(frozen=True)
class Overload:
    """One form of a function: what it takes, what it gives, how."""

    takes: tuple[Type, ...]
    gives: Type | Callable[[Sequence[Type]], Type]
    call: Callable[..., Any]


def result_of(name: str, given: Sequence[Type]) -> Type | None:
    """What a function gives for arguments of these types; None when it takes others."""
    for one in TABLE.get(name, ()):
        if len(one.takes) == len(given) and all(map(_fits, one.takes, given)):
            return one.gives(given) if callable(one.gives) else one.gives
    return None


def exists(name: str) -> bool:
    """Whether there is such a function."""
    return name in TABLE


def overloads(name: str, given: Sequence[Type]) -> list[Overload]:
    """The forms that take arguments of these types; more than one when a type is known only while it runs."""
    return [one for one in TABLE[name] if len(one.takes) == len(given) and all(map(_fits, one.takes, given))]


def _fits(wanted: Type, given: Type) -> bool:
    if wanted == ANY or given == DYN:
        return True
    if wanted in (LIST, MAP, OPTIONAL):
        return wanted.name == given.name or (wanted == MAP and given.fields is not None)
    if wanted == _LISTS:
        return given.name == "list" and given.of[0] in (STRING, DYN)
    return wanted == given


def _int(value: Any) -> int:
    try:
        number = int(value) if not isinstance(value, str) else int(value, 10)
    except (ValueError, OverflowError):
        raise CelError("type conversion error from 'string' to 'int'") from None
    return values.in_range(number)


def _seconds(value: datetime) -> int:
    return int((value - values.EPOCH).total_seconds())


def _double(value: Any) -> float:
    try:
        return float(value)
    except ValueError:
        raise CelError("type conversion error from 'string' to 'double'") from None


def _bool(value: str) -> bool:
    if value in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if value in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise CelError("type conversion error from 'string' to 'bool'")


def _matches(text: str, pattern: str) -> bool:
    return bool(regexes_compiled(pattern).search(text.encode()) is not None)


def regexes_compiled(pattern: str) -> Any:
    """A compiled pattern; a bad one is an error of the evaluation."""
    try:
        return regexes.compile(pattern)
    except ValueError as error:
        raise CelError(f"error parsing regexp: {error}") from None


def _found(text: str, pattern: str) -> str:
    found = regexes_compiled(pattern).search(text.encode())
    return found.group(0).decode("utf-8", "replace") if found else ""


def _all_found(text: str, pattern: str, most: int = -1) -> list[str]:
    every = [one.group(0).decode("utf-8", "replace") for one in regexes_compiled(pattern).finditer(text.encode())]
    return every if most < 0 else every[:most]


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise CelError(f"index out of range: {index}")
    return text[index : index + 1]


def _substring(text: str, start: int, end: int | None = None) -> str:
    end = len(text) if end is None else end
    if not 0 <= start <= len(text) or not 0 <= end <= len(text):
        raise CelError(f"index out of range: {start if not 0 <= start <= len(text) else end}")
    if start > end:
        raise CelError(f"invalid substring range. start: {start}, end: {end}")
    return text[start:end]


def _split(text: str, by: str, most: int = -1) -> list[str]:
    if most == 0:
        return []
    parts = list(text) if not by else text.split(by)
    if 0 < most < len(parts):
        parts = [*parts[: most - 1], by.join(parts[most - 1 :])]
    return parts


def _replace(text: str, old: str, new: str, most: int = -1) -> str:
    return text.replace(old, new, most)


def _index_of(text: str, part: str, start: int = 0) -> int:
    if not 0 <= start <= len(text):
        raise CelError(f"index out of range: {start}")
    return text.find(part, start)


def _last_index_of(text: str, part: str, start: int | None = None) -> int:
    return text.rfind(part) if start is None else text.rfind(part, 0, start + len(part))


def _lower(text: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in text)


def _upper(text: str) -> str:
    return "".join(c.upper() if c.isascii() else c for c in text)


def _is_sorted(items: list[Any]) -> bool:
    return all(values.less(one, two) or values.equal(one, two) for one, two in pairwise(items))


def _least(items: list[Any]) -> Any:
    if not items:
        raise CelError("min called on empty list")
    best = items[0]
    for item in items[1:]:
        best = item if values.less(item, best) else best
    return best


def _most(items: list[Any]) -> Any:
    if not items:
        raise CelError("max called on empty list")
    best = items[0]
    for item in items[1:]:
        best = item if values.less(best, item) else best
    return best


def _sum(items: list[Any]) -> Any:
    total: Any = 0
    for index, item in enumerate(items):
        total = item if index == 0 else values.add(total, item)
    return total


def _place(items: list[Any], item: Any) -> int:
    return next((index for index, one in enumerate(items) if values.equal(one, item)), -1)


def _last_place(items: list[Any], item: Any) -> int:
    found = _place(items[::-1], item)
    return -1 if found < 0 else len(items) - 1 - found


def _contains_all(items: list[Any], wanted: list[Any]) -> bool:
    return all(any(values.equal(one, item) for item in items) for one in wanted)


def _flat(items: list[Any], depth: int = 1) -> list[Any]:
    flat: list[Any] = []
    for item in items:
        flat += _flat(item, depth - 1) if isinstance(item, list) and depth > 0 else [item]
    return flat


def _distinct(items: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for item in items:
        if not any(values.equal(item, one) for one in kept):
            kept.append(item)
    return kept


def _quantity(text: str) -> quantities.Quantity:
    try:
        return quantities.parse(text)
    except quantities.QuantityError as error:
        raise CelError(str(error)) from None


def _checked(read: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            read(text)
        except (CelError, ValueError):
            return False
        return True

    return check


def _as_integer(quantity: quantities.Quantity) -> int:
    if not _is_integer(quantity):
        raise CelError("cannot convert value to integer")
    return quantity.scaled(0)


def _is_integer(quantity: quantities.Quantity) -> bool:
    if quantity.exponent < 0 and quantity.unscaled % 10**-quantity.exponent:
        return False
    return (
        abs(quantity.exponent) < 30 and -(1 << 63) <= quantity.unscaled * int(10 ** max(quantity.exponent, 0)) < 1 << 63
    )


def _of(number: int) -> quantities.Quantity:
    return quantities.Quantity(number, 0, "DecimalSI")


def _part(read: Callable[[datetime], int]) -> Callable[..., int]:
    def part(value: datetime, zone: str = "UTC") -> int:
        return read(value.astimezone(_zone(zone)))

    return part


def _zone(name: str) -> Any:
    offset = re.fullmatch(r"([+-]?)(\d\d):(\d\d)", name)
    if offset:
        from datetime import timezone

        minutes = int(offset[2]) * 60 + int(offset[3])
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    try:
        return ZoneInfo(name) if name != "UTC" else UTC
    except (ZoneInfoNotFoundError, ValueError):
        raise CelError(f"unknown time zone {name}") from None


def _length(unit: timedelta) -> Callable[[timedelta], int]:
    return lambda value: math.trunc(value / unit)


def _item(given: Sequence[Type]) -> Type:
    return given[0].of[0] if given[0].of else DYN


def _same(given: Sequence[Type]) -> Type:
    return given[0]


def _first(given: Sequence[Type]) -> Type:
    return optional(_item(given))


def _or_value(given: Sequence[Type]) -> Type:
    return _item(given) if _item(given) == given[1] else DYN


def _optional_of(given: Sequence[Type]) -> Type:
    return optional(given[0])


def _value(it: Any) -> Any:
    if it is values.NONE:
        raise CelError("optional.none() dereference")
    return it.value


def _ranked(best: Callable[[list[Any]], Any]) -> Callable[..., Any]:
    return lambda *items: best(items[0] if len(items) == 1 and isinstance(items[0], list) else list(items))


def _table() -> Mapping[str, list[Overload]]:
    table: dict[str, list[Overload]] = {}

    def add(names: str, takes: Sequence[Type], gives: Any, call: Callable[..., Any]) -> None:
        for name in names.split():
            table.setdefault(name, []).append(Overload(tuple(takes), gives, call))

    for kind in (STRING, BYTES, LIST, MAP):
        add("size", [kind], INT, len)
    _conversions(add)
    _texts(add)
    _lists(add)
    _times(add)
    _network(add)
    for wanted, get in (("isGreaterThan", 1), ("isLessThan", -1)):
        add(wanted, [QUANTITY, QUANTITY], BOOL, lambda a, b, get=get: a.compare(b) == get)
    add("compareTo", [QUANTITY, QUANTITY], INT, lambda a, b: a.compare(b))
    for name, call in (("add", lambda a, b: a + b), ("sub", lambda a, b: a - b)):
        add(name, [QUANTITY, QUANTITY], QUANTITY, call)
        add(name, [QUANTITY, INT], QUANTITY, lambda a, b, call=call: call(a, _of(b)))
    add("quantity", [STRING], QUANTITY, _quantity)
    add("isQuantity", [STRING], BOOL, _checked(_quantity))
    add("isInteger", [QUANTITY], BOOL, _is_integer)
    add("asInteger", [QUANTITY], INT, _as_integer)
    add("asApproximateFloat", [QUANTITY], DOUBLE, lambda a: float(a.unscaled) * 10.0**a.exponent)
    add("sign", [QUANTITY], INT, lambda a: a.sign)
    for name, best in (("math.greatest", _ranked(_most)), ("math.least", _ranked(_least))):
        add(name, [LIST], _item, best)
        for count in range(1, 6):
            add(name, [ANY] * count, _same, best)
    add("optional.of", [ANY], _optional_of, values.Some)
    add("optional.ofNonZeroValue", [ANY], _optional_of, lambda a: values.Some(a) if a else values.NONE)
    add("optional.none", [], optional(DYN), lambda: values.NONE)
    add("hasValue", [OPTIONAL], BOOL, lambda a: a is not values.NONE)
    add("value", [OPTIONAL], _item, _value)
    add("orValue", [OPTIONAL, ANY], _or_value, lambda a, b: b if a is values.NONE else a.value)
    add("or", [OPTIONAL, OPTIONAL], _same, lambda a, b: b if a is values.NONE else a)
    return table


def _conversions(add: Callable[..., None]) -> None:
    add("int", [STRING], INT, _int)
    add("int", [TIMESTAMP], INT, _seconds)
    for kind in (INT, UINT, DOUBLE):
        add("int", [kind], INT, _int)
        add("uint", [kind], UINT, _int)
        add("double", [kind], DOUBLE, _double)
        add("string", [kind], STRING, values.text)
    add("uint", [STRING], UINT, _int)
    add("double", [STRING], DOUBLE, _double)
    add("bool", [BOOL], BOOL, bool)
    add("bool", [STRING], BOOL, _bool)
    for kind in (STRING, BOOL, BYTES, TIMESTAMP, DURATION, URL, IP, CIDR):
        add("string", [kind], STRING, values.text)
    add("bytes", [STRING], BYTES, lambda a: a.encode())
    add("bytes", [BYTES], BYTES, lambda a: a)
    add("timestamp", [STRING], TIMESTAMP, values.timestamp)
    add("timestamp", [TIMESTAMP], TIMESTAMP, lambda a: a)
    add("timestamp", [INT], TIMESTAMP, lambda a: values.EPOCH + timedelta(seconds=a))
    add("duration", [STRING], DURATION, values.duration)
    add("duration", [DURATION], DURATION, lambda a: a)
    add("dyn", [ANY], DYN, lambda a: a)
    add("type", [ANY], Type("type"), values.type_name)


def _texts(add: Callable[..., None]) -> None:
    add("contains", [STRING, STRING], BOOL, lambda a, b: b in a)
    add("startsWith", [STRING, STRING], BOOL, str.startswith)
    add("endsWith", [STRING, STRING], BOOL, str.endswith)
    add("matches", [STRING, STRING], BOOL, _matches)
    add("find", [STRING, STRING], STRING, _found)
    add("findAll", [STRING, STRING], _LISTS, _all_found)
    add("findAll", [STRING, STRING, INT], _LISTS, _all_found)
    add("charAt", [STRING, INT], STRING, _char_at)
    add("indexOf", [STRING, STRING], INT, _index_of)
    add("indexOf", [STRING, STRING, INT], INT, _index_of)
    add("lastIndexOf", [STRING, STRING], INT, _last_index_of)
    add("lastIndexOf", [STRING, STRING, INT], INT, _last_index_of)
    add("lowerAscii", [STRING], STRING, _lower)
    add("upperAscii", [STRING], STRING, _upper)
    add("trim", [STRING], STRING, str.strip)
    add("reverse", [STRING], STRING, lambda a: a[::-1])
    add("replace", [STRING, STRING, STRING], STRING, _replace)
    add("replace", [STRING, STRING, STRING, INT], STRING, _replace)
    add("split", [STRING, STRING], _LISTS, _split)
    add("split", [STRING, STRING, INT], _LISTS, _split)
    add("substring", [STRING, INT], STRING, _substring)
    add("substring", [STRING, INT, INT], STRING, _substring)
    add("join", [_LISTS], STRING, "".join)
    add("join", [_LISTS, STRING], STRING, lambda a, b: b.join(a))


def _lists(add: Callable[..., None]) -> None:
    add("isSorted", [LIST], BOOL, _is_sorted)
    add("sum", [LIST], _item, _sum)
    add("min", [LIST], _item, _least)
    add("max", [LIST], _item, _most)
    add("indexOf", [LIST, ANY], INT, _place)
    add("lastIndexOf", [LIST, ANY], INT, _last_place)
    add("reverse", [LIST], _same, lambda a: a[::-1])
    add("distinct", [LIST], _same, _distinct)
    add("flatten", [LIST], list_of(DYN), _flat)
    add("flatten", [LIST, INT], list_of(DYN), _flat)
    add("slice", [LIST, INT, INT], _same, lambda a, b, c: a[b:c])
    add("first", [LIST], _first, lambda a: values.Some(a[0]) if a else values.NONE)
    add("last", [LIST], _first, lambda a: values.Some(a[-1]) if a else values.NONE)
    add("sets.contains", [LIST, LIST], BOOL, _contains_all)
    add("sets.equivalent", [LIST, LIST], BOOL, lambda a, b: _contains_all(a, b) and _contains_all(b, a))
    add("sets.intersects", [LIST, LIST], BOOL, lambda a, b: any(_contains_all(a, [one]) for one in b))


def _times(add: Callable[..., None]) -> None:
    for name, read in (
        ("getFullYear", lambda a: a.year),
        ("getMonth", lambda a: a.month - 1),
        ("getDate", lambda a: a.day),
        ("getDayOfMonth", lambda a: a.day - 1),
        ("getDayOfWeek", lambda a: (a.weekday() + 1) % 7),
        ("getDayOfYear", lambda a: a.timetuple().tm_yday - 1),
        ("getHours", lambda a: a.hour),
        ("getMinutes", lambda a: a.minute),
        ("getSeconds", lambda a: a.second),
        ("getMilliseconds", lambda a: a.microsecond // 1000),
    ):
        add(name, [TIMESTAMP], INT, _part(read))
        add(name, [TIMESTAMP, STRING], INT, _part(read))
    add("getHours", [DURATION], INT, _length(timedelta(hours=1)))
    add("getMinutes", [DURATION], INT, _length(timedelta(minutes=1)))
    add("getSeconds", [DURATION], INT, _length(timedelta(seconds=1)))
    add("getMilliseconds", [DURATION], INT, lambda a: math.trunc(a / timedelta(milliseconds=1)) % 1000)


def _network(add: Callable[..., None]) -> None:
    add("url", [STRING], URL, network.url)
    add("isURL", [STRING], BOOL, _checked(network.url))
    add("getScheme", [URL], STRING, lambda a: urlsplit(a.text).scheme)
    add("getHost", [URL], STRING, network.host)
    add("getHostname", [URL], STRING, lambda a: urlsplit(a.text).hostname or "")
    add("getPort", [URL], STRING, lambda a: str(urlsplit(a.text).port or ""))
    add("getEscapedPath", [URL], STRING, lambda a: urlsplit(a.text).path)
    add(
        "getQuery",
        [URL],
        Type("map", (STRING, _LISTS)),
        lambda a: parse_qs(urlsplit(a.text).query, keep_blank_values=True),
    )
    add("ip", [STRING], IP, network.ip)
    add("ip", [CIDR], IP, lambda a: a.ip)
    add("isIP", [STRING], BOOL, _checked(network.ip))
    add("family", [IP], INT, lambda a: a.version)
    add("isUnspecified", [IP], BOOL, lambda a: a.is_unspecified)
    add("isLoopback", [IP], BOOL, lambda a: a.is_loopback)
    add(
        "isLinkLocalMulticast",
        [IP],
        BOOL,
        lambda a: a.is_multicast and (a.is_link_local or str(a).startswith(("224.0.0.", "ff02"))),
    )
    add("isLinkLocalUnicast", [IP], BOOL, lambda a: a.is_link_local)
    add(
        "isGlobalUnicast",
        [IP],
        BOOL,
        lambda a: not (a.is_multicast or a.is_loopback or a.is_link_local or a.is_unspecified),
    )
    add("ip.isCanonical", [STRING], BOOL, lambda a: str(network.ip(a)) == a)
    add("cidr", [STRING], CIDR, network.cidr)
    add("isCIDR", [STRING], BOOL, _checked(network.cidr))
    for kind in (STRING, IP):
        add("containsIP", [CIDR, kind], BOOL, network.contains_ip)
    for kind in (STRING, CIDR):
        add("containsCIDR", [CIDR, kind], BOOL, network.contains_cidr)
    add("masked", [CIDR], CIDR, lambda a: ipaddress.ip_interface(str(a.network)))
    add("prefixLength", [CIDR], INT, lambda a: a.network.prefixlen)


TABLE: Mapping[str, list[Overload]] = _table()
