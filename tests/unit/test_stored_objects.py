"""What of an object that is stored already can run: wrong parts are left out and named, the rest goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from eventsources import stored as event_sources
from sensors import resources, stored

D = {"name": "a", "eventSourceName": "s", "eventName": "e"}
NOW = datetime(2026, 7, 2, 12, tzinfo=UTC)


def trigger(name: str, **more: Any) -> dict[str, Any]:
    http = {"url": "http://x", "method": "POST"} | more.pop("http", {})
    return {"template": {"name": name, "http": http} | more.pop("template", {}), **more}


def judged(*triggers: Any, dependencies: Any = (D,), **spec: Any) -> stored.Stored:
    meta = {"name": "one", "namespace": "ns", "creationTimestamp": "2026-07-01T00:00:00Z"}
    return stored.judge(
        {"metadata": meta, "spec": {"dependencies": list(dependencies), "triggers": list(triggers)} | spec}
    )


def running(found: stored.Stored) -> list[str]:
    assert (found.sensor is None) is not bool(found.raw_spec)
    return [one["template"]["name"] for one in found.raw_spec.get("triggers", ())]


@pytest.mark.parametrize(
    "wrong",
    [
        trigger("bad", http={"url": ""}),
        trigger("bad", atLeastOnce="yes"),
        trigger("bad", template={"conditions": "a && b"}),
        trigger("bad", rateLimit={"unit": "Year"}),
        trigger("bad", http={"url": 5}),
        trigger("bad", template={"conditionsReset": [{"byTime": {"cron": "x"}}]}),
        trigger("bad", dlqTrigger={"template": {"name": "d"}}),
        {"template": {"name": "bad", "http": []}},
    ],
)
def test_one_bad_trigger_stops_that_trigger_alone(wrong: Any) -> None:
    found = judged(trigger("first"), wrong, trigger("last"))
    assert running(found) == ["first", "last"]
    assert list(found.left_out) == ["bad"]
    assert found.trigger_problems
    assert not [*found.dependency_problems, *found.other_problems]
    assert found.names == {"first", "bad", "last"}
    assert found.knows_all


@pytest.mark.parametrize("wrong", [{}, "text", {"template": {"name": 5}}, {"template": None}])
def test_a_trigger_without_a_readable_name_is_told_by_its_place(wrong: Any) -> None:
    found = judged(wrong, trigger("good"))
    assert running(found) == ["good"]
    assert list(found.left_out) == ["#1"]
    assert not found.knows_all


def test_keys_that_no_model_knows_stop_nothing() -> None:
    found = judged(trigger("t", http={"methd": "x"}, extra=1), extra={"a": 1})
    assert running(found) == ["t"]
    assert not [*found.trigger_problems, *found.left_out]


def test_a_wrong_dependency_stops_who_waits_for_it() -> None:
    wrong = {"name": "b", "eventSourceName": "s", "eventName": "e", "filters": {"time": {"start": "x", "stop": "y"}}}
    found = judged(
        trigger("on-a", template={"conditions": "a"}),
        trigger("on-both", template={"conditions": "a && b"}),
        trigger("on-all"),
        dependencies=[D, wrong],
    )
    assert running(found) == ["on-a"]
    assert set(found.left_out) == {"on-both", "on-all"}
    assert "'b'" in found.left_out["on-all"]
    assert found.dependency_problems
    assert [one["name"] for one in found.raw_spec["dependencies"]] == ["a"]


@pytest.mark.parametrize("wrong", [{"name": 5}, "text", None])
def test_a_dependency_that_cannot_be_read_stops_who_waits_for_it(wrong: Any) -> None:
    found = judged(trigger("on-a", template={"conditions": "a"}), trigger("on-all"), dependencies=[D, wrong])
    assert running(found) == ["on-a"]
    assert found.dependency_problems


def test_two_triggers_of_one_name_leave_the_first() -> None:
    found = judged(trigger("t"), trigger("t", http={"url": "http://other"}))
    assert [one["template"]["http"]["url"] for one in found.raw_spec["triggers"]] == ["http://x"]
    assert found.trigger_problems


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ({"triggers": []}, "trigger_problems"),
        ({"triggers": None}, "trigger_problems"),
        ({"triggers": "x"}, "trigger_problems"),
        ({"dependencies": []}, "dependency_problems"),
        ({"dependencies": {}}, "dependency_problems"),
        ({"template": {"container": {"env": "x"}}}, "other_problems"),
        ({"replicas": "3"}, "other_problems"),
    ],
)
def test_what_is_wrong_with_the_whole_lets_nothing_run(spec: dict[str, Any], part: str) -> None:
    found = judged(trigger("t"), **spec)
    assert running(found) == []
    assert getattr(found, part)


@pytest.mark.parametrize("raw", [{"metadata": {"name": "x"}}, {"metadata": {"name": "x"}, "spec": []}])
def test_an_object_without_a_spec_is_judged_too(raw: dict[str, Any]) -> None:
    assert stored.judge(raw).dependency_problems
    assert event_sources.judge(raw).problems


# ---- when triggers appeared


CREATED, LATER = "2026-07-01T00:00:00Z", "2026-07-02T12:00:00.000000Z"
OBJECT = {"metadata": {"creationTimestamp": CREATED}}


def test_a_new_sensors_triggers_appeared_with_it_and_later_ones_when_they_are_seen() -> None:
    found = judged(trigger("old"), trigger("bad", atLeastOnce=3), trigger("new"))
    first = resources.appeared(OBJECT, found, None, NOW)
    assert first == {"triggers": dict.fromkeys(("bad", "new", "old"), CREATED), "complete": True}
    known = {"triggers": {"old": CREATED, "gone": CREATED}, "complete": True}
    again = resources.appeared(OBJECT, found, known, NOW)
    assert again == {"triggers": {"bad": LATER, "new": LATER, "old": CREATED}, "complete": True}
    assert resources.appeared(OBJECT, found, again, NOW) == again


def test_while_a_name_cannot_be_read_no_trigger_counts_as_removed() -> None:
    known = {"triggers": {"old": CREATED, "renamed?": CREATED}, "complete": True}
    found = resources.appeared(OBJECT, judged(trigger("old"), {"template": {"name": 5}}), known, NOW)
    assert found == {"triggers": {"old": CREATED, "renamed?": CREATED}, "complete": False}


# ---- event sources


def source(**spec: Any) -> event_sources.Stored:
    return event_sources.judge({"metadata": {"name": "src", "namespace": "ns"}, "spec": spec})


HOOK = {"endpoint": "/a", "port": "12000", "method": "POST"}


@pytest.mark.parametrize(
    "wrong", [{"endpoint": "a"}, {"port": 5}, {"serverKeySecret": {"name": "x", "key": "k"}}, {"endpoint": None}]
)
def test_one_bad_event_is_left_out(wrong: dict[str, Any]) -> None:
    found = source(
        webhook={"good": HOOK, "bad.one": HOOK | {"endpoint": "/b"} | wrong, "bad": HOOK | {"endpoint": "/c"}}
    )
    assert set(found.raw_spec["webhook"]) == {"good", "bad"}
    assert list(found.left_out) == ["bad.one"]
    assert found.problems


def test_the_second_event_of_one_name_is_left_out() -> None:
    found = source(webhook={"ev": HOOK}, github={"ev": {"webhook": HOOK | {"endpoint": "/b"}, "events": ["*"]}})
    assert found.raw_spec["webhook"]
    assert not found.raw_spec["github"]


@pytest.mark.parametrize(
    "spec",
    [
        {"webhook": {"ev": HOOK}, "calendar": {"c": {"interval": "10s"}}},
        {"webhook": {"ev": HOOK}, "template": {"volumes": 3}},
        {"webhook": {"ev": HOOK | {"endpoint": "x"}}},
    ],
)
def test_what_is_wrong_with_all_of_an_event_source_lets_nothing_run(spec: dict[str, Any]) -> None:
    found = source(**spec)
    assert found.event_source is None
    assert found.problems


def test_an_event_source_without_events_is_no_problem() -> None:
    assert not source(webhook={}).problems
    assert source().event_source is not None


def test_a_trigger_that_this_version_does_not_run_is_named_and_the_others_run() -> None:
    payload = [{"src": {"dependencyName": "a", "dataKey": "x"}, "dest": "x"}]
    beyond = {"template": {"name": "beyond", "kafka": {"url": "k:9092", "topic": "t", "payload": payload}}}
    nothing = {"template": {"name": "nothing", "openwhisk": {}}}
    found = judged(trigger("first"), beyond, nothing)
    assert list(found.not_run) == ["beyond", "nothing"]
    assert "does not run" in found.not_run["beyond"]
    assert "it says nothing to do" in found.not_run["nothing"]
    assert not found.left_out
    assert not found.runs_nothing
    assert judged(beyond, nothing).runs_nothing


def test_an_event_that_this_version_does_not_run_is_named_and_the_others_run() -> None:
    redis = {"redis": {"told": {"hostAddress": "r:6379", "channels": ["c"]}}}
    timed = {"calendar": {"tick": {"interval": "10s"}}}
    found = event_sources.judge({"metadata": {"name": "one", "namespace": "ns"}, "spec": redis | timed})
    assert list(found.not_run) == ["told"]
    assert not found.left_out
    assert not found.runs_nothing
    found = event_sources.judge({"metadata": {"name": "one", "namespace": "ns"}, "spec": redis})
    assert found.runs_nothing
