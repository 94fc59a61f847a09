"""Documents of what is served: as a real server's where it was recorded, and sound in all others."""

from __future__ import annotations

import gc
import json
import re
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes.client
import pytest
from conformance.core import Case, read

from events.local.apiserver import kinds, openapi, schemas
from events.local.apiserver.openapi import custom, paths
from events.local.apiserver.resources import CUSTOM_VERBS, SCALE, STATUS, Resource, Resources
from events.local.apiserver.validation import Kinds
from events.local.apiserver.validation.custom.structural import EMBEDDED, PRESERVE

CASES = Path(__file__).parents[1] / "conformance" / "cases" / "kubernetes" / "http.openapi.jsonl.gz"
KINDS = Kinds()
BUILTIN = Resources(kinds.builtin(KINDS))
HASH = re.compile(r"\?hash=[0-9A-F]{128}$")
VERSIONS = [(group, version) for group, versions in BUILTIN.groups().items() for version in versions]


def served(definition: dict[str, Any]) -> list[Resource]:
    spec = definition["spec"]
    return [
        Resource(
            kinds=KINDS,
            group=spec["group"],
            version=version["name"],
            plural=spec["names"]["plural"],
            kind=spec["names"]["kind"],
            list_kind=spec["names"].get("listKind", f"{spec['names']['kind']}List"),
            namespaced=spec["scope"] == "Namespaced",
            verbs=CUSTOM_VERBS,
            subresources=tuple(name for name in (SCALE, STATUS) if name in version.get("subresources", {})),
            storage=f"{spec['group']}/{spec['names']['plural']}",
            stored_version=version["name"],
            definition=definition,
        )
        for version in spec["versions"]
    ]


def definition(schema: Any, *, plural: str = "gears", scope: str = "Namespaced", **version: Any) -> dict[str, Any]:
    names = {"plural": plural, "kind": plural.removesuffix("s").capitalize()}
    shown = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
    spec = {"group": "turning.example.com", "scope": scope, "names": names, "versions": [shown]}
    return {"metadata": {"name": f"{plural}.turning.example.com"}, "spec": spec}


def with_definitions(*several: dict[str, Any]) -> Resources:
    found = Resources(kinds.builtin(KINDS))
    for one in several:
        found.define(one["metadata"]["name"], served(one))
    return found


def made(resources: Resources, group: str, version: str) -> dict[str, Any]:
    raw = openapi.document(resources, group, version)
    assert raw is not None
    found: dict[str, Any] = json.loads(raw)
    return found


def gear(schema: Any, **version: Any) -> dict[str, Any]:
    document = made(with_definitions(definition(schema, **version)), "turning.example.com", "v1")
    found: dict[str, Any] = document["components"]["schemas"]["com.example.turning.v1.Gear"]
    return found


def at(it: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        it = it.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(it, dict) else None
    return it


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], list[dict[str, Any]]]]:
    """Path, method, operation, and all parameters it takes."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, operation, [*item.get("parameters", []), *operation.get("parameters", [])]


# -- recorded


@pytest.mark.parametrize("case", list(read(CASES)), ids=lambda case: case.name)
def test_documents_say_what_a_real_server_says(case: Case) -> None:
    resources = with_definitions(*case.input.get("crds", []))
    for step, expected in zip(case.input["steps"], case.expect["steps"], strict=True):
        where = step["path"].removeprefix("/openapi/v3").strip("/").split("/")
        if where == [""]:
            found = openapi.index(resources)
        else:
            found = made(resources, "" if where[0] == "api" else where[1], where[-1])
        for pointer in step["pick"]:
            ours, theirs = at(found, pointer), expected["body"][pointer]
            if isinstance(theirs, dict) and "serverRelativeURL" in theirs:  # the hash is the server's own
                ours = {key: HASH.sub("", text) for key, text in ours.items()}
                theirs = {key: HASH.sub("", text) for key, text in theirs.items()}
            assert ours == theirs, pointer


# -- sound


@pytest.mark.parametrize(("group", "version"), VERSIONS)
def test_a_document_is_whole(group: str, version: str) -> None:
    document = made(BUILTIN, group, version)
    known = document["components"]["schemas"]
    assert set(schemas.references(document)) == set(known)
    seen = set()
    for path, _, operation, parameters in operations(document):
        assert operation["operationId"] not in seen
        seen.add(operation["operationId"])
        names = [(one["in"], one["name"]) for one in parameters]
        assert len(names) == len(set(names))
        assert {name for place, name in names if place == "path"} == set(re.findall(r"{(\w+)}", path))
    assert {schemas.PRESENCE} & set(_keys(known)) == set()


def _keys(it: Any) -> Iterator[str]:
    if isinstance(it, dict):
        yield from it
        for one in it.values():
            yield from _keys(one)
    elif isinstance(it, list):
        for one in it:
            yield from _keys(one)


@pytest.mark.parametrize(("group", "version"), VERSIONS)
def test_operations_are_called_as_clients_that_are_made_from_documents_call_them(group: str, version: str) -> None:
    for _, method, operation, _ in operations(made(BUILTIN, group, version)):
        name, _, tag_version = operation["tags"][0].partition("_")
        called = f"{name[0].upper()}{name[1:]}{tag_version.capitalize()}"
        assert called in operation["operationId"]
        own = operation["operationId"].replace(called, "", 1)
        api = getattr(kubernetes.client, f"{called}Api")
        assert own.lower() in {one.replace("_", "") for one in dir(api)}, (method, operation["operationId"])


def test_what_kubectl_looks_for_is_there() -> None:
    """Before it sends an object: whether the server checks fields, and which patches a kind takes."""
    for group, version in VERSIONS:
        document = made(BUILTIN, group, version)
        for resource in BUILTIN.in_version(group, version):
            own = {"group": group, "version": version, "kind": resource.kind}
            if "patch" not in resource.verbs:
                continue
            found = [
                (operation, {one["name"] for one in parameters})
                for _, method, operation, parameters in operations(document)
                if method == "patch" and operation[custom.GVK] == own
            ]
            assert found, resource
            for operation, names in found:
                assert names >= {"dryRun", "fieldManager", "fieldValidation", "force"}
                assert "application/strategic-merge-patch+json" in operation["requestBody"]["content"]
            name = KINDS.schemas.name_of(group, version, resource.kind)
            assert own in document["components"]["schemas"][name][custom.GVK]


def test_subresources_have_paths_with_their_own_kinds() -> None:
    document = made(BUILTIN, "", "v1")
    one = "/api/v1/namespaces/{namespace}/pods/{name}"
    eviction = document["paths"][f"{one}/eviction"]["post"]
    assert eviction[custom.GVK] == {"group": "policy", "version": "v1", "kind": "Eviction"}
    assert eviction["operationId"] == "createCoreV1NamespacedPodEviction"
    execution = document["paths"][f"{one}/exec"]
    assert [parameter["name"] for parameter in execution["parameters"]] == [
        *("command", "container", "name", "namespace", "stderr", "stdin", "stdout", "tty")
    ]
    assert execution["get"]["x-kubernetes-action"] == "connect"
    assert document["paths"][f"{one}/log"]["get"]["responses"]["200"]["content"] == {
        "text/plain": {"schema": {"type": "string"}}
    }
    assert f"{one}/proxy" not in document["paths"], "it is not served"
    scale = made(BUILTIN, "apps", "v1")["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]
    assert scale["put"]["requestBody"]["content"]["*/*"]["schema"] == {
        "$ref": "#/components/schemas/io.k8s.api.autoscaling.v1.Scale"
    }


def test_a_version_that_is_not_served_has_no_document() -> None:
    assert openapi.document(BUILTIN, "", "v2") is None
    assert openapi.document(BUILTIN, "turning.example.com", "v1") is None


# -- custom kinds


def test_a_cluster_wide_kind_has_no_paths_in_namespaces() -> None:
    it = definition({"type": "object"}, scope="Cluster")
    found = made(with_definitions(it), "turning.example.com", "v1")["paths"]
    assert list(found) == [f"/apis/turning.example.com/v1/gears{rest}" for rest in ("", "/{name}")]
    assert found["/apis/turning.example.com/v1/gears"]["get"]["operationId"] == "listTurningExampleComV1Gear"


def test_kinds_of_one_version_share_a_document() -> None:
    several = [definition({"type": "object"}, plural=plural) for plural in ("gears", "axles")]
    found = made(with_definitions(*several), "turning.example.com", "v1")["components"]["schemas"]
    assert {"com.example.turning.v1.Gear", "com.example.turning.v1.AxleList"} <= set(found)


def test_a_kind_without_a_schema_may_hold_anything() -> None:
    assert "properties" not in gear(None)


def test_what_says_nothing_is_left_out() -> None:
    spec = {
        "type": "object",
        "nullable": False,
        "title": "",
        "required": [],
        "example": {"a": 1},
        "externalDocs": {"url": "https://example.com"},
        "properties": {"on": {"type": "boolean", "default": False}, "least": {"type": "integer", "minimum": 0}},
    }
    found = gear({"type": "object", "properties": {"spec": spec}})["properties"]["spec"]
    assert found == {
        "type": "object",
        "properties": {"least": {"type": "integer", "minimum": 0}, "on": {"type": "boolean", "default": False}},
    }


def test_schemas_are_read_at_any_depth() -> None:
    spec = {
        "type": "object",
        "additionalProperties": {"type": "array", "items": {"type": "string", "example": "x"}},
        "anyOf": [{"required": ["a"], "example": 1}, {"not": {"required": ["b"], "example": 1}}],
        "x-kubernetes-validations": [{"rule": "true"}],
    }
    found = gear({"type": "object", "properties": {"spec": spec}})["properties"]["spec"]
    assert found == {
        "type": "object",
        "additionalProperties": {"type": "array", "items": {"type": "string"}},
        "anyOf": [{"required": ["a"]}, {"not": {"required": ["b"]}}],
        "x-kubernetes-validations": [{"rule": "true"}],
    }


def test_embedded_objects_are_objects() -> None:
    template = {"type": "object", "required": ["spec"], EMBEDDED: True, PRESERVE: True}
    found = gear({"type": "object", "properties": {"template": template}})["properties"]["template"]
    assert sorted(found["properties"]) == ["apiVersion", "kind", "metadata"]
    assert found["required"] == ["spec", "kind", "apiVersion"]


def test_fields_that_selectors_may_name_are_told() -> None:
    found = gear({"type": "object"}, selectableFields=[{"jsonPath": ".spec.teeth"}])
    assert found["x-kubernetes-selectable-fields"] == [{"fieldPath": ".spec.teeth"}]


def test_a_default_that_looks_like_a_reference_is_a_value() -> None:
    looks = {"$ref": "#/components/schemas/no.such.Thing"}
    spec = {"type": "object", PRESERVE: True, "default": looks}
    assert gear({"type": "object", "properties": {"spec": spec}})["properties"]["spec"]["default"] == looks


@pytest.mark.parametrize(
    ("group", "version", "expected"),
    [
        ("", "v1", ("CoreV1", "core_v1")),
        ("rbac.authorization.k8s.io", "v1", ("RbacAuthorizationV1", "rbacAuthorization_v1")),
        ("my-things.example.com", "v1beta1", ("MyThingsExampleComV1beta1", "myThingsExampleCom_v1beta1")),
    ],
)
def test_identifiers_are_made_of_groups(group: str, version: str, expected: tuple[str, str]) -> None:
    assert paths.names_of(group, version) == expected


# -- kept


def test_the_index_changes_with_what_a_document_says_and_with_nothing_else() -> None:
    one = definition({"type": "object"})
    resources = with_definitions(one)
    before = openapi.index(resources)["paths"]
    resources.define(one["metadata"]["name"], served({**one, "status": {"conditions": []}}))
    assert openapi.index(resources)["paths"] == before
    other = definition({"type": "object", "description": "It turns."})
    resources.define(one["metadata"]["name"], served(other))
    after = openapi.index(resources)["paths"]
    assert {path for path in after if after[path] != before[path]} == {"apis/turning.example.com/v1"}
    resources.forget(one["metadata"]["name"])
    assert set(before) - set(openapi.index(resources)["paths"]) == {"apis/turning.example.com/v1"}
    assert openapi.document(resources, "turning.example.com", "v1") is None


def test_a_document_is_made_anew_when_its_definition_changes() -> None:
    one = definition({"type": "object"})
    resources = with_definitions(one)
    before = openapi.document(resources, "turning.example.com", "v1")
    assert openapi.document(resources, "turning.example.com", "v1") == before
    resources.define(one["metadata"]["name"], served(definition({"type": "object", "description": "It turns."})))
    assert b"It turns." in (openapi.document(resources, "turning.example.com", "v1") or b"")


def test_documents_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openapi, "_MOST_KEPT", 2)
    resources = Resources(kinds.builtin(KINDS))
    for group, version in VERSIONS:
        made(resources, group, version)
    assert len(openapi._kept(resources)._packed) == 2


def test_nothing_holds_what_is_no_longer_served() -> None:
    one = definition({"type": "object"})
    resources = with_definitions(one)
    made(resources, "turning.example.com", "v1")
    found = resources.find("turning.example.com", "v1", "gears")
    assert found is not None
    gone, whole = weakref.ref(found), weakref.ref(resources)
    del found
    resources.forget(one["metadata"]["name"])
    gc.collect()
    assert gone() is None
    del resources
    gc.collect()
    assert whole() is None


def test_the_index_is_cheap() -> None:
    resources = with_definitions(*(definition({"type": "object"}, plural=f"gear{n}s") for n in range(200)))
    openapi.index(resources)
    started = time.process_time()
    for _ in range(100):
        openapi.index(resources)
    assert time.process_time() - started < 2  # typically 0.1


# -- v2


def test_the_v2_document_is_empty_but_valid() -> None:
    fields = dict(_fields(openapi.V2_PROTOBUF))
    assert fields[1] == b"2.0"
    info = dict(_fields(fields[2]))
    assert info == {1: b"Kubernetes", 2: json.loads(openapi.V2_JSON)["info"]["version"].encode()}
    assert json.loads(openapi.V2_JSON)["paths"] == {}


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a short protobuf message."""
    while message:
        key, length = message[0], message[1]
        assert key & 7 == 2
        assert length < 128
        assert len(message) >= 2 + length
        yield key >> 3, message[2 : 2 + length]
        message = message[2 + length :]
