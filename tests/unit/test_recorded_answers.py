"""How recorded answers of a real API server are compared with ours: what may differ, and what may not."""

from __future__ import annotations

from typing import Any

import pytest
from conformance import running
from conformance.areas import kubernetes_http, kubernetes_kubectl
from conformance.core import Case, Outcome, Verdict, differences
from conformance.kubernetes.comparing import Comparison, judged, matches
from conformance.kubernetes.steps import pointed

UIDS = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222")
TIME = "2026-01-02T03:04:05Z"
LISTED = Case("http.rbac/ssrr", "http.rbac", {}, {})


def is_same(wanted: Any, got: Any) -> bool:
    comparison = Comparison()
    comparison.compare(wanted, got)
    return not comparison.end()


def meta(name: str, version: Any) -> dict[str, Any]:
    return {"metadata": {"uid": name, "resourceVersion": version}}


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        ({"a": 1, "b": [True, None]}, {"b": [True, None], "a": 1.0}),
        ([meta("<uid-1>", "<rv-1>"), meta("<uid-2>", "<rv-2>")], [meta(UIDS[0], "7"), meta(UIDS[1], "12")]),
        ([meta("<uid-1>", "<rv-2>"), meta("<uid-1>", "<rv-1>")], [meta(UIDS[0], "12"), meta(UIDS[0], "7")]),
        (["<uid-1>", {"k:<uid-1>": 1}], [UIDS[0], {f"k:{UIDS[0]}": 1}]),
        ({"message": 'uid "<uid-1>" at <time>'}, {"message": f'uid "{UIDS[0]}" at {TIME}'}),
        ({"name": "g-<suffix>"}, {"name": "g-x7c2d"}),
        ({"storageVersionHash": "a"}, {"storageVersionHash": "b"}),
        ({"causes": [{"field": "a"}, {"field": "b"}]}, {"causes": [{"field": "b"}, {"field": "a"}]}),
        ({"conditions": [{"type": "A"}, {"type": "B"}]}, {"conditions": [{"type": "B"}, {"type": "A"}]}),
        (
            {"managedFields": [{"manager": "<server>", "time": "<time>"}, {"manager": "rec", "operation": "Apply"}]},
            {"managedFields": [{"manager": "rec", "operation": "Apply"}, {"manager": "kube-apiserver", "time": TIME}]},
        ),
        (
            {"message": ' "" is invalid: patch: Invalid value: "{one dump}": no kind'},
            {"message": ' "" is invalid: patch: Invalid value: "{another}": no kind'},
        ),
    ],
)
def test_an_answer_is_as_recorded(wanted: Any, got: Any) -> None:
    assert is_same(wanted, got)


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": "1"}),
        ({"a": None}, {}),
        ({}, {"a": None}),
        ([1, 2], [2, 1]),
        ([1], [1, 1]),
        ([meta("<uid-1>", "<rv-1>"), meta("<uid-1>", "<rv-1>")], [meta(UIDS[0], "7"), meta(UIDS[1], "7")]),
        (["<uid-1>", "<uid-2>"], [UIDS[0], UIDS[0]]),
        ([meta("<uid-1>", "<rv-1>"), meta("<uid-1>", "<rv-2>")], [meta(UIDS[0], "12"), meta(UIDS[0], "7")]),
        ([meta("<uid-1>", "<rv-1>"), meta("<uid-1>", "<rv-2>")], [meta(UIDS[0], "7"), meta(UIDS[0], "7")]),
        ({"resourceVersion": "<rv-1>"}, {"resourceVersion": 7}),
        ({"uid": "<uid-1>"}, {"uid": "no uid"}),
        ({"time": "<time>"}, {}),
        ({"storageVersionHash": "a"}, {}),
        ({"items": [{"field": "a"}, {"field": "b"}]}, {"items": [{"field": "b"}, {"field": "a"}]}),
        (
            {"managedFields": [{"manager": "rec", "operation": "Apply", "time": "<time>"}]},
            {"managedFields": [{"manager": "rec", "operation": "Apply"}]},
        ),
        (
            {"message": ' "" is invalid: patch: Invalid value: "{one dump}": no kind'},
            {"message": ' "" is invalid: patch: Invalid value: "{one dump}": another reason'},
        ),
    ],
)
def test_an_answer_differs(wanted: Any, got: Any) -> None:
    assert not is_same(wanted, got)


def test_a_terminals_runs_of_blanks_count_as_one() -> None:
    assert matches("NAME   AGE\na      <age>\n", "NAME  AGE\na     3s\n")
    assert not matches("NAME   AGE\na      <age>\n", "NAME  AGE\nb     3s\n")
    assert not matches("a\nb", "a b")


def test_a_pointer() -> None:
    value = {"a/b": [{"c~d": 1}]}
    assert pointed(value, "/a~1b/0/c~0d") == 1
    assert pointed(value, "/a~1b/1/x") is None
    assert pointed(value, "") == value


def test_only_the_steps_of_a_documented_departure_are_excused() -> None:
    assert LISTED.id in differences().cases
    assert judged([]).verdict is Verdict.SAME
    assert _verdict(judged([(4, "/body: 1 != 2")], {4})) is Verdict.BY_CASE
    assert _verdict(judged([(4, "/body: 1 != 2"), (5, "/status: 200 != 500")], {4})) is Verdict.FAILED
    assert _verdict(judged([(None, "TimeoutError")], {4})) is Verdict.FAILED
    assert _verdict(judged([(4, "/body: 1 != 2")])) is Verdict.FAILED


def test_documented_departures_name_their_steps() -> None:
    listed = {case for case in differences().cases if case.startswith(("http.", "kubectl/"))}
    assert listed == kubernetes_http.DEPARTURES.keys() | kubernetes_kubectl.DEPARTURES.keys()


def _verdict(outcome: Outcome) -> Verdict:
    return running.documented(LISTED, outcome).verdict
