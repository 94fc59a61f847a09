"""Text to tokens, and which token may follow which. Facts of govaluate; the cures are ours.

Oddities that are kept because expressions rely on them, knowingly or not: a backslash takes the next character as it
is, everywhere; either quote ends a string; symbols run up to the next letter, digit, bracket or space (`!!` is not two
`!`); after a closing bracket a value may follow, and is not read (see `parser`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Any

from events.errors import UserError
from events.expressions.govaluate import dates

MAX_CHARACTERS = 20_000
"""Length of an expression; ours."""

MAX_VARIABLES = 500
"""Places where an expression reads a variable, each of which may be a whole event; ours."""


class Kind(Enum):
    """What a token is."""

    START = auto()
    PREFIX = auto()
    NUMBER = auto()
    BOOLEAN = auto()
    STRING = auto()
    TIME = auto()
    VARIABLE = auto()
    ACCESSOR = auto()
    OPEN = auto()
    CLOSE = auto()
    MODIFIER = auto()
    COMPARATOR = auto()
    LOGICAL = auto()
    TERNARY = auto()
    SEPARATOR = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """`value` is a number, a bool, a text or, of an accessor, its parts; `at` is where it begins."""

    kind: Kind
    value: Any
    at: int
    text: str


SYMBOLS: Mapping[str, Kind] = MappingProxyType(
    dict.fromkeys(("+", "-", "*", "/", "%", "**", "&", "|", "^", ">>", "<<"), Kind.MODIFIER)
    | dict.fromkeys(("&&", "||"), Kind.LOGICAL)
    | dict.fromkeys(("==", "!=", ">", ">=", "<", "<=", "=~", "!~", "in"), Kind.COMPARATOR)
    | dict.fromkeys(("?", ":", "??"), Kind.TERNARY)
)
_PREFIXES = frozenset("-!~")

_OPERATORS = frozenset((Kind.MODIFIER, Kind.COMPARATOR, Kind.LOGICAL, Kind.CLOSE, Kind.TERNARY, Kind.SEPARATOR))
_PLAIN = frozenset((Kind.NUMBER, Kind.BOOLEAN, Kind.VARIABLE, Kind.ACCESSOR, Kind.OPEN))
_START = _PLAIN | {Kind.PREFIX, Kind.STRING, Kind.TIME}
_FOLLOWERS: Mapping[Kind, frozenset[Kind]] = MappingProxyType(
    {
        Kind.START: _START,
        Kind.OPEN: _START | {Kind.CLOSE},
        Kind.CLOSE: _OPERATORS | _START - {Kind.PREFIX, Kind.ACCESSOR},
        Kind.NUMBER: _OPERATORS,
        Kind.BOOLEAN: _OPERATORS,
        Kind.STRING: _OPERATORS,
        Kind.VARIABLE: _OPERATORS,
        Kind.TIME: _OPERATORS - {Kind.TERNARY},
        Kind.ACCESSOR: _OPERATORS | {Kind.OPEN},
        Kind.PREFIX: _PLAIN | {Kind.CLOSE},
        Kind.MODIFIER: _PLAIN | {Kind.PREFIX, Kind.STRING, Kind.CLOSE},
        Kind.COMPARATOR: _START | {Kind.CLOSE},
        Kind.LOGICAL: _START | {Kind.CLOSE},
        Kind.TERNARY: _START,
        Kind.SEPARATOR: _START,
    }
)
_ENDS = frozenset((Kind.CLOSE, Kind.NUMBER, Kind.BOOLEAN, Kind.STRING, Kind.TIME, Kind.VARIABLE, Kind.ACCESSOR))

_SPACE = frozenset("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B))))
_SHOWN = 40
_QUOTES = "'\""
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")
_DECIMAL = re.compile(r"(?:\d+(?:_\d+)*(?:\.(?:\d+(?:_\d+)*)?)?|\.\d+(?:_\d+)*)(?:[eE][+-]?\d+(?:_\d+)*)?", re.ASCII)


def tokens(text: str) -> list[Token]:
    """The tokens of an expression, in an order that makes sense; UserError when there is none."""
    if len(text) > MAX_CHARACTERS:
        raise UserError(f"the expression has more than {MAX_CHARACTERS} characters", cure="make several of it")
    lexer = _Lexer(text)
    found: list[Token] = []
    kind = Kind.START
    while (token := lexer.next(after=kind)) is not None:
        found.append(token)
        kind = token.kind
    if sum(token.kind in (Kind.VARIABLE, Kind.ACCESSOR) for token in found) > MAX_VARIABLES:
        raise UserError(f"the expression reads more than {MAX_VARIABLES} variables", cure="make several of it")
    _check_order(text, found)
    return found


def wrong(text: str, at: int, message: str, cure: str = "") -> UserError:
    """An error at a place of the text, shown with line and column."""
    line = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    return UserError(f"{message} (at {line}:{column})", cure=cure)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _check_order(text: str, found: list[Token]) -> None:
    balance = sum((token.kind is Kind.OPEN) - (token.kind is Kind.CLOSE) for token in found)
    if balance:
        raise wrong(text, len(text), "a bracket is not closed" if balance > 0 else "a bracket too many is closed")
    last = Token(Kind.START, None, 0, "")
    for token in found:
        if token.kind not in _FOLLOWERS[last.kind]:
            raise wrong(text, token.at, *_misplaced(last, token))
        last = token
    if last.kind not in _ENDS:
        raise wrong(text, len(text), "the expression ends too early")


def _misplaced(last: Token, token: Token) -> tuple[str, str]:
    if last.kind is Kind.VARIABLE and token.kind is Kind.OPEN:
        return f"there is no function {last.text}", "the language has no functions"
    if token.kind is Kind.VARIABLE and token.text in ("and", "or", "not"):
        sign = {"and": "&&", "or": "||", "not": "!"}[token.text]
        return f"{token.text} cannot stand here", f"write {sign}"
    cure = "make it a number of seconds" if token.kind is Kind.TIME else ""
    before = f" after {last.text}" if last.text else " at the start"
    return f"{token.text} cannot stand{before}", cure


class _Lexer:
    """Reads one text from start to end."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._length = text, 0, len(text)

    def next(self, after: Kind) -> Token | None:
        """The next token; what it is may depend on the one before."""
        while self._at < self._length and self._text[self._at] in _SPACE:
            self._at += 1
        if self._at == self._length:
            return None
        start, char = self._at, self._text[self._at]
        if char in ",()":
            self._at += 1
            kind = {",": Kind.SEPARATOR, "(": Kind.OPEN, ")": Kind.CLOSE}[char]
            return Token(kind, char, start, char)
        kind, value = self._read(char, after)
        return Token(kind, value, start, _cut(self._text[start : self._at].strip()))

    def _read(self, char: str, after: Kind) -> tuple[Kind, Any]:
        if char.isdecimal() or char == ".":
            return Kind.NUMBER, self._number()
        if char == "[":
            return Kind.VARIABLE, self._enclosed("]", "a variable in brackets is not closed", "end it with ]")
        if char.isalpha():
            return self._word()
        if char in _QUOTES:
            text = self._enclosed(_QUOTES, "a string is not closed", "either quote ends it; \\' stands for a quote")
            moment = dates.unix_seconds(text)
            return (Kind.STRING, text) if moment is None else (Kind.TIME, moment)
        return self._symbol(after)

    def _number(self) -> float:
        start = self._at
        if self._text.startswith("0x", start) and start + 2 < self._length:
            self._at += 2
            digits = self._until(lambda char: char not in _HEX_DIGITS and not char.isdecimal())
            if _HEX_DIGITS.issuperset(digits) and digits and int(digits, 16) < 1 << 64:
                return float(int(digits, 16))
        else:
            digits = self._until(lambda char: not (char.isdecimal() or char == "."))
            if (number := _float(digits)) is not None:
                return number
        raise wrong(self._text, start, f"{_cut(self._text[start : self._at].strip())} is not a number")

    def _word(self) -> tuple[Kind, Any]:
        start = self._at
        word = self._until(lambda char: not (char.isalpha() or char.isdecimal() or char in "_."))
        if "." in word:
            parts = word.split(".")
            if not parts[-1]:
                raise wrong(self._text, start, f"{_cut(word)} ends with a dot")
            for part in parts[1:]:
                if part[:1] != part[:1].upper() and len(part[:1].upper()) == 1:
                    cure = f"give it a path of its own, or write [{_cut(word)}] when the variable is named so"
                    raise wrong(self._text, start, f"{_cut(word)}: values of an event have no members", cure)
            return Kind.ACCESSOR, tuple(parts)
        if word in ("true", "false"):
            return Kind.BOOLEAN, word == "true"
        return (Kind.COMPARATOR, "in") if word in ("in", "IN") else (Kind.VARIABLE, word)

    def _symbol(self, after: Kind) -> tuple[Kind, str]:
        start = self._at
        symbol = self._until(lambda char: char.isdecimal() or char.isalpha() or char in "()[]'\"")
        if symbol in _PREFIXES and Kind.PREFIX in _FOLLOWERS[after]:
            return Kind.PREFIX, symbol
        kind = SYMBOLS.get(symbol)
        if kind is None:
            raise wrong(self._text, start, f"unknown operator {_cut(symbol) or self._text[start]}", _cure(symbol))
        return kind, symbol

    def _enclosed(self, ends: str, message: str, cure: str) -> str:
        """Everything up to a closing character, which is passed over."""
        start = self._at
        self._at += 1
        text = self._until(lambda char: char in ends, keeps_space=True)
        if self._at >= self._length:
            raise wrong(self._text, start, message, cure)
        self._at += 1
        return text

    def _until(self, ends: Callable[[str], bool], *, keeps_space: bool = False) -> str:
        """Characters up to one that ends them, escaped ones as they are; spaces before the first are skipped."""
        found = []
        while self._at < self._length:
            char = self._text[self._at]
            if char == "\\":
                if self._at + 1 == self._length:
                    raise wrong(self._text, self._at, "nothing follows the backslash")
                found.append(self._text[self._at + 1])
                self._at += 2
                continue
            if not keeps_space and char in _SPACE:
                if found:
                    break
            elif ends(char):
                break
            else:
                found.append(char)
            self._at += 1
        return "".join(found)


def _float(text: str) -> float | None:
    """A number as Go reads it; None when it is not one, or too large."""
    if _DECIMAL.fullmatch(text):
        number = float(text)
        return None if math.isinf(number) else number
    return None


def _cure(symbol: str) -> str:
    if symbol == "=":
        return "write =="
    if symbol[:1] == "_":
        return "a name that begins with _ is written in brackets: [_name]"
    if len(symbol) > 1 and symbol[-1] in "-!~.":
        return f"put a space before {symbol[-1]}"
    return "write two of them with a space between" if symbol in ("!!", "--", "~~") else ""
