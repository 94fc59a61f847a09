"""From the text of an expression to a tree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from events.local.apiserver.cel.errors import CompileError

MOST_DEPTH = 100
_TOKEN = re.compile(
    r"""(?P<space>[\s]+|//[^\n]*)
  | (?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
  | (?P<uint>(?:0x[0-9a-fA-F]+|\d+)[uU])
  | (?P<int>0x[0-9a-fA-F]+|\d+)
  | (?P<text>(?:[bB][rR]?|[rR][bB]?)?
      (?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n\r])*"|'(?:\\.|[^'\\\n\r])*'))
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*|`[A-Za-z0-9_.\-/ ]+`)
  | (?P<sign>\.\?|\[\?|&&|\|\||[<>=!]=|[-+*/%!<>?:.,\[\]{}()])""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_OPERAND = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
)
_BINARY = {
    "||": 1,
    "&&": 2,
    **dict.fromkeys(("<", "<=", ">", ">=", "==", "!=", "in"), 3),
    **dict.fromkeys("+-", 4),
    **dict.fromkeys("*/%", 5),
}
_MACROS = {"all": (2, 3), "exists": (2, 3), "exists_one": (2, 3), "existsOne": (2, 3), "filter": (2,), "map": (2, 3)}
_OPTIONAL_MACROS = {"optMap": (2,), "optFlatMap": (2,), "transformList": (3, 4), "transformMap": (3, 4)}
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL)


@dataclass(frozen=True)
class Expression:
    """One node: what it is, its parts, and where it begins in the text."""

    kind: str  # literal name select test index call list map macro
    parts: tuple[Any, ...]
    offset: int


def parse(source: str) -> Expression:
    """The tree of an expression; raises `CompileError`."""
    return _Parser(source).whole()


class _Parser:
    def __init__(self, source: str) -> None:
        self.source, self.depth = source, 0
        self.tokens = self._tokens()
        self.place = 0

    def _tokens(self) -> list[tuple[str, str, int]]:
        tokens, offset = [], 0
        while offset < len(self.source):
            found = _TOKEN.match(self.source, offset)
            if found is None:
                shown = self.source[offset]
                raise CompileError(self.source, offset, f"Syntax error: token recognition error at: '{shown}'")
            if found.lastgroup != "space":
                tokens.append((str(found.lastgroup), found[0], offset))
            offset = found.end()
        tokens.append(("end", "<EOF>", len(self.source)))
        return tokens

    def whole(self) -> Expression:
        tree = self.conditional()
        if self.tokens[self.place][0] != "end":
            self.fail("<EOF>")
        return tree

    def fail(self, wanted: str) -> None:
        _, text, offset = self.tokens[self.place]
        raise CompileError(self.source, offset, f"Syntax error: mismatched input '{text}' expecting {wanted}")

    def next_is(self, *signs: str) -> bool:
        kind, text, _ = self.tokens[self.place]
        return kind in ("sign", "name") and text in signs

    def take(self, sign: str) -> bool:
        if self.next_is(sign):
            self.place += 1
            return True
        return False

    def need(self, sign: str) -> None:
        if not self.take(sign):
            self.fail(f"'{sign}'")

    def conditional(self) -> Expression:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            offset = self.tokens[self.place][2]
            raise CompileError(self.source, offset, f"expression recursion limit exceeded: {MOST_DEPTH}")
        condition = self.binary(1)
        if self.next_is("?"):
            offset = self.tokens[self.place][2]
            self.place += 1
            yes = self.binary(1)
            self.need(":")
            no = self.conditional()
            condition = Expression("call", ("_?_:_", (condition, yes, no)), offset)
        self.depth -= 1
        return condition

    def binary(self, least: int) -> Expression:
        left = self.unary()
        while True:
            kind, text, offset = self.tokens[self.place]
            strength = _BINARY.get(text, 0) if kind in ("sign", "name") else 0
            if strength < least or not strength:
                return left
            self.place += 1
            right = self.binary(strength + 1)
            left = Expression("call", (f"_{text}_" if text != "in" else "@in", (left, right)), offset)

    def unary(self) -> Expression:
        kind, text, offset = self.tokens[self.place]
        if kind == "sign" and text in "!-":
            self.depth += 1
            if self.depth > MOST_DEPTH:
                raise CompileError(self.source, offset, f"expression recursion limit exceeded: {MOST_DEPTH}")
            self.place += 1
            number = self.tokens[self.place]
            if text == "-" and number[0] in ("int", "float"):
                self.place += 1
                value = _number(number[0], number[1])
                self.depth -= 1
                return self.members(Expression("literal", (-value,), offset))
            operand = self.unary()
            self.depth -= 1
            return Expression("call", (f"{text}_", (operand,)), offset)
        return self.members(self.primary())

    def members(self, tree: Expression) -> Expression:
        while True:
            _, _, offset = self.tokens[self.place]
            if self.take(".?"):
                name = self.name()
                tree = Expression("call", ("_?._", (tree, Expression("literal", (name,), offset))), offset)
            elif self.take("."):
                tree = self.member(tree, offset)
            elif self.take("[?"):
                key = self.conditional()
                self.need("]")
                tree = Expression("call", ("_[?_]", (tree, key)), offset)
            elif self.take("["):
                key = self.conditional()
                self.need("]")
                tree = Expression("index", (tree, key), offset)
            else:
                return tree

    def member(self, owner: Expression, offset: int) -> Expression:
        name = self.name()
        return self.called(name, owner, offset) if self.take("(") else Expression("select", (owner, name), offset)

    def name(self) -> str:
        kind, text, _ = self.tokens[self.place]
        if kind != "name":
            self.fail("IDENTIFIER")
        self.place += 1
        return text.strip("`")

    def arguments(self, end: str = ")") -> list[Expression]:
        found: list[Expression] = []
        if self.take(end):
            return found
        while True:
            found.append(self.conditional())
            if not self.take(","):
                break
            if end == "]" and self.next_is(end):
                break
        self.need(end)
        return found

    def called(self, name: str, target: Expression | None, offset: int) -> Expression:
        arguments = self.arguments()
        if target is not None and len(arguments) in {**_MACROS, **_OPTIONAL_MACROS}.get(name, ()):
            return self.macro(name, target, arguments, offset)
        if target is None and name == "has":
            if len(arguments) != 1 or arguments[0].kind != "select":
                raise CompileError(self.source, offset, "invalid argument to has() macro")
            return Expression("test", arguments[0].parts, offset)
        is_bind = name == "bind" and target is not None and target.kind == "name" and target.parts == ("cel",)
        if is_bind and len(arguments) == 3 and arguments[0].kind == "name":
            return Expression("macro", ("bind", arguments[1], arguments[0].parts, (arguments[2],)), offset)
        if target is not None:
            return Expression("call", (name, (target, *arguments), True), offset)
        return Expression("call", (name, tuple(arguments)), offset)

    def macro(self, name: str, target: Expression, arguments: list[Expression], offset: int) -> Expression:
        two = name in ("transformList", "transformMap") or (len(arguments) == 3 and name != "map")
        count = 2 if two else 1
        variables, bodies = arguments[:count], arguments[count:]
        for variable in variables:
            if variable.kind != "name":
                raise CompileError(self.source, variable.offset, "argument must be a simple name")
        name = "exists_one" if name == "existsOne" else name
        return Expression("macro", (name, target, tuple(one.parts[0] for one in variables), tuple(bodies)), offset)

    def primary(self) -> Expression:
        kind, text, offset = self.tokens[self.place]
        self.place += 1
        if kind in ("int", "uint", "float"):
            value = _number(kind, text)
            if kind != "float" and not -(1 << 63) <= value < 1 << (64 if kind == "uint" else 63):
                raise CompileError(self.source, offset, "invalid int literal")
            return Expression("literal", (value,), offset)
        if kind == "text":
            return Expression("literal", (self.text(text, offset),), offset)
        if kind == "name" and text in ("true", "false", "null"):
            return Expression("literal", ({"true": True, "false": False, "null": None}[text],), offset)
        if kind == "name" and text != "in":
            if self.take("("):
                return self.called(text, None, offset)
            return Expression("name", (text.strip("`"),), offset)
        if kind == "sign" and text == ".":
            return Expression("name", (self.name(),), offset)
        if kind == "sign" and text == "(":
            inner = self.conditional()
            self.need(")")
            return inner
        if kind == "sign" and text in ("[", "[?"):
            return Expression("list", tuple(self.arguments("]")), offset)
        if kind == "sign" and text == "{":
            return Expression("map", self.pairs(), offset)
        self.place -= 1
        self.fail(_OPERAND)
        raise AssertionError

    def pairs(self) -> tuple[Any, ...]:
        found: list[tuple[Expression, Expression]] = []
        while not self.take("}"):
            key = self.conditional()
            self.need(":")
            found.append((key, self.conditional()))
            if not self.take(",") and not self.next_is("}"):
                self.fail("{'}', ','}")
        return tuple(found)

    def text(self, written: str, offset: int) -> str | bytes:
        prefix = written[: len(written) - len(written.lstrip("bBrR"))].lower()
        body = written[len(prefix) :]
        quotes = 3 if body[:3] in ('"""', "'''") else 1
        body = body[quotes:-quotes]
        is_bytes, is_raw = "b" in prefix, "r" in prefix

        def escape(found: re.Match[str]) -> str:
            code = found[1] or found[2] or found[3]
            number = int(code, 16) if code else int(found[4], 8) if found[4] else None
            if number is not None:
                if number > 0x10FFFF or 0xD800 <= number < 0xE000:
                    raise CompileError(self.source, offset, "invalid unicode code point")
                return chr(number)
            if found[5] in _ESCAPED:
                return _ESCAPED[found[5]]
            if found[5] in "\\\"'`?":
                return found[5]
            raise CompileError(self.source, offset, f"Syntax error: unable to unescape string: \\{found[5]}")

        text = body if is_raw else _ESCAPE.sub(escape, body)
        return text.encode() if is_bytes else text


def _number(kind: str, text: str) -> Any:
    return float(text) if kind == "float" else int(text.rstrip("uU"), 0 if "x" in text else 10)
