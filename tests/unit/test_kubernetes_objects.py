"""Objects that triggers create: labels, names; and the options of `argo submit`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from events.credentials import Credentials
from events.errors import ActionError, UserError
from events.kube.objects import SUFFIX_ALPHABET, is_label_value
from events.logs import Log
from sensors import kubernetes_objects, workflow_options
from sensors.base import Firing, TriggerContext


def refuse() -> Any:
    raise AssertionError("not needed here")


def context(sensor: str = "orders", trigger: str = "build") -> TriggerContext:
    return TriggerContext("ns", sensor, trigger, Log("test"), Credentials(()), kube=refuse, http=refuse)


FIRING = Firing("f-1", {})


# names


def test_a_derived_name_is_the_same_for_the_same_firing_only() -> None:
    def name(*, sensor: str = "orders", trigger: str = "build", firing: str = "f-1", remakes: int = 0) -> str:
        return kubernetes_objects.derived_name("wf-", context(sensor, trigger), Firing(firing, {}, remakes=remakes))

    assert name() == name()
    others = {name(sensor="o"), name(trigger="b"), name(firing="f-2"), name(remakes=1), name()}
    assert len(others) == 5
    assert len(name()) == len("wf-") + 10
    assert set(name()[3:]) <= set(SUFFIX_ALPHABET)


def test_a_derived_name_stays_the_same_in_later_versions() -> None:
    assert kubernetes_objects.derived_name("wf-", context(), FIRING) == "wf-jpdnpffz8r"


@pytest.mark.parametrize("length", [1, 52, 53, 54, 200])
def test_a_long_prefix_is_cut(length: int) -> None:
    name = kubernetes_objects.derived_name("x" * length, context(), FIRING)
    assert len(name) == min(length + 10, 63)


def test_names_of_many_firings_differ() -> None:
    names = {kubernetes_objects.derived_name("a-", context(), Firing(str(number), {})) for number in range(5000)}
    assert len(names) == 5000


# labels


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("build", "build"),
        ("Build_1.x", "Build_1.x"),
        ("build the app!", "build-the-app"),
        ("-x-", "x"),
        ("a" * 62 + "-b", "a" * 62),
        ("日本", ""),
    ],
)
def test_any_name_makes_a_label(name: str, label: str) -> None:
    assert kubernetes_objects.label_value(name) == label
    assert is_label_value(label)


def test_an_object_says_who_made_it() -> None:
    obj = {"metadata": {"generateName": "a-", "labels": {"mine": "x"}, "annotations": {"mine": "y"}}}
    kubernetes_objects.prepare(obj, context(), FIRING)
    meta: dict[str, Any] = obj["metadata"]
    assert int(meta["labels"].pop("events.argoproj.io/action-timestamp")) > 1_700_000_000_000
    assert meta["labels"] == {
        "mine": "x",
        "events.argoproj.io/sensor": "orders",
        "events.argoproj.io/trigger": "build",
    }
    assert meta["annotations"] == {"mine": "y", "events.argoproj.io/firing": "f-1"}
    assert meta["generateName"] == "a-"
    assert meta["name"] == kubernetes_objects.derived_name("a-", context(), FIRING)


def test_a_name_of_its_own_is_kept() -> None:
    obj = {"metadata": {"name": "fixed", "generateName": "a-", "labels": None}}
    kubernetes_objects.prepare(obj, context(), FIRING)
    assert obj["metadata"]["name"] == "fixed"


@pytest.mark.parametrize(
    ("metadata", "error"),
    [
        ({}, "neither metadata.name nor metadata.generateName"),
        ({"name": "", "generateName": 1}, "neither"),
        ({"name": "a", "labels": []}, ""),
        ({"name": "a", "labels": ["x"]}, "metadata.labels is not an object"),
        ({"name": "a", "annotations": "x"}, "metadata.annotations is not an object"),
    ],
)
def test_metadata_that_parameters_broke_is_an_error(metadata: Any, error: str) -> None:
    if not error:
        kubernetes_objects.prepare({"metadata": metadata}, context(), FIRING)
        return
    with pytest.raises(ActionError, match=error):
        kubernetes_objects.prepare({"metadata": metadata}, context(), FIRING)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ("{}", "no apiVersion"),
        ('{"apiVersion":"v1"}', "no kind"),
        ('{"apiVersion":"v1","kind":{}}', "no kind"),
        ('{"apiVersion":"v1","kind":"Pod","metadata":[]}', "metadata is not"),
    ],
)
def test_a_resource_that_is_no_object_is_an_error(text: str, error: str) -> None:
    with pytest.raises(ActionError, match=error):
        kubernetes_objects.parse(text)


def test_what_is_parsed_is_never_shared() -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "Pod"})
    first = kubernetes_objects.parse(text)
    first["metadata"]["x"] = 1
    assert kubernetes_objects.parse(text)["metadata"] == {}


# options of argo submit


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], {}),
        (["--entrypoint", "main"], {"spec": {"entrypoint": "main"}}),
        (["--entrypoint=main"], {"spec": {"entrypoint": "main"}}),
        (["--serviceaccount", "sa", "--priority=-5"], {"spec": {"serviceAccountName": "sa", "priority": -5}}),
        (["--name", "n"], {"metadata": {"name": "n"}}),
        (["--generate-name=g-"], {"metadata": {"generateName": "g-"}}),
        (["-l", "a=b,c=", "--labels=a=z"], {"metadata": {"labels": {"a": "z", "c": ""}}}),
        (["--annotations", "a=b=c"], {"metadata": {"annotations": {"a": "b=c"}}}),
        (
            ["--scheduled-time", "2026-01-01T00:00:00Z"],
            {"metadata": {"annotations": {workflow_options.SCHEDULED: "2026-01-01T00:00:00Z"}}},
        ),
        (["--strict=false", "--strict", "-o", "json", "--output=wide"], {}),
        *[
            (args, {"spec": {"arguments": {"parameters": [{"name": "a", "value": "b=c"}]}}})
            for args in (["-p", "a=b=c"], ["-pa=b=c"], ["-p=a=b=c"], ["--parameter=a=b=c"], ["--parameter", "a=b=c"])
        ],
    ],
)
def test_an_option_sets_its_field(args: list[str], expected: dict[str, Any]) -> None:
    workflow: dict[str, Any] = {}
    workflow_options.apply(workflow_options.parse(args), workflow)
    assert {name: value for name, value in workflow.items() if value} == expected


def test_given_parameters_come_first_and_win() -> None:
    given = [{"name": "a", "value": "old"}, {"name": "b", "value": "kept"}]
    workflow = {"spec": {"arguments": {"parameters": given}}}
    workflow_options.apply(workflow_options.parse(["-p", "c=1", "-p", "a=new", "-p", "a=newer"]), workflow)
    found = [(one["name"], one["value"]) for one in workflow["spec"]["arguments"]["parameters"]]
    assert found == [("c", "1"), ("a", "newer"), ("b", "kept")]


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["-p", "a=1", "--wait"], r"args\[2\]: option '--wait' of argo submit is not supported"),
        (["--paramter=a=1"], r"did you mean 'parameter'\?"),
        (["--dry-run"], r"args\[0\]: option '--dry-run'"),
        (["-n", "ns"], r"args\[0\]: option '-n'"),
        (["-x"], r"args\[0\]: option '-x'"),
        (["other.yaml"], r"args\[0\]: 'other.yaml' is not an option"),
        (["-"], r"'-' is not an option"),
        (["--name"], r"args\[0\]: option '--name' needs a value"),
        (["-p", "a"], r"args\[0\]: parameter: expected NAME=VALUE, got 'a'"),
        (["-l", "a"], r"args\[0\]: labels: expected NAME=VALUE"),
        (["--priority=high"], r"args\[0\]: priority: invalid literal"),
        (["--scheduled-time=soon"], r"args\[0\]: scheduled-time: .*not RFC 3339"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(args: list[str], error: str) -> None:
    with pytest.raises(UserError, match=error):
        workflow_options.parse(args)


@pytest.mark.parametrize("workflow", [{"spec": []}, {"metadata": 1}, {"spec": {"arguments": "x"}}])
def test_a_workflow_without_place_for_an_option_is_an_error(workflow: dict[str, Any]) -> None:
    with pytest.raises(ActionError, match="is not an object"):
        workflow_options.apply(workflow_options.parse(["-p", "a=b"]), workflow)
