"""Custom resources: the recorded answers of a real server to what was posted, and what the cases do not show."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conformance.core import Case, read
from hypothesis import given, settings
from hypothesis import strategies as st

from events.local.apiserver.validation import DecodeError, Kinds
from events.local.apiserver.validation.builtin.prepare import prepare_in_place
from events.local.apiserver.validation.custom import accepting, columns, resources, scale
from events.local.apiserver.validation.custom.kind import CustomKind

CASES = Path(__file__).parents[1] / "conformance" / "cases" / "kubernetes" / "http.crd.jsonl.gz"
KINDS = Kinds()
DEFINITIONS = KINDS.builtin("apiextensions.k8s.io", "v1", "CustomResourceDefinition", namespaced=False)
NOW = "2021-01-01T00:00:00Z"


def defined(body: dict[str, Any]) -> dict[str, Any]:
    it = DEFINITIONS.decode(body).object
    prepare_in_place("apiextensions.k8s.io", "CustomResourceDefinition", it)
    return it


def widget(schema: dict[str, Any], **version: Any) -> CustomKind:
    body = {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
            ],
        },
    }
    it = defined(body)
    assert DEFINITIONS.created(it) == []
    return KINDS.custom(it, "v1")


def spec_of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}


def an(spec: Any) -> dict[str, Any]:
    meta = {"name": "w", "namespace": "d"}
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": meta, "spec": spec}


def judged(kind: CustomKind, spec: Any, old: Any = None) -> list[str]:
    it = kind.decode(an(spec)).object
    if old is None:
        found = kind.created(it)
    else:
        before = kind.decode(an(old)).object
        for one in (it, before):
            one["metadata"]["resourceVersion"] = "1"
        found = kind.updated(it, before)
    return [f"{cause['field']}: {cause['message']}" for cause in found]


def posts(case: Case) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """What was sent, whole, and what was answered."""
    for step, answer in zip(case.input["steps"], case.expect["steps"], strict=True):
        body = step.get("body")
        if step.get("method") == "POST" and isinstance(body, dict) and answer.get("status") in (201, 422):
            yield body, answer


def key(cause: dict[str, str]) -> tuple[str, str]:
    return cause["field"], cause["message"]


@pytest.mark.parametrize("case", list(read(CASES)), ids=lambda case: case.name)
def test_posted_objects_are_judged_as_a_real_server_judged_them(case: Case) -> None:
    kinds: dict[str, CustomKind] = {}

    def serve(body: dict[str, Any]) -> None:
        it = defined(body)
        for version in it["spec"]["versions"]:
            kinds[f"{it['spec']['group']}/{version['name']}"] = KINDS.custom(it, version["name"])

    for body in case.input.get("crds", ()):
        serve(body)
    for body, answer in posts(case):
        if body["kind"] == "CustomResourceDefinition":
            it, kind = defined(body), DEFINITIONS
            found = DEFINITIONS.created(it)
            if not found:
                serve(body)
        elif body.get("apiVersion") in kinds and "metadata" in body and "probe" not in body["metadata"].get("name", ""):
            kind = kinds[body["apiVersion"]]
            it = kind.decode(body).object
            namespace = {"namespace": "d"} if kind.namespaced else {}
            it["metadata"] = {"name": "generated", **it["metadata"], **namespace}
            if not kind.namespaced:
                it["metadata"].pop("namespace", None)
            found = kind.created(it)
        else:
            continue
        expected = (answer["body"].get("details") or {}).get("causes") or [] if answer["status"] == 422 else []
        assert sorted(found, key=key) == sorted(expected, key=key)
        if not found and len(it.get("spec", {}).get("versions", [1])) == 1 and len(kinds) < 2:
            assert it.get("spec") == answer["body"].get("spec")


def test_names_are_accepted_unless_another_has_them() -> None:
    first = defined(BODY)
    first["status"] = accepting.status(first, [], NOW)
    assert [(one["type"], one["status"], one["reason"]) for one in first["status"]["conditions"]] == [
        ("NamesAccepted", "True", "NoConflicts"),
        ("Established", "True", "InitialNamesAccepted"),
    ]
    assert first["status"]["acceptedNames"] == {
        "plural": "widgets",
        "singular": "widget",
        "kind": "Widget",
        "listKind": "WidgetList",
    }
    assert accepting.is_served(first)
    other = copy.deepcopy(BODY)
    other["metadata"]["name"], other["spec"]["names"]["plural"] = "gizmos.example.com", "gizmos"
    second = defined(other)
    second["status"] = accepting.status(second, [first], NOW)
    assert [one["reason"] for one in second["status"]["conditions"]] == ["ListKindConflict", "NotAccepted"]
    assert not accepting.is_served(second)
    assert accepting.status(first, [first, second], "2022-01-01T00:00:00Z") == first["status"]


BODY: dict[str, Any] = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}


def test_a_definition_serves_its_versions_the_preferred_first() -> None:
    body = copy.deepcopy(BODY)
    one = body["spec"]["versions"][0]
    body["spec"]["versions"] = [
        {**one, "name": "v1alpha1", "storage": False, "served": False},
        {**one, "name": "v1beta1", "storage": False, "deprecated": True},
        {**one, "name": "v2beta1", "storage": False, "deprecated": True, "deprecationWarning": "old"},
        {**one, "subresources": {"status": {}}},
    ]
    it = defined(body)
    assert resources.served(it) == []
    it["status"] = accepting.status(it, [], NOW)
    found = resources.served(it)
    assert [(one.version, one.is_stored, one.has_status, one.deprecation) for one in found] == [
        ("v1", True, True, None),
        ("v2beta1", False, False, "old"),
        ("v1beta1", False, False, "example.com/v1beta1 Widget is deprecated"),
    ]
    assert resources.stored_version(it) == "v1"


def test_an_object_of_another_version_is_converted_by_leaving_out() -> None:
    kind = widget(spec_of(a={"type": "string"}))
    other = {**an({"a": "1", "b": "2"}), "apiVersion": "example.com/v2"}
    assert kind.converted(other)["spec"] == {"a": "1"}
    assert kind.converted(other)["apiVersion"] == "example.com/v1"
    assert other["spec"] == {"a": "1", "b": "2"}


def test_what_did_not_change_is_not_complained_about() -> None:
    kind = widget(
        spec_of(
            a={"type": "integer", "maximum": 3},
            b={"type": "integer"},
            c={"type": "string", "x-kubernetes-validations": [{"rule": "self.size() < 3"}]},
            items={
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k"],
                "items": {
                    "type": "object",
                    "required": ["k"],
                    "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 3}},
                },
            },
        )
    )
    old = {"a": 5, "b": 1, "c": "long", "items": [{"k": "x", "v": 9}]}
    assert judged(kind, {**old, "b": 2}, old) == []
    assert judged(kind, {**old, "items": [{"k": "y", "v": 1}, {"k": "x", "v": 9}]}, old) == []
    assert judged(kind, {**old, "a": 6}, old) == [
        "spec.a: Invalid value: 6: spec.a in body should be less than or equal to 3"
    ]
    assert judged(kind, {**old, "items": [{"k": "x", "v": 8}]}, old) == [
        "spec.items[0].v: Invalid value: 8: spec.items[0].v in body should be less than or equal to 3"
    ]


def test_rules_about_a_change_see_what_was() -> None:
    kind = widget(
        spec_of(
            n={"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "only up"}]},
            o={
                "type": "integer",
                "x-kubernetes-validations": [{"rule": "oldSelf.hasValue() || self == 0", "optionalOldSelf": True}],
            },
        )
    )
    assert judged(kind, {"n": 1}, {"n": 2}) == ["spec.n: Invalid value: 1: only up"]
    assert judged(kind, {"n": 3}, {"n": 2}) == []
    assert judged(kind, {"n": 1}) == []
    assert judged(kind, {"o": 1}) == ["spec.o: Invalid value: 1: failed rule: oldSelf.hasValue() || self == 0"]
    assert judged(kind, {"o": 1}, {"o": 0}) == []


def test_rules_wait_until_types_are_right() -> None:
    rule = {"rule": "self.a > 1", "message": "more"}
    kind = widget(
        {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "required": ["b"],
                    "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
                    "x-kubernetes-validations": [rule],
                }
            },
        }
    )
    found = judged(kind, {"a": 1})
    assert found[0] == "spec.b: Required value"
    assert found[1].startswith("<nil>: Invalid value: null: some validation rules were not checked")


def test_a_rule_that_takes_too_long_is_stopped() -> None:
    limited = {"type": "array", "maxItems": 3000, "items": {"type": "integer"}}
    rule = {"rule": "self.all(a, self.all(b, a + b >= 0))"}
    kind = widget(spec_of(l={**limited, "x-kubernetes-validations": [rule]}))
    (found,) = judged(kind, {"l": list(range(3000))})
    assert "call cost exceeds limit" in found


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("date", "2021-02-03", "2021-13-01"),
        ("ipv4", "1.2.3.4", "::1"),
        ("ipv6", "::1", "1.2.3.4"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("uuid", "c56a4180-65aa-42ec-a945-5fd21dec0538", "c56a"),
        ("email", "a@b.c", "a b"),
        ("hostname", "a.b-c", "a_b!"),
        ("uri", "https://a/b", "a b"),
        ("duration", "1h30m", "soon"),
        ("mac", "00:1b:63:84:45:e6", "00:1b"),
    ],
)
def test_formats_of_texts_are_looked_at(form: str, good: str, bad: str) -> None:
    kind = widget(spec_of(a={"type": "string", "format": form}))
    assert judged(kind, {"a": good}) == []
    assert judged(kind, {"a": bad}) == [
        f'spec.a: Invalid value: "{bad}": spec.a in body must be of type {form}: "{bad}"'
    ]


@pytest.mark.parametrize(
    ("node", "bad", "says"),
    [
        (
            {"x-kubernetes-list-type": "set", "type": "array", "items": {"type": "string"}},
            ["a", "b", "a"],
            ['spec.a[2]: Duplicate value: "a"'],
        ),
        (
            {"type": "string", "allOf": [{"minLength": 2}, {"pattern": "^x"}]},
            "y",
            [
                'spec.a: Invalid value: "y": spec.a in body should be at least 2 chars long',
                "spec.a: Invalid value: \"y\": spec.a in body should match '^x'",
                '<nil>: Invalid value: "": "spec.a" must validate all the schemas (allOf). None validated',
            ],
        ),
        (
            {"type": "integer", "not": {"minimum": 5}},
            7,
            ['<nil>: Invalid value: "": "spec.a" must not validate the schema (not)'],
        ),
    ],
)
def test_lists_and_combinations(node: dict[str, Any], bad: Any, says: list[str]) -> None:
    assert judged(widget(spec_of(a=node)), {"a": bad}) == says


def test_scale_is_read_and_written() -> None:
    paths = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.n", "labelSelectorPath": ".status.s"}
    it = {**an({"replicas": 2}), "status": {"n": 1, "s": "a=b"}}
    found = scale.read(it, paths)
    assert (found["spec"], found["status"]) == ({"replicas": 2}, {"replicas": 1, "selector": "a=b"})
    assert scale.write(it, 5, paths)["spec"] == {"replicas": 5}
    assert it["spec"] == {"replicas": 2}
    with pytest.raises(scale.ScaleError, match="does not exist"):
        scale.read(an({}), paths)


@pytest.mark.parametrize(
    ("where", "kind", "expected"),
    [
        (".spec.n", "integer", 3),
        (".spec.n", "string", "3"),
        (".spec.f", "integer", 1),
        (".spec.zz", "string", None),
        (".spec.l[1].a", "string", "y"),
        (".spec.l[*].a", "string", "x"),
        ('.spec.l[?(@.a=="y")].b', "integer", 2),
        (".spec.l", "string", '[{"a":"x","b":1},{"a":"y","b":2}]'),
        (r".metadata.labels.a\.b/c", "string", "v"),
        (".spec.ok", "boolean", True),
        (".spec.ok", "integer", None),
        (".spec[", "string", None),
    ],
)
def test_a_cell_shows_what_is_at_its_path(where: str, kind: str, expected: Any) -> None:
    it = {
        "metadata": {"labels": {"a.b/c": "v"}},
        "spec": {"n": 3, "f": 1.5, "ok": True, "l": [{"a": "x", "b": 1}, {"a": "y", "b": 2}]},
    }
    assert columns.cell(it, {"jsonPath": where, "type": kind}) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcsln"), inner, max_size=3),
    max_leaves=10,
)
KIND = widget(
    spec_of(
        a={"type": "string", "default": "d"},
        b={"type": "array", "items": {"type": "object", "properties": {"a": {"type": "integer", "default": 1}}}},
        c={"type": "object", "additionalProperties": {"type": "string", "nullable": True}},
        s={"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        l={"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        n={"x-kubernetes-int-or-string": True},
    )
)


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_reading_twice_is_reading_once(spec: Any) -> None:
    first = KIND.decode(an(spec))
    second = KIND.decode(first.object)
    assert second.object == first.object
    assert second.unknown == []
    KIND.created(first.object)


@pytest.mark.parametrize(
    ("given", "kept"), [(1.0, 1), (1e20, 1e20), (2**63, 2.0**63), (-(2**63), -(2**63)), (0.5, 0.5)]
)
def test_numbers_are_kept_as_json_in_go_keeps_them(given: float, kept: float) -> None:
    found = KIND.decode(an({"s": {"x": given}})).object["spec"]["s"]["x"]
    assert (found, type(found)) == (kept, type(kept))


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_number_that_nothing_can_hold_is_refused(digits: int) -> None:
    number = 10**digits
    with pytest.raises(DecodeError, match="cannot unmarshal number"):
        KIND.decode(an({"s": {"x": number}}))
    with pytest.raises(DecodeError, match="cannot unmarshal number"):
        KINDS.builtin("apps", "v1", "Deployment", namespaced=True).decode({"spec": {"replicas": number}})


def test_metadata_of_another_type_is_refused() -> None:
    with pytest.raises(DecodeError, match=r"Go struct field ObjectMeta\.labels of type string"):
        KIND.decode({"metadata": {"labels": {"a": 5}}})
