"""Types of expressions, and how a schema becomes one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Node = Mapping[str, Any]


@dataclass(frozen=True)
class Type:
    """A type: simple ones have a name only; lists and maps have elements, objects fields, optionals a value."""

    name: str
    of: tuple[Type, ...] = ()
    fields: Mapping[str, Type] | None = field(default=None, compare=False, hash=False)
    size: int | None = field(default=None, compare=False, hash=False)

    def __str__(self) -> str:
        if self.fields is not None:
            return "object"
        return f"{self.name}({', '.join(map(str, self.of))})" if self.of else self.name


INT, UINT, DOUBLE, BOOL, STRING = Type("int"), Type("uint"), Type("double"), Type("bool"), Type("string")
BYTES, NULL, DYN, TYPE = Type("bytes"), Type("null"), Type("dyn"), Type("type")
TIMESTAMP, DURATION = Type("google.protobuf.Timestamp"), Type("google.protobuf.Duration")
QUANTITY, URL, IP, CIDR = Type("kubernetes.Quantity"), Type("kubernetes.URL"), Type("net.IP"), Type("net.CIDR")
NUMBERS = (INT, UINT, DOUBLE)
_RESERVED = frozenset(
    {
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    }
)
_ESCAPES = {".": "__dot__", "-": "__dash__", "/": "__slash__"}
_META = {"name": STRING, "generateName": STRING}


def list_of(item: Type, size: int | None = None) -> Type:
    """A list."""
    return Type("list", (item,), size=size)


def map_of(key: Type, value: Type, size: int | None = None) -> Type:
    """A map."""
    return Type("map", (key, value), size=size)


def optional(value: Type) -> Type:
    """A value that may be missing."""
    return Type("optional_type", (value,))


def object_of(fields: Mapping[str, Type]) -> Type:
    """An object with these fields."""
    return Type("object", (), fields)


def escaped(name: str) -> str | None:
    """A property's name as expressions write it; None for one that they cannot write."""
    if name in _RESERVED:
        return f"__{name}__"
    text = name.replace("__", "__underscores__")
    for plain, written in _ESCAPES.items():
        text = text.replace(plain, written)
    return text if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text, re.ASCII) else None


def of_schema(node: Node, *, root: bool = False) -> Type:
    """The type of values under a schema; `root` has `apiVersion`, `kind` and some of `metadata` too."""
    if node.get("x-kubernetes-int-or-string"):
        return DYN
    kind = node.get("type")
    if kind == "array":
        items = node.get("items")
        return list_of(of_schema(items) if isinstance(items, dict) else DYN, node.get("maxItems"))
    if kind == "object":
        return _object(node, root=root or bool(node.get("x-kubernetes-embedded-resource")))
    if kind == "string":
        form = {"byte": BYTES, "duration": DURATION, "date": TIMESTAMP, "date-time": TIMESTAMP}
        return form.get(node.get("format", ""), Type("string", size=node.get("maxLength")))
    return {"integer": INT, "number": DOUBLE, "boolean": BOOL}.get(kind or "", DYN)


def _object(node: Node, *, root: bool) -> Type:
    rest = node.get("additionalProperties")
    if isinstance(rest, dict) and not node.get("properties"):
        return map_of(STRING, of_schema(rest), node.get("maxProperties"))
    if node.get("x-kubernetes-preserve-unknown-fields") and not node.get("properties") and not root:
        return DYN
    fields: dict[str, Type] = {}
    for name, child in (node.get("properties") or {}).items():
        written = escaped(name)
        if written is not None:
            fields[written] = of_schema(child)
    if root:
        fields |= {"apiVersion": STRING, "kind": STRING}
        fields["metadata"] = object_of(_META | dict((fields.get("metadata") or DYN).fields or {}))
    return object_of(fields)


def unescaped(written: str) -> str:
    """A property's name from what an expression says."""
    if written.startswith("__") and written.endswith("__") and written[2:-2] in _RESERVED:
        return written[2:-2]
    text = written
    for plain, escape in _ESCAPES.items():
        text = text.replace(escape, plain)
    return text.replace("__underscores__", "__")
