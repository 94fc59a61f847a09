"""Field management: who owns what after writes and applies."""

from __future__ import annotations

import copy
import json
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.kubernetes_values import API_VERSION, KIND, NODE, anything, items, objects, paths_of, resolve

from events.local.apiserver.managed import entries, fieldsets, reset, scale, tracking
from events.local.apiserver.managed.comparing import compare
from events.local.apiserver.managed.types import Compiler
from events.local.apiserver.schemas import Schemas
from events.local.apiserver.status import StatusError

NOW = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)
TYPE = Compiler(resolve).root(NODE)


def kind(*, is_custom: bool = False, **nodes: Any) -> tracking.Kind:
    return tracking.Kind(KIND, nodes or {API_VERSION: NODE}, resolve, is_custom=is_custom)


def writer(manager: str, seconds: int = 0, **more: Any) -> tracking.Writer:
    version = more.pop("api_version", API_VERSION)
    return tracking.Writer(manager, version, NOW + timedelta(seconds=seconds), **more)


def widget(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": "w"}, "spec": spec}


def stored(value: dict[str, Any]) -> dict[str, Any]:
    return {**value, "metadata": {**value["metadata"], "uid": "u"}}


def owners(value: dict[str, Any]) -> dict[str, list[str]]:
    """Paths by manager, as messages show them."""
    found = value["metadata"].get("managedFields", [])
    return {entry["manager"]: list(fieldsets.paths(entry["fieldsV1"])) for entry in found}


# Plain writes


def test_a_created_object_belongs_to_its_creator() -> None:
    made = tracking.create(widget(size="s", items=[{"name": "a"}]), kind(), writer("me"))
    (entry,) = made["metadata"]["managedFields"]
    assert entry == {
        "manager": "me",
        "operation": "Update",
        "apiVersion": API_VERSION,
        "time": "2024-05-01T12:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:spec": {
                ".": {},
                "f:items": {".": {}, 'k:{"name":"a"}': {".": {}, "f:name": {}}},
                "f:size": {},
            }
        },
    }


def test_fields_that_are_always_there_are_set_by_nobody() -> None:
    made = tracking.create(
        widget(size="s"), tracking.Kind(KIND, {API_VERSION: NODE}, resolve, empty={"spec": {}}), writer("me")
    )
    assert made["metadata"]["managedFields"][0]["fieldsV1"] == {"f:spec": {"f:size": {}}}


def test_an_update_takes_over_what_it_changed_and_nothing_else() -> None:
    live = stored(tracking.create(widget(size="s", count=1), kind(), writer("one")))
    changed = copy.deepcopy(live)
    changed["spec"] |= {"size": "m", "map": {"a": "b"}}
    made = tracking.update(live, changed, kind(), writer("two", 5))
    assert owners(made) == {"one": [".spec", ".spec.count"], "two": [".spec.map", ".spec.size", ".spec.map.a"]}
    assert [entry["time"][-3:] for entry in made["metadata"]["managedFields"]] == ["00Z", "05Z"]


def test_a_removed_field_belongs_to_nobody() -> None:
    live = stored(tracking.create(widget(size="s", count=1), kind(), writer("one")))
    changed = copy.deepcopy(live)
    del changed["spec"]["count"]
    assert owners(tracking.update(live, changed, kind(), writer("two"))) == {"one": [".spec", ".spec.size"]}


def test_a_write_that_changes_nothing_leaves_the_entries_alone() -> None:
    live = stored(tracking.create(widget(size="s"), kind(), writer("one")))
    made = tracking.update(live, copy.deepcopy(live), kind(), writer("two", 60))
    assert made == live
    assert tracking.settle(live, made) == live


def test_the_same_write_again_keeps_the_time() -> None:
    live = stored(tracking.create(widget(size="s"), kind(), writer("one")))
    later = copy.deepcopy(live)
    later["metadata"]["managedFields"][0]["time"] = "2030-01-01T00:00:00Z"
    assert tracking.settle(live, later)["metadata"]["managedFields"] == live["metadata"]["managedFields"]
    later["spec"]["size"] = "m"
    assert tracking.settle(live, later) is later


@pytest.mark.parametrize("reset_by", [[], [{}]])
def test_entries_can_be_cleared_and_come_back_with_the_first_apply(reset_by: list[Any]) -> None:
    live = stored(tracking.create(widget(size="s"), kind(), writer("one")))
    cleared = copy.deepcopy(live)
    cleared["metadata"]["managedFields"] = reset_by
    cleared = tracking.update(live, cleared, kind(), writer("one"))
    assert "managedFields" not in cleared["metadata"]
    changed = {**cleared, "spec": {"size": "m"}}
    assert "managedFields" not in tracking.update(cleared, changed, kind(), writer("two"))["metadata"]
    applied = tracking.apply(changed, widget(count=2), kind(), writer("three"))
    assert owners(applied) == {"three": [".spec.count"], "before-first-apply": [".spec", ".spec.size"]}


BAD_FIELDS = {"operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"x": {}}}


@pytest.mark.parametrize(
    "bad", [[{"manager": "x", "operation": "Bad"}], "x", [5], [{"operation": "Update"}], [BAD_FIELDS]]
)
def test_entries_that_are_none_are_ignored(bad: Any) -> None:
    live = stored(tracking.create(widget(size="s"), kind(), writer("one")))
    broken = copy.deepcopy(live)
    broken["metadata"]["managedFields"] = bad
    assert tracking.update(live, broken, kind(), writer("two")) == live


def test_entries_sent_through_a_subresource_do_not_count() -> None:
    live = stored(tracking.create(widget(size="s"), kind(), writer("one")))
    sent = {**copy.deepcopy(live), "status": {"count": 1}}
    sent["metadata"]["managedFields"] = [{}]
    made = tracking.update(
        live, sent, kind(), writer("ctl", subresource="status", reset=reset.fields("", KIND, "status"))
    )
    assert owners(made) == {"one": [".spec", ".spec.size"], "ctl": [".status", ".status.count"]}
    assert [entry.get("subresource") for entry in made["metadata"]["managedFields"]] == ["status", None]


def test_what_an_endpoint_does_not_store_is_not_owned_through_it() -> None:
    made = tracking.create(
        {**widget(size="s"), "status": {"count": 1}}, kind(), writer("one", reset=reset.fields("", KIND))
    )
    assert owners(made) == {"one": [".spec", ".spec.size"]}
    through_status = writer("ctl", subresource="status", reset=reset.fields("g", KIND, "status", is_custom=True))
    changed = stored({**widget(size="other"), "status": {"count": 2}})
    changed["metadata"]["labels"] = {"a": "b"}
    assert owners(tracking.update(stored(made), changed, kind(), through_status))["ctl"] == [".status.count"]


def test_a_change_of_type_takes_the_whole_field() -> None:
    free = kind(**{API_VERSION: {"type": "object", "x-kubernetes-preserve-unknown-fields": True}})
    live = stored(tracking.create(widget(any={"a": "1"}), free, writer("one")))
    made = tracking.update(live, {**live, "spec": {"any": "text"}}, free, writer("two"))
    assert owners(made) == {"one": [".spec"], "two": [".spec.any"]}


def test_old_updates_are_put_together() -> None:
    live = stored(tracking.create(widget(), kind(), writer("u0")))
    for number in range(1, 15):
        changed = copy.deepcopy(live)
        changed["metadata"].setdefault("labels", {})[f"l{number}"] = "1"
        live = tracking.update(live, changed, kind(), writer(f"u{number}", number))
    found = owners(live)
    assert len(found) == entries.MOST_UPDATERS
    assert set(found["ancient-changes"]) >= {".spec", ".metadata.labels.l1"}
    assert sorted(path for paths in found.values() for path in paths) == sorted(
        [".spec", ".metadata.labels", *(f".metadata.labels.l{number}" for number in range(1, 15))]
    )


# Server-side apply


def test_an_apply_owns_what_it_names_and_gives_up_what_it_does_not() -> None:
    first = tracking.apply(None, widget(size="s", map={"a": "1", "b": "2"}), kind(), writer("m1"))
    assert owners(first) == {"m1": [".spec.size", ".spec.map.a", ".spec.map.b"]}
    second = tracking.apply(stored(first), widget(map={"a": "1"}), kind(), writer("m1", 1))
    assert second["spec"] == {"map": {"a": "1"}}
    assert owners(second) == {"m1": [".spec.map.a"]}


def test_a_shared_field_stays_until_the_last_one_gives_it_up() -> None:
    live = stored(tracking.apply(None, widget(size="s"), kind(), writer("m1")))
    live = tracking.apply(live, widget(size="s"), kind(), writer("m2"))
    live = tracking.apply(live, widget(), kind(), writer("m1"))
    assert live["spec"] == {"size": "s"}
    assert tracking.apply(live, widget(), kind(), writer("m2"))["spec"] in ({}, None)


def test_a_conflict_names_managers_and_fields() -> None:
    live = stored(tracking.apply(None, widget(size="s", items=[{"name": "a", "value": "1"}]), kind(), writer("m1")))
    live = tracking.update(live, {**live, "spec": {**live["spec"], "count": 3}}, kind(), writer("u"))
    with pytest.raises(StatusError) as caught:
        tracking.apply(live, widget(size="m", count=4, items=[{"name": "a", "value": "2"}]), kind(), writer("m2"))
    refusal = caught.value
    assert (refusal.code, refusal.reason) == (409, "Conflict")
    assert refusal.message == (
        'Apply failed with 3 conflicts: conflicts with "m1":\n- .spec.size\n- .spec.items[name="a"].value\n'
        'conflicts with "u" using example.com/v1:\n- .spec.count'
    )
    assert refusal.details == {
        "causes": [
            {"reason": "FieldManagerConflict", "message": 'conflict with "m1"', "field": ".spec.size"},
            {"reason": "FieldManagerConflict", "message": 'conflict with "m1"', "field": '.spec.items[name="a"].value'},
            {
                "reason": "FieldManagerConflict",
                "message": 'conflict with "u" using example.com/v1',
                "field": ".spec.count",
            },
        ]
    }


def test_force_takes_the_fields_over() -> None:
    live = stored(tracking.apply(None, widget(size="s", count=1), kind(), writer("m1")))
    forced = tracking.apply(live, widget(size="m"), kind(), writer("m2"), force=True)
    assert forced["spec"] == {"size": "m", "count": 1}
    assert owners(forced) == {"m1": [".spec.count"], "m2": [".spec.size"]}


@pytest.mark.parametrize(("is_custom", "emptied"), [(False, None), (True, {})])
def test_what_an_apply_empties_is_empty_in_custom_resources(is_custom: bool, emptied: Any) -> None:
    custom = kind(is_custom=is_custom)
    live = stored(tracking.apply(None, widget(size="s"), custom, writer("m1")))
    assert tracking.apply(live, widget(), custom, writer("m1"))["spec"] == emptied


def test_an_emptied_field_that_may_be_null_becomes_null() -> None:
    node = {
        "type": "object",
        "properties": {"spec": {"type": "object", "nullable": True, "properties": {"a": {"type": "string"}}}},
    }
    custom = kind(is_custom=True, **{API_VERSION: node})
    live = stored(tracking.apply(None, widget(a="s"), custom, writer("m1")))
    assert tracking.apply(live, widget(), custom, writer("m1"))["spec"] is None


def test_managers_of_other_versions_keep_their_fields_and_those_of_none_are_dropped() -> None:
    versions = {"example.com/v1": NODE, "example.com/v2": NODE}
    both = kind(**versions)
    live = stored(tracking.apply(None, widget(size="s"), both, writer("m1")))
    newer = {**widget(count=1), "apiVersion": "example.com/v2"}
    live = {**live, "apiVersion": "example.com/v2"}
    made = tracking.apply(live, newer, both, writer("m2", api_version="example.com/v2"))
    assert [entry["apiVersion"] for entry in made["metadata"]["managedFields"]] == ["example.com/v1", "example.com/v2"]
    with pytest.raises(StatusError, match="conflict with"):
        tracking.apply(made, {**newer, "spec": {"size": "x"}}, both, writer("m3", api_version="example.com/v2"))
    gone = kind(**{"example.com/v2": NODE})
    left = tracking.update(made, {**made, "spec": {"count": 9}}, gone, writer("u", api_version="example.com/v2"))
    assert owners(left) == {"u": [".spec.count"]}


def test_a_map_that_became_one_value_is_owned_as_one() -> None:
    def schema(**more: Any) -> Any:
        field = {"type": "object", "additionalProperties": {"type": "string"}, **more}
        return {"type": "object", "properties": {"spec": {"type": "object", "properties": {"map": field}}}}

    before = kind(is_custom=True, **{API_VERSION: schema()})
    after = kind(is_custom=True, **{API_VERSION: schema(**{"x-kubernetes-map-type": "atomic"})})
    live = stored(tracking.apply(None, widget(map={"a": "1", "b": "2"}), before, writer("m1")))
    with pytest.raises(StatusError, match=r"conflict with \"m1\": .spec.map$"):
        tracking.apply(live, widget(map={"c": "3"}), after, writer("m2"))


UNFIT = "failed to create typed patch object (/w; example.com/v1, Kind=Widget): "


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"apiVersion": API_VERSION, "kind": "Other"}, "invalid object type: example.com/v1, Kind=Other"),
        ({"apiVersion": "v1"}, "invalid object type: /v1, Kind="),
        ({}, "invalid object type: /, Kind="),
        ({**widget(), "metadata": {"managedFields": []}}, "metadata.managedFields must be nil"),
        (widget(bogus=1), UNFIT + ".spec.bogus: field not declared in schema"),
        (widget(items="x"), UNFIT + ".spec.items: expected list, got &{x}"),
        (widget(items=[{"name": "a"}, {"name": "a"}]), UNFIT + '.spec.items: duplicate entries for key [name="a"]'),
        (widget(set=[["a"]]), UNFIT + ".spec.set: element 0: not supported: associative list with lists as elements"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(config: dict[str, Any], text: str) -> None:
    with pytest.raises(StatusError) as caught:
        tracking.apply(None, config, kind(), writer("m1"))
    assert (caught.value.code, caught.value.message) == (400, text)


def test_several_misfits_are_all_said() -> None:
    with pytest.raises(StatusError) as caught:
        tracking.apply(None, widget(size=1, count="x"), kind(), writer("m1"))
    assert caught.value.message.splitlines()[1:] == [
        "  .spec.size: expected string, got &value.valueUnstructured{Value:1}",
        "  .spec.count: expected numeric (int or float), got string",
    ]


# Handing over from client-side apply


def test_kubectl_takes_over_what_it_applied_client_side() -> None:
    name = "kubectl.kubernetes.io/last-applied-configuration"
    config = widget(size="s", count=1)
    live = {**config, "metadata": {"name": "w", "annotations": {name: json.dumps(config)}}}
    live = stored(tracking.create(live, kind(), writer("kubectl-client-side-apply")))
    with pytest.raises(StatusError, match="kubectl-client-side-apply"):
        tracking.apply(live, widget(size="m", count=1), kind(), writer("gitops"))
    made = tracking.apply(live, widget(size="m", count=1), kind(), writer("kubectl"))
    assert made["spec"] == {"size": "m", "count": 1}
    assert json.loads(made["metadata"]["annotations"][name]) == widget(size="m", count=1)
    drifted = tracking.update(live, {**live, "spec": {"size": "theirs", "count": 1}}, kind(), writer("other"))
    with pytest.raises(StatusError, match='conflict with "other"'):
        tracking.apply(drifted, widget(size="m"), kind(), writer("kubectl"))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"apiVersion":"v9"}', "[" * 100_000])
def test_an_annotation_that_says_nothing_explains_no_conflict(text: str) -> None:
    name = "kubectl.kubernetes.io/last-applied-configuration"
    live = {**widget(size="s"), "metadata": {"name": "w", "annotations": {name: text}}}
    live = stored(tracking.create(live, kind(), writer("kubectl-client-side-apply")))
    with pytest.raises(StatusError, match="1 conflict"):
        tracking.apply(live, widget(size="m"), kind(), writer("kubectl"))


# Scale


def test_owners_of_replicas_are_shown_on_the_scale_and_brought_back() -> None:
    parent = tracking.apply(None, widget(count=1, size="s"), kind(), writer("m1"))["metadata"]["managedFields"]
    shown = scale.to_scale(parent, ".spec.count")
    assert [(one["manager"], one["apiVersion"], one["fieldsV1"]) for one in shown] == [
        ("m1", "autoscaling/v1", {"f:spec": {"f:replicas": {}}})
    ]
    taken = [{**shown[0], "manager": "hpa", "operation": "Update", "subresource": "scale"}]
    back = scale.to_parent(parent, taken, ".spec.count", API_VERSION)
    assert [(one["manager"], one.get("subresource"), list(fieldsets.paths(one["fieldsV1"]))) for one in back] == [
        ("m1", None, [".spec.size"]),
        ("hpa", "scale", [".spec.count"]),
    ]
    assert scale.to_parent(parent, shown, ".spec.count", API_VERSION) == parent


# Whatever comes


def without_empty_lists(value: Any) -> Any:
    """An applied empty list owns nothing: it goes when its elements do, and comes back with the next apply."""
    if isinstance(value, dict):
        return {key: without_empty_lists(item) for key, item in value.items() if item != []}
    return [without_empty_lists(item) for item in value] if isinstance(value, list) else value


WRITES = st.tuples(
    st.sampled_from(["create", "update", "apply", "force"]), st.sampled_from(["m1", "m2", "kubectl"]), objects
)


@settings(deadline=None)
@given(st.lists(WRITES, max_size=6))
def test_after_any_writes_every_owned_field_is_there_and_an_apply_again_is_none(steps: list[Any]) -> None:
    live: dict[str, Any] | None = None
    for seconds, (how, manager, given_object) in enumerate(steps):
        before = copy.deepcopy((live, given_object))
        if how in ("create", "update"):
            new = stored(given_object)
            live = (
                tracking.update(live, new, kind(), writer(manager, seconds))
                if live
                else tracking.create(new, kind(), writer(manager))
            )
        else:
            given_object = without_empty_lists(given_object)
            before = before[0], given_object
            with suppress(StatusError):
                made = tracking.apply(
                    live, given_object, kind(is_custom=True), writer(manager, seconds), force=how == "force"
                )
                live = stored(made)
                again = tracking.apply(live, given_object, kind(is_custom=True), writer(manager, seconds + 50))
                has_owner = "managedFields" in live["metadata"]  # else everything goes to before-first-apply
                assert not has_owner or tracking.settle(live, again) == live
        assert before[1] == given_object
        if live:
            there = paths_of(compare({}, live, TYPE).added)
            found = owners(live)
            assert {path for paths in found.values() for path in paths} <= there
            assert entries.encode(entries.decode(live["metadata"].get("managedFields"))) == live["metadata"].get(
                "managedFields", []
            )


@settings(deadline=None)
@given(anything, anything, items)
def test_field_management_never_fails_but_with_a_refusal(spec: Any, entries_given: Any, more: Any) -> None:
    live = stored(tracking.create(widget(items=more), kind(), writer("m1")))
    strange = {**live, "spec": spec, "metadata": {**live["metadata"], "managedFields": entries_given}}
    made = tracking.update(live, strange, kind(), writer("m2"))
    with suppress(StatusError):
        tracking.apply(made, {**widget(), "spec": spec}, kind(), writer("m3"), force=True)
    with suppress(StatusError):
        tracking.apply(strange, widget(size="s"), kind(), writer("m3"), force=True)


def test_an_object_that_is_too_deep_is_refused() -> None:
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    deep: Any = {}
    for _ in range(2_000):
        deep = {"a": deep}
    live = stored(widget())
    for write in (
        lambda: tracking.create({**widget(), "spec": deep}, kind(**{API_VERSION: free}), writer("m")),
        lambda: tracking.apply(live, {**widget(), "spec": deep}, kind(**{API_VERSION: free}), writer("m")),
    ):
        with pytest.raises(StatusError, match="nested too deeply"):
            write()


def test_the_entries_of_an_object_of_20_kilobytes_are_updated_at_once() -> None:
    """The bound is 1 ms on an idle machine; a busy one gets more."""
    schemas = Schemas()
    deployment = tracking.Kind("Deployment", {"apps/v1": schemas.of("apps", "v1", "Deployment")}, schemas.resolve)
    environment = [{"name": f"VARIABLE_{number}", "value": f"some value {number}"} for number in range(40)]
    containers = [{"name": f"c{number}", "image": "registry/app:1", "env": environment} for number in range(4)]
    spec = {"template": {"spec": {"containers": containers}}}
    given_object = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}
    live = stored(tracking.create(given_object, deployment, writer("m1", api_version="apps/v1")))
    assert len(json.dumps(live)) > 20_000
    changed = json.loads(json.dumps(live))
    changed["spec"]["template"]["spec"]["containers"][2]["image"] = "registry/app:2"
    best = 1.0
    for _ in range(30):
        start = time.perf_counter()
        tracking.update(live, changed, deployment, writer("m2", api_version="apps/v1"))
        best = min(best, time.perf_counter() - start)
    assert best < 0.003
