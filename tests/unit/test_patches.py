"""JSON patch, merge patch, strategic merge patch: what they do, and that they fail only with our refusals."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.kubernetes_values import NODE, anything, objects, resolve

from events.local.apiserver.patches import documents, json_patch, merge_patch, strategic, strategic_diff
from events.local.apiserver.status import StatusError

DOCUMENT = {"a": {"b": [1, 2, 3], "x/y": "1", "m~n": 2}, "n": None}


def operations(*found: dict[str, Any]) -> list[dict[str, Any]]:
    return json_patch.decode(json.dumps(found).encode())[0]


@pytest.mark.parametrize(
    ("operation", "pointer", "value"),
    [
        ({"op": "add", "path": "/a/b/-", "value": 4}, ("a", "b"), [1, 2, 3, 4]),
        ({"op": "add", "path": "/a/b/0", "value": 0}, ("a", "b"), [0, 1, 2, 3]),
        ({"op": "add", "path": "/a/b/-1", "value": 4}, ("a", "b"), [1, 2, 3, 4]),
        ({"op": "remove", "path": "/a/b/-1"}, ("a", "b"), [1, 2]),
        ({"op": "replace", "path": "/a/b/1", "value": "two"}, ("a", "b"), [1, "two", 3]),
        ({"op": "replace", "path": "/a/x~1y", "value": "2"}, ("a", "x/y"), "2"),
        ({"op": "replace", "path": "/a/m~0n", "value": 3}, ("a", "m~n"), 3),
        ({"op": "move", "from": "/a/b/0", "path": "/a/b/2"}, ("a", "b"), [2, 3, 1]),
        ({"op": "copy", "from": "/a/b", "path": "/c"}, ("c",), [1, 2, 3]),
        ({"op": "add", "path": "/c"}, ("c",), None),
        ({"op": "test", "path": "/gone", "value": None}, ("n",), None),
        ({"op": "replace", "path": "", "value": {"z": 1}}, ("z",), 1),
    ],
)
def test_an_operation_changes_the_document(operation: dict[str, Any], pointer: tuple[Any, ...], value: Any) -> None:
    before = copy.deepcopy(DOCUMENT)
    found: Any = json_patch.apply(DOCUMENT, operations(operation))
    for key in pointer:
        found = found[key]
    assert found == value
    assert before == DOCUMENT


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "frob", "path": "/a"},
        {"path": "/a"},
        {"op": "add", "value": 1},
        {"op": "remove", "path": "/zz"},
        {"op": "remove", "path": "/a/b/9"},
        {"op": "add", "path": "/a/b/4", "value": 1},
        {"op": "add", "path": "/a/b/one", "value": 1},
        {"op": "replace", "path": "/zz", "value": 1},
        {"op": "add", "path": "/n/x", "value": 1},
        {"op": "add", "path": "/a/x~1y/z", "value": 1},
        {"op": "test", "path": "/a/b/0", "value": True},
        {"op": "move", "path": "/a"},
        {"op": "replace", "path": "", "value": 5},
    ],
)
def test_an_operation_that_does_not_fit_is_one_refusal_without_details(operation: dict[str, Any]) -> None:
    with pytest.raises(StatusError) as caught:
        json_patch.apply(DOCUMENT, operations(operation))
    refusal = caught.value
    assert (refusal.code, refusal.reason) == (422, "Invalid")
    assert refusal.message == "the server rejected our request due to an error in our request"


def test_all_operations_are_done_or_none() -> None:
    document = {"a": [1]}
    with pytest.raises(StatusError):
        json_patch.apply(
            document, operations({"op": "add", "path": "/a/-", "value": 2}, {"op": "remove", "path": "/b"})
        )
    assert document == {"a": [1]}


def test_a_copied_value_is_its_own() -> None:
    patch = operations(
        {"op": "copy", "from": "/a", "path": "/c"},
        {"op": "add", "path": "/c/b/-", "value": 9},
        {"op": "remove", "path": "/a/b"},
    )
    assert json_patch.apply({"a": {"b": [1]}}, patch) == {"a": {}, "c": {"b": [1, 9]}}


def test_copies_are_bounded() -> None:
    """A document that doubles with every operation is refused before it fills the memory."""
    double = [{"op": "copy", "from": "/a", "path": "/a/b"}, {"op": "copy", "from": "/a", "path": "/a/c"}] * 40
    with pytest.raises(StatusError, match="rejected"):
        json_patch.apply({"a": {"x": "y" * 1000}}, double)


def test_operations_are_bounded() -> None:
    many = json.dumps([{"op": "test", "path": "/a", "value": 1}] * 10_001).encode()
    with pytest.raises(StatusError) as caught:
        json_patch.decode(many)
    assert caught.value.code == 413
    most = "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    assert caught.value.message == most


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "unexpected end of JSON input"),
        (b"[{", "unexpected end of JSON input"),
        (b'{"a', "unexpected end of JSON input"),
        (b"tru", "unexpected end of JSON input"),
        (b"x", "invalid character 'x' looking for beginning of value"),
        (b"trux", "invalid character 'x' in literal true (expecting 'e')"),
        (b"{a:1}", "invalid character 'a' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        (b'{"a":[1 2]}', "invalid character '2' after array element"),
        (b"{} x", "invalid character 'x' after top-level value"),
        (b'{"a":"\n"}', r"invalid character '\n' in string literal"),
        (b'{"a":"\\q"}', "invalid character 'q' in string escape code"),
        (b"NaN", "invalid character 'N' looking for beginning of value"),
        (b"[" * 100_000, "exceeded max depth"),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "exceeded max depth"),
    ],
)
def test_what_is_no_json_is_said_as_the_real_server_says_it(body: bytes, text: str) -> None:
    with pytest.raises(StatusError) as caught:
        merge_patch.decode(body)
    assert (caught.value.code, caught.value.message) == (400, f"error decoding patch: {text}")


def test_a_patch_of_the_wrong_kind_is_refused() -> None:
    unfit = "json: cannot unmarshal {} into Go value of type {}"
    for decode, body, text in [
        (merge_patch.decode, b"[]", "error decoding patch: " + unfit.format("array", "map[string]interface {}")),
        (json_patch.decode, b"{}", "error decoding patch: " + unfit.format("object", "[]handlers.jsonPatchOp")),
        (strategic.decode, b'"x"', unfit.format("string", "map[string]interface {}")),
    ]:
        with pytest.raises(StatusError) as caught:
            decode(body)
        assert caught.value.message == text


def test_fields_that_are_there_twice_or_unknown_are_warned_about() -> None:
    assert merge_patch.decode(b'{"a":{"b":1,"b":2},"l":[{"c":1,"c":1}]}')[1] == [
        'duplicate field "a.b"',
        'duplicate field "l[0].c"',
    ]
    assert json_patch.decode(b'[{"op":"add","path":"/a","value":1,"extra":1}]')[1] == [
        'json patch unknown field "[0].extra"'
    ]


def test_a_patched_object_that_is_none_of_its_kind_is_a_cause() -> None:
    refusal = documents.unusable({"a": 1}, "json: no")
    assert refusal.code == 422
    assert refusal.message == ' "" is invalid: patch: Invalid value: "{\\"a\\":1}": json: no'
    assert refusal.details == {
        "causes": [
            {"reason": "FieldValueInvalid", "message": 'Invalid value: "{\\"a\\":1}": json: no', "field": "patch"}
        ]
    }


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ],
)
def test_merge_patches_are_those_of_the_rfc(document: Any, patch: Any, result: Any) -> None:
    assert merge_patch.apply(document, patch) == result


@settings(deadline=None)
@given(
    anything,
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
                "path": st.sampled_from(["", "/", "/a", "/a/b", "/a/0", "/a/-", "/b/-1", "/a/~1", "x"]),
                "from": st.sampled_from(["/a", "/a/b", "/b/0", ""]),
                "value": anything,
            },
        ),
        max_size=6,
    ),
)
def test_json_patch_fails_only_with_a_refusal_and_changes_nothing_given(
    document: Any, patch: list[dict[str, Any]]
) -> None:
    before = copy.deepcopy((document, patch))
    with suppress(StatusError):
        json_patch.apply(document, patch)
    assert before == (document, patch)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=3), anything), st.dictionaries(st.text(max_size=3), anything))
def test_a_merge_patch_twice_is_a_merge_patch_once(document: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge_patch.apply(document, patch)
    twice = merge_patch.apply(once, patch)
    assert merge_patch.without_nulls(twice) == merge_patch.without_nulls(once)  # nulls in lists stay the first time


@settings(deadline=None)
@given(objects, objects)
def test_the_patch_from_one_object_to_another_makes_the_other(
    original: dict[str, Any], modified: dict[str, Any]
) -> None:
    before = copy.deepcopy((original, modified))
    patch = strategic_diff.two_way(original, modified, NODE, resolve)
    assert strategic.apply(original, patch, NODE, resolve) == modified
    assert before == (original, modified)


@settings(deadline=None)
@given(objects, objects, objects)
def test_a_three_way_patch_brings_what_was_asked_for(
    original: dict[str, Any], modified: dict[str, Any], current: dict[str, Any]
) -> None:
    patch = strategic_diff.three_way(original, modified, current, NODE, resolve)
    result = plain(strategic.apply(current, patch, NODE, resolve))
    assert holds(result, modified)
    again = strategic_diff.three_way(modified, modified, result, NODE, resolve)
    assert strategic.apply(result, again, NODE, resolve) == result


def plain(value: Any) -> Any:
    """Without directives of parts that were not there before: like a real server's they stay, and are no fields."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if not key.startswith("$")}
    return [plain(item) for item in value] if isinstance(value, list) else value


def holds(result: Any, wanted: Any) -> bool:
    """Whether everything wanted is there; others may have added to it."""
    if isinstance(wanted, dict):
        return isinstance(result, dict) and all(
            key in result and holds(result[key], item) for key, item in wanted.items()
        )
    if isinstance(wanted, list):
        return all(any(holds(one, item) for one in result) for item in wanted)
    return bool(result == wanted)


DIRECTIVES = st.dictionaries(
    st.sampled_from(
        [
            "$patch",
            "$retainKeys",
            "$setElementOrder/items",
            "$setElementOrder/set",
            "$deleteFromPrimitiveList/set",
            "$setElementOrder/",
            "$deleteFromPrimitiveList",
            "items",
            "set",
            "map",
            "either",
            "whole",
            "size",
            "bogus",
        ]
    ),
    anything
    | st.sampled_from(["replace", "delete", "merge"])
    | st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from("abc"),
                "$patch": st.sampled_from(["delete", "replace", "merge", "x"]),
                "ports": anything,
            },
        ),
        max_size=3,
    ),
    max_size=5,
)


@settings(deadline=None)
@given(objects, DIRECTIVES)
def test_strategic_patches_fail_only_with_a_refusal_and_change_nothing_given(
    document: dict[str, Any], patch: dict[str, Any]
) -> None:
    before = copy.deepcopy((document, patch))
    with suppress(StatusError):
        strategic.apply(document, {"spec": patch}, NODE, resolve)
    assert before == (document, patch)


NO_KEY = "map: map[value:x] does not contain declared merge key: name"
UNKNOWN_DIRECTIVE = "unknown patch type: explode in map: map[$patch:explode name:a]"


@pytest.mark.parametrize(
    ("spec", "patch", "text"),
    [
        ({"items": [{"name": "a"}]}, {"items": [{"value": "x"}]}, NO_KEY),
        ({"items": [{"name": "a"}]}, {"items": [{"$patch": "explode", "name": "a"}]}, UNKNOWN_DIRECTIVE),
        (
            {"items": [{"name": "a"}]},
            {"items": [{"$patch": "merge"}]},
            "merging lists cannot yet be specified in the patch",
        ),
        ({"either": {"a": "1"}}, {"either": {"$retainKeys": ["a"], "b": "2"}}, "invalid patch format of retainKeys"),
        ({"bogus": {"a": 1}}, {"bogus": {"b": 2}}, 'for the json field "bogus"'),
        ({"set": ["a"]}, {"$setElementOrder": ["a"]}, "invalid patch format of setElementOrder list"),
        ({"set": ["a"]}, {"$deleteFromPrimitiveList": ["a"]}, "invalid patch format of primitive list"),
        ({"set": ["a"]}, {"set": ["b", 1]}, "list element types are not identical: [[a] [b 1]]"),
    ],
)
def test_refusals_of_strategic_patches_have_the_real_servers_texts(spec: Any, patch: Any, text: str) -> None:
    with pytest.raises(StatusError) as caught:
        strategic.apply({"spec": spec}, {"spec": patch}, NODE, resolve)
    assert text in caught.value.message
    assert caught.value.code == 400


def test_a_new_element_takes_the_place_that_a_deleted_one_left() -> None:
    """As in real servers, whose `kubectl apply` after a rename leaves injected elements first."""
    before = {"spec": {"items": [{"name": "main"}, {"name": "side"}, {"name": "injected"}]}}
    changes = {
        "$setElementOrder/items": [{"name": "renamed"}, {"name": "side"}],
        "items": [{"name": "renamed"}, {"name": "main", "$patch": "delete"}],
    }
    after = strategic.apply(before, {"spec": changes}, NODE, resolve)
    assert [item["name"] for item in after["spec"]["items"]] == ["injected", "renamed", "side"]
