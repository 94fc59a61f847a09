"""What a read gives: `Result`, its kind, and the string and number forms of Appendix 1.

Raw text is kept verbatim; the forms are worked out when somebody asks for them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from json import decoder
from json.encoder import encode_basestring

from events.paths import scan

UNKNOWN = -1


class Kind(Enum):
    """The six kinds of a value, by the names the contract uses."""

    STRING = "String"
    NUMBER = "Number"
    TRUE = "True"
    FALSE = "False"
    NULL = "Null"
    JSON = "JSON"


# Enum members are class attributes behind a descriptor; a dictionary of first characters is both faster and complete.
_KINDS = {'"': Kind.STRING, "{": Kind.JSON, "[": Kind.JSON, "t": Kind.TRUE, "f": Kind.FALSE, "n": Kind.NULL}
_KINDS |= dict.fromkeys("+-0123456789iIN", Kind.NUMBER)
_TEXTS = {Kind.TRUE: "true", Kind.FALSE: "false", Kind.NULL: ""}


@dataclass(slots=True)
class Result:
    """One value, or none; `raw` is its text as it stands in the document.

    `index` is where `raw` begins in the document that was read, and `indexes` where each element of a collected
    array began; -1 and empty when the value was put together, not found.
    """

    kind: Kind
    raw: str
    index: int = UNKNOWN
    indexes: tuple[int, ...] = ()

    @property
    def exists(self) -> bool:
        """Whether the path led to a value; an explicit null is one."""
        return self.raw != ""

    @property
    def text(self) -> str:
        """String form: strings unescaped, integers verbatim, other numbers without exponent, containers raw."""
        kind = self.kind
        if kind is Kind.STRING:
            return unquoted(self.raw)
        if kind is Kind.NUMBER:
            return _number_text(self.raw)
        if kind is Kind.JSON:
            return self.raw
        return _TEXTS[kind]

    @property
    def number(self) -> float:
        """Float form: numbers and numeric strings, true is 1, everything else 0."""
        if self.kind is Kind.NUMBER:
            return to_float(self.raw)
        if self.kind is Kind.STRING:
            return to_float(unquoted(self.raw))
        return 1.0 if self.kind is Kind.TRUE else 0.0


def missing() -> Result:
    """The answer of a path that leads nowhere."""
    return Result(Kind.NULL, "")


def found(text: str, start: int, end: int) -> Result:
    """The value at a known place."""
    kind = _KINDS.get(text[start])
    if kind is Kind.NULL and text[start + 1 : start + 2] != "u":
        kind = Kind.NUMBER  # the literal `!nan` of a path
    return missing() if kind is None else Result(kind, text[start:end], start)


def parse(text: str) -> Result:
    """The value a text begins with; a container keeps everything up to the end of the text."""
    start = len(text) - len(text.lstrip(" \t\n\r"))
    if start == len(text):
        return missing()
    return found(text, start, len(text) if text[start] in "{[" else scan.end_of_value(text, start))


_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})(?:\\u([0-9a-fA-F]{4}))?|(.))", re.DOTALL)
_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SURROGATE = re.compile("[\ud800-\udfff]")


# The decoder of the standard library leaves lone surrogates as they are, so they can be seen below.
_decode = decoder.JSONDecoder(strict=False).raw_decode


def unquoted(raw: str) -> str:
    """The string a quoted JSON text stands for; half a surrogate pair becomes U+FFFD, as in Go."""
    if "\\" not in raw:
        return raw[1:-1]
    try:
        text: str = _decode(raw)[0]
    except ValueError:
        return _ESCAPE.sub(_unescaped, raw[1:-1])
    return _ESCAPE.sub(_unescaped, raw[1:-1]) if _SURROGATE.search(text) else text


def _unescaped(escape: re.Match[str]) -> str:
    first, second, short = escape.groups()
    if short is not None:
        return _SHORT.get(short, short)
    code = int(first, 16)
    if not 0xD800 <= code < 0xE000:
        return chr(code) + (_ESCAPE.sub(_unescaped, f"\\u{second}") if second else "")
    low = int(second, 16) if second else 0
    # The second escape is used up whether it completes the pair or not.
    return chr(0x10000 + ((code - 0xD800) << 10) + low - 0xDC00) if code < 0xDC00 <= low < 0xE000 else "�"


_HTML = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


def quoted(text: str) -> str:
    """The JSON string of a text, escaped as Go's encoder does it: `<`, `>`, `&` and line separators too."""
    return _HTML.sub(_escaped, encode_basestring(text))


def _escaped(character: re.Match[str]) -> str:
    code = ord(character[0])
    return "\\ufffd" if 0xD800 <= code < 0xE000 else f"\\u{code:04x}"


_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|[+-]?inf(?:inity)?|nan", re.IGNORECASE)
_INTEGER = re.compile("-?[0-9]*")
_HEX_FLOAT = re.compile(r"[+-]?0x[0-9a-f]*\.?[0-9a-f]*p[+-]?[0-9]+", re.IGNORECASE)


def to_float(text: str) -> float:
    """A float as Go reads one: hexadecimal and infinity too, out of range is infinite, anything else 0."""
    if _FLOAT.fullmatch(text):
        return float(text)
    if _HEX_FLOAT.fullmatch(text):
        try:
            return float.fromhex(text)
        except (ValueError, OverflowError):
            return 0.0
    return 0.0


def _number_text(raw: str) -> str:
    return raw if _INTEGER.fullmatch(raw) else float_text(to_float(raw))


def float_text(number: float) -> str:
    """Shortest decimal without an exponent that reads back as the same float."""
    if number != number:
        return "NaN"
    if number in (float("inf"), float("-inf")):
        return "+Inf" if number > 0 else "-Inf"
    return format(Decimal(repr(number).removesuffix(".0")), "f")
