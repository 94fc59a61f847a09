"""Tokens to a tree: operators by precedence, pipes, closures. Facts of expr 1.15; depth and length limits are ours."""

from __future__ import annotations

from events.errors import UserError
from events.expressions.expr import nodes
from events.expressions.expr.lexer import Lexer, Token, starts_word, wrong
from events.expressions.expr.nodes import Node
from events.expressions.expr.signatures import BUILTINS, PREDICATES

MAX_LENGTH = 65536
MAX_NESTING = 64
MAX_HEIGHT = 200

_UNARY = {"not": 50, "!": 50, "-": 90, "+": 90}
_BINARY = {
    "|": 0,
    "or": 10,
    "||": 10,
    "and": 15,
    "&&": 15,
    "==": 20,
    "!=": 20,
    "<": 20,
    ">": 20,
    ">=": 20,
    "<=": 20,
    "in": 20,
    "matches": 20,
    "contains": 20,
    "startsWith": 20,
    "endsWith": 20,
    "..": 25,
    "+": 30,
    "-": 30,
    "*": 60,
    "/": 60,
    "%": 60,
    "**": 100,
    "^": 100,
    "??": 500,
}
_RIGHT = frozenset({"**", "^"})
_INT64 = range(-(1 << 63), 1 << 63)


def parse(text: str) -> Node:
    """The tree of an expression; UserError with the place."""
    if len(text) > MAX_LENGTH:
        raise UserError(f"an expression of {len(text)} characters", cure=f"at most {MAX_LENGTH} are read")
    return Parser(text).run()


class Parser:
    """Reads one expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = Lexer(text).run()
        self._index = 0
        self._closures = 0
        self._nesting = 0

    def run(self) -> Node:
        """The whole text as one expression."""
        node = self._expression(0)
        if self._current.kind != "end":
            raise self._unexpected()
        return node

    @property
    def _current(self) -> Token:
        return self._tokens[self._index]

    def _next(self) -> Token:
        token = self._tokens[self._index]
        if token.kind == "end":
            raise self._unexpected()
        self._index += 1
        return token

    def _is(self, kind: str, text: str) -> bool:
        token = self._tokens[self._index]
        return token.kind == kind and token.text == text

    def _accept(self, kind: str, text: str) -> bool:
        if self._is(kind, text):
            self._index += 1
            return True
        return False

    def _expect(self, kind: str, text: str) -> None:
        if not self._accept(kind, text):
            raise self._unexpected(f"{text!r} is missing here")

    def _unexpected(self, cure: str = "") -> UserError:
        token = self._current
        if token.kind == "operator" and token.text == "=":
            cure = "compare with =="
        return wrong(self._text, token.at, f"unexpected {token}", cure)

    def _made(self, node: Node, token: Token) -> Node:
        """A finished node: its place, and how high the tree is here."""
        node.at = token.at
        node.height = 1 + max((child.height for child in node.children()), default=0)
        if node.height > MAX_HEIGHT:
            raise wrong(self._text, token.at, "the expression is too deep", "split it, or use a list with `in`")
        return node

    def _expression(self, precedence: int) -> Node:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise wrong(self._text, self._current.at, "too many levels of brackets", f"at most {MAX_NESTING}")
        if precedence == 0 and self._is("operator", "let"):
            node = self._let()
        else:
            node = self._operators(self._primary(), precedence)
            if precedence == 0:
                node = self._conditional(node)
        self._nesting -= 1
        return node

    def _operators(self, left: Node, precedence: int) -> Node:
        """All operators that bind at least as strongly as `precedence`."""
        previous = ""
        while self._current.kind == "operator":
            # A `not` is taken even if its operator binds too weakly here, and is then lost: `1 + 2 not in x`.
            negation = self._next() if self._is("operator", "not") else None
            operator = self._current
            binds = _BINARY.get(operator.text, -1)
            if binds < precedence:
                break
            self._next()
            if operator.text == "|":
                left = self._pipe(left)
            else:
                if previous == "??" and operator.text != "??":
                    raise wrong(self._text, operator.at, "?? cannot be mixed with other operators", "add parentheses")
                right = self._expression(binds if operator.text in _RIGHT else binds + 1)
                left = self._made(nodes.Binary(operator.text, left, right), operator)
                if negation is not None:
                    left = self._made(nodes.Unary("not", left), negation)
            previous = operator.text
        return left

    def _let(self) -> Node:
        self._next()
        name = self._current
        if name.kind != "identifier":
            raise self._unexpected("`let` is followed by a name")
        self._next()
        self._expect("operator", "=")
        value = self._expression(0)
        self._expect("operator", ";")
        return self._made(nodes.Let(name.text, value, self._expression(0)), name)

    def _conditional(self, node: Node) -> Node:
        while self._is("operator", "?"):
            token = self._next()
            if self._accept("operator", ":"):
                yes = node
            else:
                yes = self._expression(0)
                self._expect("operator", ":")
            node = self._made(nodes.Conditional(node, yes, self._expression(0)), token)
        return node

    def _primary(self) -> Node:
        token = self._current
        if token.kind == "operator" and token.text in _UNARY:
            self._next()
            operand = self._expression(_UNARY[token.text])
            return self._postfix(self._made(nodes.Unary(token.text, operand), token))
        if self._accept("bracket", "("):
            node = self._expression(0)
            self._expect("bracket", ")")
            return self._postfix(node)
        if token.kind == "operator" and token.text in ("#", "."):
            return self._postfix(self._pointer(token))
        node = self._secondary(token)
        # Literals take no index and no field.
        return node if isinstance(node, nodes.Constant) else self._postfix(node)

    def _pointer(self, token: Token) -> Node:
        if not self._closures:
            raise wrong(
                self._text, token.at, f"{token.text!r} stands outside of a closure", "use it in filter(list, #)"
            )
        name = ""
        if token.text == "#":
            self._next()
            if self._current.kind == "identifier":
                name = self._next().text
        return self._made(nodes.Pointer(name), token)

    def _secondary(self, token: Token) -> Node:
        if token.kind == "identifier":
            self._next()
            literals = {"true": (True, "bool"), "false": (False, "bool"), "nil": (None, "nil")}
            if token.text in literals:
                return self._made(nodes.Constant(*literals[token.text]), token)
            return self._call(token)
        if token.kind == "number":
            self._next()
            return self._made(self._number(token), token)
        if token.kind == "string":
            self._next()
            return self._made(nodes.Constant(token.text, "string"), token)
        if self._accept("bracket", "["):
            return self._made(nodes.ListOf(self._items("]")), token)
        if self._accept("bracket", "{"):
            return self._made(nodes.MapOf(self._pairs()), token)
        raise self._unexpected()

    def _number(self, token: Token) -> nodes.Constant:
        text = token.text.replace("_", "")
        try:
            if "x" in text:
                value: int | float = int(text, 16)
            elif set(text) & set(".eE") and not text.startswith("0X"):
                value = float(text)
            else:
                value = int(text, 10)
        except ValueError as error:
            cure = "whole numbers are written in decimal or as 0x1f"
            raise wrong(self._text, token.at, f"{token.text!r} is not a number", cure) from error
        if isinstance(value, float):
            if value == float("inf"):
                raise wrong(self._text, token.at, f"{token.text!r} is too large")
            return nodes.Constant(value, "float")
        if value not in _INT64:
            raise wrong(self._text, token.at, f"{token.text!r} is too large", "write it as a float: 1e20")
        return nodes.Constant(value, "int")

    def _call(self, name: Token) -> Node:
        if not self._is("bracket", "("):
            return self._made(nodes.Identifier(name.text), name)
        return self._applied(name, [])

    def _pipe(self, piped: Node) -> Node:
        name = self._current
        if name.kind != "identifier":
            raise self._unexpected("| is followed by a function call; `or` is written ||")
        self._next()
        return self._applied(name, [piped])

    def _applied(self, name: Token, arguments: list[Node]) -> Node:
        """A call; `arguments` holds what was piped in."""
        self._expect("bracket", "(")
        if name.text in PREDICATES:
            if not arguments:
                arguments = [self._expression(0)]
                self._expect("operator", ",")
            arguments.append(self._closure())
            if name.text == "reduce" and self._accept("operator", ","):
                arguments.append(self._expression(0))
            self._expect("bracket", ")")
            return self._made(nodes.Builtin(name.text, arguments), name)
        arguments += self._arguments()
        if name.text in BUILTINS:
            return self._made(nodes.Builtin(name.text, arguments), name)
        callee = self._made(nodes.Identifier(name.text), name)
        return self._made(nodes.Call(callee, arguments), name)

    def _closure(self) -> Node:
        token = self._current
        braced = self._accept("bracket", "{")
        self._closures += 1
        node = self._expression(0)
        self._closures -= 1
        if braced:
            self._expect("bracket", "}")
        return self._made(nodes.Closure(node), token)

    def _arguments(self) -> list[Node]:
        """Up to the closing parenthesis; no comma may trail."""
        found: list[Node] = []
        while not self._accept("bracket", ")"):
            if found:
                self._expect("operator", ",")
            found.append(self._expression(0))
        return found

    def _items(self, closing: str) -> list[Node]:
        """Up to a closing bracket; a comma may trail."""
        found: list[Node] = []
        while not self._accept("bracket", closing):
            if found:
                self._expect("operator", ",")
                if self._accept("bracket", closing):
                    break
            found.append(self._expression(0))
        return found

    def _pairs(self) -> list[tuple[Node, Node]]:
        found: list[tuple[Node, Node]] = []
        while not self._accept("bracket", "}"):
            if found:
                self._expect("operator", ",")
                if self._accept("bracket", "}"):
                    break
            token = self._current
            if token.kind in ("number", "string", "identifier"):
                self._next()
                key = self._made(nodes.Constant(token.text, "string"), token)
            elif self._is("bracket", "("):
                key = self._expression(0)
            else:
                raise self._unexpected("a key is a name, a string, a number, or an expression in parentheses")
            self._expect("operator", ":")
            found.append((key, self._expression(0)))
        return found

    def _postfix(self, node: Node) -> Node:
        while self._current.kind in ("operator", "bracket"):
            token = self._current
            if token.text in (".", "?.") and token.kind == "operator":
                self._next()
                node = self._member(node, optional=token.text == "?.")
            elif token.text == "[":
                self._next()
                node = self._index_or_slice(node, token)
            else:
                break
        return node

    def _member(self, node: Node, *, optional: bool) -> Node:
        name = self._next()
        if name.kind != "identifier" and not (name.kind == "operator" and starts_word(name.text[0])):
            raise wrong(self._text, name.at, f"unexpected {name}", 'a dot is followed by a name; others go in ["…"]')
        chained = isinstance(node, nodes.Chain)
        base = node.node if isinstance(node, nodes.Chain) else node
        key = self._made(nodes.Constant(name.text, "string"), name)
        made = self._made(nodes.Member(base, key, optional), name)
        if self._accept("bracket", "("):
            made = self._made(nodes.Call(made, self._arguments()), name)
        return self._made(nodes.Chain(made), name) if chained or optional else made

    def _index_or_slice(self, node: Node, token: Token) -> Node:
        start: Node | None = None
        if not self._is("operator", ":"):
            start = self._expression(0)
            if self._accept("bracket", "]"):
                return self._made(nodes.Member(node, start), token)
        self._expect("operator", ":")
        end = None if self._is("bracket", "]") else self._expression(0)
        self._expect("bracket", "]")
        return self._made(nodes.Slice(node, start, end), token)
