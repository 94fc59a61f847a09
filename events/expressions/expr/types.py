"""Static types of the language, as far as upstream's checker knows them without a typed environment.

They decide three things: which expressions are refused when they are compiled, which comparisons insist on two
integers or two strings, and what a method takes. Written as Go writes them: `parse("func(string, ...any) []string")`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Type:
    """A type; None in the place of one stands for the type of `nil`."""

    name: str
    kind: str
    elem: Type | None = None
    key: Type | None = None
    params: tuple[Type, ...] = ()
    results: tuple[Type, ...] = ()
    variadic: bool = False
    named: bool = False

    def __str__(self) -> str:
        return self.name


_NAMED = {
    "any": "interface",
    "error": "interface",
    "time.Time": "struct",
    "time.Duration": "int64",
    "time.Month": "int",
    "time.Weekday": "int",
    "*time.Location": "ptr",
    "*semver.Version": "ptr",
    "sprig.certificate": "struct",
}


@lru_cache(maxsize=512)
def parse(text: str) -> Type:
    """A type from its Go spelling (`any` for `interface {}`)."""
    text = text.strip()
    if text.startswith("[]"):
        return Type(text, "slice", elem=parse(text[2:]))
    if text.startswith("map["):
        key, elem = text[4:].split("]", 1)
        return Type(text, "map", elem=parse(elem), key=parse(key))
    if text.startswith("func("):
        return _function(text)
    return Type(text, _NAMED.get(text, text), named="." in text)


def _function(text: str) -> Type:
    inside, _, after = text[5:].partition(")")
    params = [part.strip() for part in inside.split(",") if part.strip()]
    results = [part for part in after.strip().strip("()").split(",") if part.strip()]
    variadic = bool(params) and params[-1].startswith("...")
    return Type(
        text,
        "func",
        params=tuple(parse(part.removeprefix("...")) for part in params),
        results=tuple(parse(part) for part in results),
        variadic=variadic,
    )


ANY = parse("any")
BOOL = parse("bool")
INT = parse("int")
FLOAT = parse("float64")
STRING = parse("string")
TIME = parse("time.Time")
DURATION = parse("time.Duration")
LIST = parse("[]any")
INTS = parse("[]int")
MAP = parse("map[string]any")
PAIRS_MAP = parse("map[any]any")
GROUPS = parse("map[any][]any")
FUNCTION = parse("func(...any) (any, error)")

_INTEGERS = frozenset({"int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64"})
_FLOATS = frozenset({"float32", "float64"})


def kind(type_: Type | None) -> str:
    """The kind of a type; "invalid" for nil's."""
    return "invalid" if type_ is None else type_.kind


def is_any(type_: Type | None) -> bool:
    """Whether nothing is known of it."""
    return type_ is not None and type_.kind == "interface"


def is_integer(type_: Type | None) -> bool:
    """Also a Duration, a Month, a Weekday: the checker looks at kinds."""
    return type_ is not None and type_.kind in _INTEGERS


def is_number(type_: Type | None) -> bool:
    """An integer or a float."""
    return type_ is not None and (type_.kind in _INTEGERS or type_.kind in _FLOATS)


def is_float(type_: Type | None) -> bool:
    """A float."""
    return type_ is not None and type_.kind in _FLOATS


def is_string(type_: Type | None) -> bool:
    """A string."""
    return kind(type_) == "string"


def is_bool(type_: Type | None) -> bool:
    """A boolean."""
    return kind(type_) == "bool"


def is_time(type_: Type | None) -> bool:
    """A point in time."""
    return type_ == TIME


def is_duration(type_: Type | None) -> bool:
    """A duration."""
    return type_ == DURATION


def is_array(type_: Type | None) -> bool:
    """A list of any element type."""
    return kind(type_) == "slice"


def is_map(type_: Type | None) -> bool:
    """A map of any element type."""
    return kind(type_) == "map"


def assignable(value: Type, to: Type) -> bool:
    """Go's rule for these types: the same, or anything to `any`."""
    return value == to or to.name == "any"


def comparable(left: Type | None, right: Type | None) -> bool:
    """Whether `==` between them is let through."""
    if left is None or right is None or left.kind == right.kind:
        return True
    return (is_number(left) and is_number(right)) or is_any(left) or is_any(right)


def combined(left: Type, right: Type) -> Type:
    """The type of a sum of two numbers."""
    if left.kind == right.kind:
        return left
    return FLOAT if is_float(left) or is_float(right) else INT


def listed(elem: Type) -> Type:
    """The type of a list of `elem`."""
    return parse(f"[]{elem.name}") if elem.kind != "func" else LIST
