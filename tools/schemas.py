"""Generates `events/local/apiserver/schemas/builtin.bin`: the schemas of Kubernetes' own kinds.

Run by `make schemas`. Fields, types, what is required and most texts come from the models of the installed `kubernetes`
client. What the models cannot say stands in `schema_facts.json`, read off the published OpenAPI documents and the tags
of the API's own types: published names, formats, defaults, list types and map keys, patch strategies, the texts of
fields that are references and of those that the release served by us describes in other words than the client's, and
whether a field that is empty is written at all (`presence`):

    always  written even when it is zero or empty     drop  left out when it is zero or empty
    keep    written whenever it was given             null  written as null when it was not given
"""

from __future__ import annotations

import importlib.metadata
import json
import struct
import sys
import types
import typing
import zlib
from datetime import datetime
from pathlib import Path
from typing import Any

import pydantic
from kubernetes.client import models

HERE = Path(__file__).parent
FACTS = HERE / "schema_facts.json"
TARGET = HERE.parent / "events" / "local" / "apiserver" / "schemas" / "builtin.bin"
REF = "#/components/schemas/"
CLIENT = importlib.metadata.version("kubernetes")
WITHOUT_DEFAULT = ("Quantity", "Time", "MicroTime", "IntOrString", "RawExtension", "JSON", "FieldsV1")
"""Ends of the names of types that are written as one value: lists and maps of them give no default."""


class Generator:
    """From models and facts to nodes."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts
        self.names = {fact["class"]: name for name, fact in facts.items() if "class" in fact}

    def node(self, name: str) -> dict[str, Any]:
        """One definition, as it is published."""
        fact = self.facts[name]
        if "node" in fact:
            return fact["node"]
        model = getattr(models, fact["class"])
        properties, required = {}, []
        for field, info in model.model_fields.items():
            wire = info.serialization_alias or field
            properties[wire] = self.property(fact, wire, info)
            if info.is_required():
                required.append(wire)
        node: dict[str, Any] = {}
        if text := described(model):
            node["description"] = text
        node |= {"type": "object", "properties": dict(sorted(properties.items()))}
        if required:
            node["required"] = sorted(required)
        if "kinds" in fact:
            node["x-kubernetes-group-version-kind"] = [
                {"group": group, "kind": kind, "version": version} for group, version, kind in fact["kinds"]
            ]
        for key in ("map-type", "unions"):
            if key in fact:
                node[f"x-kubernetes-{key}"] = fact[key]
        return node

    def property(self, fact: dict[str, Any], wire: str, info: pydantic.fields.FieldInfo) -> dict[str, Any]:
        overlay = fact.get("properties", {}).get(wire, {})
        always = presence(fact, wire, info) == "always"
        node = self.typed(overlay.get("ref"), info.annotation, default=always)
        text = fact.get("texts", {}).get(wire) or info.description
        if text:
            node = {"description": text, **opened(node)}
        for key, value in overlay.items():
            if key == "ref":
                continue
            if value is None:
                node.pop(key, None)
            elif isinstance(value, dict) and isinstance(node.get(key), dict):
                node[key] = {k: v for k, v in {**opened(node[key]), **value}.items() if v is not None}
            else:
                node = {**opened(node), key: value}
        return node["allOf"][0] if node.keys() == {"allOf"} else node

    def typed(self, ref: str | None, annotation: Any, *, default: bool) -> dict[str, Any]:
        """The node of a type; `ref` names it when the model has lost the name."""
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin is typing.Annotated:
            return self.typed(ref, arguments[0], default=default)
        if origin in (typing.Union, types.UnionType):
            arguments = tuple(one for one in arguments if one is not types.NoneType)
            if len(arguments) == 1:
                return self.typed(ref, arguments[0], default=default)
            if ref is None:
                return self.one_of(arguments, default=default)
        if origin is list:
            return {"type": "array", "items": self.typed(ref, arguments[0], default=True)}
        if origin is dict:
            if ref and arguments[1] is Any:
                return reference(ref, default=default)
            return {"type": "object", "additionalProperties": self.typed(ref, arguments[1], default=True)}
        if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
            return reference(ref or self.names[annotation.__name__], default=default)
        if ref:
            return reference(ref, default=default)
        return scalar(annotation, default=default)

    def one_of(self, arguments: tuple[Any, ...], *, default: bool) -> dict[str, Any]:
        kinds = {(typing.get_args(one) or (one,))[0] for one in arguments}
        if bytes in kinds:
            return {"type": "string", "format": "byte"}
        if float in kinds:
            return {"type": "number", "format": "double"} | ({"default": 0} if default else {})
        return reference("io.k8s.apimachinery.pkg.util.intstr.IntOrString", default=False)


def presence(fact: dict[str, Any], wire: str, info: pydantic.fields.FieldInfo) -> str:
    """What becomes of the field when it is empty: what the facts say, else what is usual for its type."""
    if code := fact.get("presence", {}).get(wire):
        return code
    annotation = info.annotation
    arguments = [one for one in typing.get_args(annotation) if one is not types.NoneType]
    plain = arguments[0] if typing.get_origin(annotation) in (typing.Union, types.UnionType) else annotation
    if typing.get_origin(plain) in (list, dict):
        return "drop"
    if info.is_required():
        return "always"
    base = (typing.get_args(plain) or (plain,))[0]
    return "drop" if base is str else "keep"


def described(model: type[pydantic.BaseModel]) -> str:
    """The text of a model, without what the client's generator appends."""
    text = (model.__doc__ or "").partition("Attributes:")[0]
    return " ".join(text.split())


def reference(name: str, *, default: bool) -> dict[str, Any]:
    """A node that refers to a definition."""
    ref = {"$ref": REF + name}
    return {"default": {}, "allOf": [ref]} if default and not name.endswith(WITHOUT_DEFAULT) else ref


def opened(node: dict[str, Any]) -> dict[str, Any]:
    """A reference that can have neighbours."""
    if "$ref" in node:
        node = {key: value for key, value in node.items() if key != "$ref"} | {"allOf": [{"$ref": node["$ref"]}]}
    return dict(node)


def scalar(annotation: Any, *, default: bool) -> dict[str, Any]:
    """A node of one plain value."""
    if annotation is Any:
        return {"$ref": f"{REF}io.k8s.apimachinery.pkg.runtime.RawExtension"}
    if annotation is datetime:
        return {"$ref": f"{REF}io.k8s.apimachinery.pkg.apis.meta.v1.Time"}
    zero: Any
    kind, zero = {str: ("string", ""), int: ("integer", 0), bool: ("boolean", False), float: ("number", 0)}[annotation]
    node: dict[str, Any] = {"type": kind}
    if kind == "integer":
        node["format"] = "int32"
    return {**node, "default": zero} if default else node


def slim(node: Any) -> Any:
    """A node without its texts and without defaults that are only zero."""
    if isinstance(node, list):
        return [slim(one) for one in node]
    if not isinstance(node, dict):
        return node
    slimmed = {}
    for key, value in node.items():
        if key == "properties":
            slimmed[key] = {name: slim(one) for name, one in value.items()}
        elif (key == "description" and isinstance(value, str)) or (key == "default" and value in ("", 0, {}, False)):
            continue
        else:
            slimmed[key] = slim(value) if key not in ("default", "required") else value
    if isinstance(slimmed.get("allOf"), list) and len(slimmed) == 1:
        return slimmed["allOf"][0]
    return slimmed


def codes(fact: dict[str, Any]) -> dict[str, str]:
    """The presence of every property."""
    model = getattr(models, fact["class"])
    named = {info.serialization_alias or field: info for field, info in model.model_fields.items()}
    return {wire: presence(fact, wire, info) for wire, info in named.items()}


def packed(facts: dict[str, Any]) -> bytes:
    """The file: the length of the index, the index, and the nodes, each of which can be read alone."""
    generator = Generator(facts)
    kinds: list[list[str]] = []
    index: dict[str, list[int]] = {}
    blobs, offset = [], 0
    nodes = {name: generator.node(name) for name in sorted(facts)}
    known = dictionary(nodes)
    for name, node in nodes.items():
        fact = facts[name]
        kinds += [[*kind, name] for kind in fact.get("kinds", [])]
        lean = slim(node)
        if "class" in fact:
            lean["x-presence"] = codes(fact)
        place = []
        for value in (lean, node):
            blob = deflated(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(), known)
            blobs.append(blob)
            place += [offset, len(blob)]
            offset += len(blob)
        index[name] = place
    head = {"client": CLIENT, "kinds": kinds, "nodes": index, "dictionary": known.decode()}
    packed_head = zlib.compress(json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode(), 9)
    return struct.pack(">I", len(packed_head)) + packed_head + b"".join(blobs)


def dictionary(nodes: dict[str, Any]) -> bytes:
    """What many nodes begin with, for the compressor: small nodes share it."""
    common = [nodes[f"io.k8s.api.{name}"] for name in ("core.v1.PodSpec", "apps.v1.Deployment", "core.v1.ServicePort")]
    return json.dumps(common, separators=(",", ":")).encode()[-24000:]


def deflated(data: bytes, known: bytes) -> bytes:
    """One blob; `known` is needed to read it again."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=known)
    return packer.compress(data) + packer.flush()


def main() -> None:
    """Write the data."""
    facts = json.loads(FACTS.read_text(encoding="utf-8"))
    data = packed(facts)
    TARGET.write_bytes(data)
    said = f"{TARGET}: {len(facts)} definitions of {CLIENT}, {len(data):,} bytes"
    sys.stderr.write(f"{said}\n")


if __name__ == "__main__":
    main()
