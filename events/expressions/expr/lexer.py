"""Text to tokens. Facts of expr 1.15; the cure in an error is ours."""

from __future__ import annotations

import re
from dataclasses import dataclass

from events.errors import UserError

_KEYWORDS = frozenset({"in", "or", "and", "matches", "contains", "startsWith", "endsWith", "let", "not"})
_AFTER_NOT = frozenset({"in", "matches", "contains", "startsWith", "endsWith"})
_PAIRED = "&!=*<>"
_DIGITS = "0123456789_"
_BASES = {
    "x": "0123456789abcdefABCDEF_",
    "X": "0123456789abcdefABCDEF_",
    "o": "01234567_",
    "O": "01234567_",
    "b": "01_",
    "B": "01_",
}
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}
_HEX = {"x": 2, "u": 4, "U": 8}
_SPACE = frozenset("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B))))
_OCTAL = re.compile(r"[0-3][0-7][0-7]")


@dataclass(frozen=True, slots=True)
class Token:
    """Kind (identifier, number, string, operator, bracket, end), text (a string's value), place."""

    kind: str
    text: str
    at: int

    def __str__(self) -> str:
        return f"{self.text!r}" if self.kind != "end" else "the end"


def wrong(text: str, at: int, message: str, cure: str = "") -> UserError:
    """An error at a place of the text, shown with line and column."""
    line = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    return UserError(f"{message} (at {line}:{column})", cure=cure or "see the filter expressions in the documentation")


def is_word(char: str) -> bool:
    """Whether a character may stand in a name."""
    return char in ("_", "$") or char.isalpha() or char.isdecimal()


def starts_word(char: str) -> bool:
    """Whether a name may begin with it."""
    return char in ("_", "$") or char.isalpha()


class Lexer:
    """Reads one text from start to end."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.tokens: list[Token] = []

    def run(self) -> list[Token]:
        """All tokens; the last is the end."""
        text = self.text
        while self.at < len(text):
            char = text[self.at]
            if char in _SPACE:
                self.at += 1
            elif char in "'\"":
                self._string(char)
            elif "0" <= char <= "9" or (char == "." and text[self.at + 1 : self.at + 2] in tuple("0123456789")):
                self._number()
            elif text.startswith("//", self.at):
                end = text.find("\n", self.at)
                self.at = len(text) if end < 0 else end + 1
            elif text.startswith("/*", self.at):
                self._comment()
            elif is_word(char):
                self._word()
            else:
                self._operator(char)
        self._add("end", "", max(len(text) - 1, 0))
        return self.tokens

    def _add(self, kind: str, text: str, at: int) -> None:
        self.tokens.append(Token(kind, text, at))

    def _comment(self) -> None:
        end = self.text.find("*/", self.at + 2)
        if end < 0:
            raise wrong(self.text, self.at, "the comment is not closed", "add */")
        self.at = end + 2

    def _operator(self, char: str) -> None:
        start, following = self.at, self.text[self.at + 1 : self.at + 2]
        if char in "([{)]}":
            self.at += 1
            self._add("bracket", char, start)
            return
        width = 1
        if char == "?":
            width = 2 if following in (".", "?") and following else 1
        elif char == "#":
            width = 2 if following == "#" else 1
        elif char in "|.":
            width = 2 if following == char else 1
        elif char in _PAIRED:
            width = 2 if following and following in "&=*" else 1
        elif char not in ",:;%+-^/":
            cure = "strings are written in single or double quotes" if char == "`" else ""
            raise wrong(self.text, start, f"the character {char!r} is not part of the language", cure)
        self.at += width
        self._add("operator", self.text[start : self.at], start)
        if char == "#":
            self._pointer()

    def _pointer(self) -> None:
        start = self.at
        self._skip_word()
        if self.at > start:
            self._add("identifier", self.text[start : self.at], start)

    def _skip_word(self) -> None:
        text, at = self.text, self.at
        while at < len(text) and is_word(text[at]):
            at += 1
        self.at = at

    def _word(self) -> None:
        start = self.at
        self._skip_word()
        word = self.text[start : self.at]
        self._add("operator" if word in _KEYWORDS else "identifier", word, start)

    def _run(self, allowed: str) -> None:
        while self.at < len(self.text) and self.text[self.at] in allowed:
            self.at += 1

    def _number(self) -> None:
        text, start = self.text, self.at
        digits = _DIGITS
        if text[self.at] == ".":
            self.at += 1
        if text[self.at] == "0":
            self.at += 1
            base = _BASES.get(text[self.at : self.at + 1])
            if base:
                digits = base
                self.at += 1
        self._run(digits)
        if text[self.at : self.at + 1] == ".":
            if text[self.at + 1 : self.at + 2] == ".":  # 1..2 is a range
                self._add("number", text[start : self.at], start)
                return
            self.at += 1
            self._run(digits)
        if text[self.at : self.at + 1] in ("e", "E"):
            self.at += 1
            if text[self.at : self.at + 1] in ("+", "-"):
                self.at += 1
            self._run(digits)
        if self.at < len(text) and is_word(text[self.at]):
            raise wrong(text, start, f"{text[start : self.at + 1]!r} is not a number")
        self._add("number", text[start : self.at], start)

    def _string(self, quote: str) -> None:
        text, start = self.text, self.at
        self.at += 1
        parts: list[str] = []
        while True:
            begin = self.at
            while self.at < len(text) and text[self.at] not in (quote, "\\", "\n"):
                self.at += 1
            parts.append(text[begin : self.at].replace("\r", "\n"))
            char = text[self.at : self.at + 1]
            if char == quote:
                break
            if char != "\\":
                raise wrong(text, start, "the string is not closed", f"add {quote}")
            parts.append(self._escape(quote))
        self.at += 1
        self._add("string", "".join(parts), start)

    def _escape(self, quote: str) -> str:
        """The character of an escape; `at` is on the backslash, afterwards behind the escape."""
        text, start = self.text, self.at
        char = text[start + 1 : start + 2]
        self.at = start + 2
        if char in _SIMPLE:
            return _SIMPLE[char]
        if char and char == quote:
            return quote
        if char in _HEX:
            digits = text[self.at : self.at + _HEX[char]]
            self.at += _HEX[char]
            if re.fullmatch(rf"[0-9a-fA-F]{{{_HEX[char]}}}", digits):
                return self._character(int(digits, 16), start)
        elif found := _OCTAL.match(text, start + 1):
            self.at = found.end()
            return chr(int(found[0], 8))
        raise wrong(text, start, f"the escape {text[start : start + 2]!r} is not one", "write \\\\ for a backslash")

    def _character(self, code: int, at: int) -> str:
        if code > 0x10FFFF:
            raise wrong(self.text, at, "there is no such character")
        return "\ufffd" if 0xD800 <= code <= 0xDFFF else chr(code)
