"""Generates `events/local/apiserver/protobuf.bin`: field numbers of the kinds that clients may send as protobuf.

Usage: `tools/protobuf_tables.py API APIMACHINERY APIEXTENSIONS`, the source trees of the published Go modules
k8s.io/api, k8s.io/apimachinery and k8s.io/apiextensions-apiserver, such as `go mod download -json k8s.io/api@v0.36.0`
gives. Read are the struct tags only: number on the wire, name in JSON, and whether an empty value is written.

A message is a list of fields, each `[number, JSON name, type]`. Types: `s` text, `i` integer, `b` boolean, `d` number,
`y` bytes, `#Name` a type with a form of its own, `@name` a message; before it `[]` for a list, `{}` for a map, `()` for
a message that only wraps a list, `*` where an empty value was meant, `!` where it is written all the same, `~` for a
message whose fields stand among those of its owner.
"""

from __future__ import annotations

import json
import re
import sys
import zlib
from pathlib import Path

TARGET = Path(__file__).parent.parent / "events" / "local" / "apiserver" / "protobuf.bin"
META = "k8s.io/apimachinery/pkg/apis/meta/v1"
GROUPS = (
    "admissionregistration/v1",
    "apps/v1",
    "authentication/v1",
    "authorization/v1",
    "autoscaling/v1",
    "autoscaling/v2",
    "batch/v1",
    "certificates/v1",
    "coordination/v1",
    "core/v1",
    "discovery/v1",
    "events/v1",
    "networking/v1",
    "node/v1",
    "policy/v1",
    "rbac/v1",
    "scheduling/v1",
    "storage/v1",
)
SPECIAL = {
    "Time",
    "MicroTime",
    "Quantity",
    "IntOrString",
    "FieldsV1",
    "RawExtension",
    "JSON",
    "JSONSchemaPropsOrBool",
    "JSONSchemaPropsOrArray",
    "JSONSchemaPropsOrStringArray",
}
SCALARS = {
    "string": "s",
    "int32": "i",
    "int64": "i",
    "int": "i",
    "uint32": "i",
    "bool": "b",
    "float64": "d",
    "[]byte": "y",
}
OPTIONS = ("CreateOptions", "DeleteOptions", "PatchOptions", "UpdateOptions")

STRUCT = re.compile(r"^type (\w+) struct ?\{(?:\n(.*?)^)?\}", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"^type (\w+) ((?:\[\]|map\[)?[\w.\]\[]+)$", re.MULTILINE)
FIELD = re.compile(r"^\s+(?:(\w+)\s+)?([\w.*\[\]]+)\s+`([^`]*)`", re.MULTILINE)
IMPORT = re.compile(r'^\s*(\w+)?\s*"(k8s\.io/[^"]+)"', re.MULTILINE)
GROUP = re.compile(r'GroupName\s*=\s*"([^"]*)"')


class Package:
    """Types of one Go package."""

    def __init__(self, path: str, directory: Path) -> None:
        self.path, self.group = path, None
        self.structs: dict[str, tuple[str, dict[str, str]]] = {}
        self.named: dict[str, tuple[str, dict[str, str]]] = {}
        for file in sorted(directory.glob("*.go")):
            text = file.read_text()
            if file.name.endswith(("_test.go", ".pb.go")):
                continue
            if found := GROUP.search(text):
                self.group = found[1]
            imports = {alias or path.rsplit("/", 1)[1]: path for alias, path in IMPORT.findall(text)}
            for name, body in STRUCT.findall(text):
                self.structs[name] = (body, imports)
            self.named |= {name: (below, imports) for name, below in NAMED.findall(text)}


class Reader:
    """Collects the messages that the kinds reach."""

    def __init__(self, api: Path, machinery: Path, extensions: Path) -> None:
        self.packages = {f"k8s.io/api/{group}": Package(f"k8s.io/api/{group}", api / group) for group in GROUPS}
        self.packages[META] = Package(META, machinery / "pkg/apis/meta/v1")
        path = "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
        self.packages[path] = Package(path, extensions / "pkg/apis/apiextensions/v1")
        self.messages: dict[str, list[list[object]]] = {}

    def kinds(self) -> dict[str, str]:
        """From `apiVersion/kind` to the name of a message."""
        found = {f"/{name}": self.message(META, name) for name in OPTIONS}
        for path, package in self.packages.items():
            if path == META:
                continue
            group, version = package.group, path.rsplit("/", 1)[1]
            api_version = f"{group}/{version}" if group else version
            for name, (body, _) in package.structs.items():
                if "metav1.TypeMeta" in body and not name.endswith("List"):
                    found[f"{api_version}/{name}"] = self.message(path, name)
        return found

    def message(self, path: str, name: str) -> str:
        key = f"{path.removeprefix('k8s.io/').removeprefix('api/')}.{name}"
        if key not in self.messages:
            self.messages[key] = []
            body, imports = self.packages[path].structs[name]
            body = re.sub(r"^\s*//.*\n", "", body, flags=re.MULTILINE)
            for _, kind, tags in FIELD.findall(body):
                wire = re.search(r'protobuf:"(\w+),(\d+),(\w+)', tags)
                if not wire:
                    continue
                written, _, options = re.search(r'json:"([^",]*)(,?)([^"]*)"', tags).groups()
                inline = "inline" in options
                shown = self.type(kind, path, imports, wrapped=wire[3] != "rep")
                mark = "~" if inline else "*" if kind.startswith("*") else "" if "omitempty" in options else "!"
                self.messages[key].append([int(wire[2]), written, mark + shown])
        return key

    def type(self, kind: str, path: str, imports: dict[str, str], *, wrapped: bool) -> str:
        kind = kind.removeprefix("*")
        if kind in SCALARS:
            return SCALARS[kind]
        if kind.startswith("[]"):
            return "[]" + self.type(kind[2:], path, imports, wrapped=True)
        if kind.startswith("map["):
            return "{}" + self.type(kind.partition("]")[2], path, imports, wrapped=True)
        qualifier, dot, name = kind.rpartition(".")
        home = imports[qualifier] if dot else path
        if name in SPECIAL:
            return f"#{name}"
        package = self.packages.get(home)
        if package is None:  # types.UID and the like
            return "s"
        if name in package.structs:
            return f"@{self.message(home, name)}"
        below = self.type(package.named[name][0], home, package.named[name][1], wrapped=wrapped)
        return f"(){below}" if below.startswith("[]") and wrapped else below


def main(arguments: list[str]) -> None:
    """Read the sources, write the data."""
    reader = Reader(*map(Path, arguments))
    schema = "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
    kinds = reader.kinds()
    reader.message(schema, "JSONSchemaProps")
    content = json.dumps({"kinds": kinds, "messages": reader.messages}, separators=(",", ":")).encode()
    TARGET.write_bytes(zlib.compress(content, 9))
    sizes = f"{len(content)} bytes, {TARGET.stat().st_size} compressed"
    sys.stdout.write(f"{len(kinds)} kinds, {len(reader.messages)} messages, {sizes}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
