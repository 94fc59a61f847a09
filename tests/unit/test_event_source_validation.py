"""What is refused of an EventSource, where it says so, and the recorded cases of the real system."""

from __future__ import annotations

from typing import Any

import pytest

from events.errors import InvalidObject
from events.problems import Problem, Severity
from eventsources import validation
from eventsources.base import NOT_RUN
from eventsources.types import EventSource

HOOK = {"endpoint": "/hook", "port": "12000", "method": "POST"}
TLS = {"serverCertSecret": {"name": "tls", "key": "crt"}, "serverKeySecret": {"name": "tls", "key": "key"}}


def parsed(spec: Any, name: str = "src", **metadata: Any) -> EventSource:
    raw = {"apiVersion": "argoproj.io/v1alpha1", "kind": "EventSource", "metadata": {"name": name, **metadata}}
    return EventSource.parse(raw | {"spec": spec})


def problems_of(spec: Any, name: str = "src", **metadata: Any) -> list[Problem]:
    """Everything that is said of an object, whether reading or validating it finds it."""
    try:
        return list(validation.validate(parsed(spec, name, **metadata)))
    except InvalidObject as error:
        return error.problems


def errors_of(spec: Any, name: str = "src", **metadata: Any) -> list[str]:
    return [str(problem) for problem in problems_of(spec, name, **metadata) if problem.severity is Severity.ERROR]


@pytest.mark.parametrize(
    "spec",
    [
        {"webhook": {"a": HOOK, "b": HOOK | {"endpoint": "/b"}, "c": HOOK | {"port": "12001"}}},
        {"webhook": {"a": HOOK | TLS, "b": HOOK | TLS | {"endpoint": "/{id}"}}},
        {"calendar": {"a": {"interval": "10s"}}, "replicas": -1, "eventBusName": "b", "template": {}, "service": None},
        {"webhook": None, "calendar": {"a": {"interval": "10s"}}},
        {"webhook": {"a": HOOK}, "workers": 64, "replicas": 3},
        {"calendar": {"a": {"interval": "10s"}}, "workers": 1},
    ],
)
def test_good_objects_have_no_problems(spec: Any) -> None:
    assert problems_of(spec) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"webhok": {"a": HOOK}},
            ["spec.webhok: unknown event source or field (did you mean 'webhook'?)"],
        ),
        (
            {"replica": 2, "calendar": {"a": {"interval": "zz"}}},
            ["spec.replica: unknown event source or field (did you mean 'replicas'?)"],
        ),
        (
            {"sources": {"webhook": {"a": HOOK}}, "replicas": "2"},
            [
                "spec.sources: unknown event source or field (did you mean 'resource'?)",
                "spec.replicas: should be a valid integer",
            ],
        ),
        (
            {"zzz": {}},
            [
                "spec.zzz: unknown event source or field "
                "(fields: eventBusName, template, service, replicas, workers; event sources: amqp, "
            ],
        ),
        ({"template": {"x": 1}}, ["spec.template.x: unknown field (known here: "]),
        (
            {"kafka": {"a": {"url": "k:9092"}}, "calendar": {"c": {}}},
            [
                "spec.kafka.a.topic: required",
                "spec.kafka.a.partition: required",
                "spec.calendar.c: neither schedule nor interval",
            ],
        ),
        ({"workers": 0, "webhook": {"a": HOOK}}, ["spec.workers: 0 is not a number of processes (write 1 to 64"]),
        ({"workers": -1, "webhook": {"a": HOOK}}, ["spec.workers: -1 is not a number of processes"]),
        ({"workers": 65, "webhook": {"a": HOOK}}, ["spec.workers: 65 is not a number of processes"]),
        ({"workers": "2", "webhook": {"a": HOOK}}, ["spec.workers: should be a valid integer"]),
        ({"workers": 2.5, "webhook": {"a": HOOK}}, ["spec.workers: should be a valid integer"]),
        ({"worker": 2, "webhook": {"a": HOOK}}, ["spec.worker: unknown event source or field (did you mean 'workers'"]),
        (
            {"workers": 2, "calendar": {"a": {"interval": "1s"}}},
            ["spec.workers: calendar has no HTTP endpoint, which is what workers share (remove workers, or move"],
        ),
        ({"webhook": [HOOK]}, ["spec.webhook: should be a map from event name"]),
        ({"webhook": {7: HOOK}}, ["spec.webhook: event name 7 should be text (put it in quotes)"]),
        ({"webhook": {"a": "text"}}, ["spec.webhook.a: should be a valid dictionary"]),
        ({"webhook": {"a": None}}, ["spec.webhook.a.endpoint: required", "spec.webhook.a.port: required"]),
        (
            {"webhook": {"example": HOOK | {"port": 12000, "metod": "GET"}}},
            [
                "spec.webhook.example.port: should be a valid string",
                "spec.webhook.example.metod: unknown field (did you mean 'method'?)",
            ],
        ),
        ({"webhook": {"example": HOOK | {"port": "http"}}}, ["spec.webhook.example.port: 'http' is not a port"]),
        (
            {"webhook": {"a.b": HOOK, "a b": HOOK | {"port": "12001"}}},
            [
                "spec.webhook.a.b: event name 'a.b' cannot be published (use no dot, space",
                "spec.webhook.a b: event name 'a b' cannot be published",
            ],
        ),
        (
            {"webhook": {"a": HOOK}, "stripe": {"a": {}}},
            [
                "spec.stripe.a: event name 'a' is also used at spec.webhook.a (give one of them another",
                "spec.stripe.a.webhook: required",
            ],
        ),
        (
            {"webhook": {"a": HOOK}, "calendar": {"b": {"interval": "1s"}}},
            ["spec: webhook runs on every replica, calendar on one at a time: they cannot be in one EventSource"],
        ),
        (
            {"webhook": {"a": HOOK, "b": HOOK | {"method": "GET"}}},
            ["spec.webhook.b.endpoint: /hook on port 12000 is also listened on at spec.webhook.a (give one of them"],
        ),
        (
            {"webhook": {"a": HOOK | {"endpoint": "/x/{id}"}, "b": HOOK | {"endpoint": "/x/{name}"}}},
            ["spec.webhook.b.endpoint: /x/{name} on port 12000 is also listened on at spec.webhook.a"],
        ),
        (
            {"webhook": {"a": HOOK, "b": HOOK | TLS | {"endpoint": "/b"}}},
            ["spec.webhook.b.serverCertSecret: port 12000 has another certificate, or none, at spec.webhook.a (give"],
        ),
    ],
)
def test_what_is_wrong_is_said_at_its_path_with_a_cure(spec: Any, expected: list[str]) -> None:
    found = errors_of(spec)
    assert len(found) == len(expected), found
    for ours, start in zip(found, expected, strict=True):
        assert ours.startswith(start)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"name": "my.source"}, ["metadata.name: event source name 'my.source' cannot be published"]),
        ({"name": ""}, ["metadata.name: required"]),
        (
            {"name": "keryx-redrive"},
            ["metadata.name: 'keryx-redrive' is the source of dead letters that are redriven"],
        ),
        ({"name": "", "generateName": "a.b-"}, ["metadata.generateName: event source name 'a.b-' cannot be published"]),
        ({"name": "", "generateName": "ab-"}, []),
    ],
)
def test_the_name_of_the_object_must_be_a_token_of_a_subject(metadata: Any, expected: list[str]) -> None:
    found = errors_of({"webhook": {"a": HOOK}}, **metadata)
    assert [text.partition(" (")[0] for text in found] == expected


@pytest.mark.parametrize("spec", [{}, {"webhook": {}}, {"kafka": {}}, {"webhook": None}])
def test_an_object_without_events_is_warned_of_as_upstream_takes_it(spec: Any) -> None:
    (problem,) = problems_of(spec)
    assert (problem.severity, problem.path) == (Severity.WARNING, "spec")
    assert "no event sources" in problem.message
    assert "spec.webhook.example" in problem.cure


def test_what_is_stored_is_read_leniently_and_one_wrong_event_does_not_hide_the_others() -> None:  # P7
    raw = {"apiVersion": "v", "kind": "EventSource", "metadata": {"name": "src"}, "status": {"later": 1}}
    raw["spec"] = {"webhook": {"a": "text", "b": HOOK}, "later": 1}
    assert EventSource.parse(raw, lenient=True).spec.sources == {"webhook": {"a": "text", "b": HOOK}}


# --- several objects in one process -----------------------------------------------------------------------------------


def clashes(*objects: EventSource) -> list[tuple[str, str]]:
    return [(owner.metadata.name, str(problem)) for owner, problem in validation.clashes(objects)]


def test_objects_of_one_process_may_share_a_port_but_not_an_endpoint() -> None:
    one = parsed({"webhook": {"a": HOOK, "b": HOOK | {"endpoint": "/b"}}}, "one", namespace="ns")
    two = parsed({"webhook": {"c": HOOK | {"endpoint": "/c"}, "d": HOOK | {"endpoint": "/b"}}}, "two")
    three = parsed({"webhook": {"e": HOOK | TLS | {"endpoint": "/e"}, "f": HOOK | {"port": "12001"}}}, "three")
    assert clashes(one, two, three) == [
        (
            "two",
            "spec.webhook.d.endpoint: /b on port 12000 is also listened on at spec.webhook.b of EventSource ns/one "
            "(give one of them another endpoint or port)",
        ),
        (
            "three",
            "spec.webhook.e.serverCertSecret: port 12000 has another certificate, or none, at spec.webhook.a of "
            "EventSource ns/one (give all events of a port the same certificate, or this one another port)",
        ),
    ]


@pytest.mark.parametrize(("first", "second"), [({"workers": 2}, {}), ({}, {"workers": 2}), ({"workers": 2},) * 2])
def test_the_port_of_workers_is_theirs_alone(first: dict[str, int], second: dict[str, int]) -> None:
    one = parsed({"webhook": {"a": HOOK}} | first, "one")
    two = parsed({"webhook": {"b": HOOK | {"endpoint": "/b"}, "c": HOOK | {"port": "12001"}}} | second, "two")
    ((owner, text),) = clashes(one, two)
    assert owner == "two"
    assert text.startswith("spec.webhook.b.port: port 12000 is also listened on at spec.webhook.a of EventSource one: ")
    assert text.endswith("(give this one another port)")


def test_what_is_wrong_within_one_object_is_not_said_twice() -> None:
    one = parsed({"webhook": {"a": HOOK, "b": HOOK, "c": {}, "d": HOOK | {"endpoint": "/{"}}, "kafka": {"e": {}}})
    assert clashes(one) == []
    assert clashes() == []


def test_what_is_described_and_not_run_is_valid_with_a_warning_and_a_reason_not_to_start() -> None:
    one = parsed({"redis": {"a": {"hostAddress": "r:6379", "channels": ["c"]}}, "calendar": {"c": {"interval": "1h"}}})
    problems = validation.validate(one)
    assert not problems.errors
    assert [problem.path for problem in problems] == ["spec.redis.a"]
    assert [str(problem) for problem in validation.not_run(one)] == [f"spec.redis.a: {NOT_RUN}"]
