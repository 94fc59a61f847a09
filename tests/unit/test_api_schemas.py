"""The generated schemas of Kubernetes' own kinds."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from events.local.apiserver import schemas

TOOLS = Path(__file__).parents[2] / "tools"


def test_the_data_is_what_the_installed_client_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    installed, packed = importlib.metadata.version("kubernetes"), schemas.builtin().client
    if installed != packed:
        pytest.skip(f"generated from client {packed}, installed is {installed}")
    monkeypatch.syspath_prepend(str(TOOLS))
    generator = __import__("schemas", fromlist=["packed"])
    monkeypatch.setitem(sys.modules, "schemas", generator)
    facts = json.loads((TOOLS / "schema_facts.json").read_text(encoding="utf-8"))
    assert generator.packed(facts) == generator.TARGET.read_bytes(), "run `make schemas`"


def test_every_reference_leads_to_a_definition() -> None:
    data = schemas.builtin()
    names = set(data.names)
    for name in names:
        assert set(schemas.references(data.full(name))) <= names
        assert set(schemas.references(data.lean(name))) <= names


@pytest.mark.parametrize(
    ("kind", "steps", "expected"),
    [
        (
            ("", "v1", "Pod"),
            ("spec", "containers"),
            {"x-kubernetes-patch-merge-key": "name", "x-kubernetes-list-type": "map"},
        ),
        (("", "v1", "Service"), ("spec", "ports"), {"x-kubernetes-list-map-keys": ["port", "protocol"]}),
        (("apps", "v1", "Deployment"), ("spec", "strategy"), {"x-kubernetes-patch-strategy": "retainKeys"}),
        (("apps", "v1", "Deployment"), ("spec", "replicas"), {"type": "integer", "format": "int32"}),
        (("", "v1", "Secret"), ("data",), {"additionalProperties": {"type": "string", "format": "byte"}}),
        (("", "v1", "ConfigMap"), ("metadata", "finalizers"), {"x-kubernetes-list-type": "set"}),
    ],
)
def test_a_node_has_what_patches_and_validation_need(
    kind: tuple[str, str, str], steps: tuple[str, ...], expected: dict[str, Any]
) -> None:
    known = schemas.Schemas()
    node = known.of(*kind)
    assert node is not None
    for step in steps:
        node = known.resolve(node)["properties"][step]
    assert node.items() >= expected.items()


def test_published_nodes_have_texts_and_all_that_they_refer_to() -> None:
    found = schemas.Schemas().published(["io.k8s.api.core.v1.ConfigMap"])
    config = found["io.k8s.api.core.v1.ConfigMap"]
    assert config["description"] == "ConfigMap holds configuration data for pods to consume."
    assert config["x-kubernetes-group-version-kind"] == [{"group": "", "kind": "ConfigMap", "version": "v1"}]
    assert schemas.PRESENCE not in config
    assert "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" in found
    assert "Attributes:" not in json.dumps(found)


def test_custom_kinds_come_and_go() -> None:
    known, node = schemas.Schemas(), {"type": "object"}
    known.add("example.com", "v1", "Widget", node)
    assert known.of("example.com", "v1", "Widget") is node
    known.remove("example.com", "v1", "Widget")
    assert known.of("example.com", "v1", "Widget") is None
    assert known.of("", "v1", "Nothing") is None
