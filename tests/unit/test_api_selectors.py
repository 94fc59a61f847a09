"""Selectors of queries: what kinds can be selected by, what refusals say. The grammar is in the conformance cases."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.local.apiserver import kinds, selectors
from events.local.apiserver.resources import Resource
from events.local.apiserver.status import StatusError
from events.local.apiserver.validation import Kinds

KINDS = Kinds()
BUILTIN = {(one.group, one.kind): one for one in kinds.builtin(KINDS)}


def custom(*selectable: str, namespaced: bool = True) -> Resource:
    return Resource(
        group="example.com",
        version="v1",
        plural="widgets",
        kind="Widget",
        namespaced=namespaced,
        kinds=KINDS,
        definition={},
        selectable=selectable,
    )


def an(**members: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a", "namespace": "n"}, **members}


def selects(resource: Resource, text: str, it: dict[str, Any]) -> bool:
    selector = selectors.checked(selectors.fields(text), resource)
    return selector.matches(selectors.values(resource, it))


def refusal(resource: Resource, text: str) -> str:
    with pytest.raises(StatusError) as refused:
        selectors.checked(selectors.fields(text), resource)
    assert (refused.value.code, refused.value.reason, refused.value.details) == (400, "BadRequest", None)
    return refused.value.message


# Labels


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
        ("a in (1,=)", "unable to parse requirement: found '=', expected: ',', or identifier"),
        ("a in (1,", "unable to parse requirement: found '', expected: ',', or identifier"),
        ("a in", "unable to parse requirement: found '' expected: '('"),
        ("a==(", "unable to parse requirement: found '(', expected: identifier"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("!a=1", "found '=', expected: ',' or 'end of string'"),
        ("a,)", "found ')', expected: identifier after ','"),
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
    ],
)
def test_label_selectors_that_cannot_be_read(text: str, says: str) -> None:
    with pytest.raises(StatusError) as refused:
        selectors.labels(text)
    assert (refused.value.code, refused.value.reason, refused.value.message) == (400, "BadRequest", says)


def test_every_wrong_value_is_told() -> None:
    with pytest.raises(StatusError) as refused:
        selectors.labels("a in (-x,y-)")
    assert refused.value.message.startswith('unable to parse requirement: [values[0][a]: Invalid value: "-x": a valid')
    assert ', values[1][a]: Invalid value: "y-": ' in refused.value.message
    with pytest.raises(StatusError) as refused:
        selectors.labels("a>-1")
    assert refused.value.message.count("Invalid value") == 1


def test_requirements_are_in_the_order_of_their_keys() -> None:
    found = selectors.labels(" z , b in (3,1, 2),!a,b!=5 ")
    assert str(found) == "!a,b in (1,2,3),b!=5,z"
    assert found.matches({"z": "", "b": "1"})
    assert not found.matches({"z": "", "b": "4"})
    assert not found.is_everything
    assert selectors.labels(" ").is_everything


@pytest.mark.parametrize(
    ("text", "value", "is_selected"),
    [
        ("a>1", "2", True),
        ("a>1", "1", False),
        ("a>1", "x", False),
        ("a>1", "9223372036854775808", False),
        ("a<9223372036854775807", "1", True),
    ],
)
def test_labels_are_compared_as_whole_numbers(text: str, value: str, is_selected: bool) -> None:
    assert selectors.labels(text).matches({"a": value}) is is_selected
    assert not selectors.labels(text).matches({})


@given(st.text(alphabet="ab1in(),!=<> \t\0-./ä", max_size=20))
def test_any_label_selector_is_read_or_refused(text: str) -> None:
    try:
        found = selectors.labels(text)
    except StatusError:
        return  # any other error would fail the test
    assert str(selectors.labels(str(found))) == str(found)


# Fields


@given(st.text(alphabet="ab,=!\\", max_size=12))
def test_any_field_selector_is_read_or_refused(text: str) -> None:
    try:
        found = selectors.fields(text)
    except StatusError:
        return  # any other error would fail the test
    again = selectors.fields(str(found))  # terms are ordered as they are written: `==a` after `=b`
    assert Counter(again.terms) == Counter(found.terms)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
        ("a=b\\n", "invalid field selector: invalid escape sequence: \\n"),
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("x=1,a", "invalid selector: 'x=1,a'; can't understand 'a'"),
    ],
)
def test_field_selectors_that_cannot_be_read(text: str, says: str) -> None:
    with pytest.raises(StatusError) as refused:
        selectors.fields(text)
    assert (refused.value.code, refused.value.message) == (400, says)


def test_the_one_name_that_is_asked_for() -> None:
    assert selectors.fields("type=x,metadata.name=a").name == "a"
    assert selectors.fields("metadata.name!=a").name == ""
    assert selectors.fields("metadata.name=").name == ""
    assert not selectors.fields("metadata.name=").matches({"metadata.name": "a"})
    assert selectors.fields(",").is_everything
    assert selectors.fields("=").is_everything


@pytest.mark.parametrize(
    ("group", "kind", "text", "says"),
    [
        ("", "Secret", "spec.nope=1", "field label not supported: spec.nope"),
        ("", "Secret", "=1", "field label not supported: "),
        ("", "Namespace", "metadata.namespace=1", "field label not supported: metadata.namespace"),
        ("", "Pod", "status.hostIP=1", "field label not supported: status.hostIP"),
        (
            "",
            "ConfigMap",
            "data.k=1",
            '"data.k" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        ("apps", "Deployment", "x=1", '"x" is not a known field selector: only "metadata.name", "metadata.namespace"'),
        ("batch", "Job", "x=1", 'field label "x" not supported for Job'),
        ("", "Event", "regarding.name=1", "field label not supported: regarding.name"),
        ("events.k8s.io", "Event", "involvedObject.name=1", "field label not supported: involvedObject.name"),
    ],
)
def test_what_cannot_be_selected(group: str, kind: str, text: str, says: str) -> None:
    assert refusal(BUILTIN[group, kind], text) == says


@pytest.mark.parametrize("kind", sorted(one[1] for one in BUILTIN if one[0] == ""))
def test_name_selects_in_every_kind(kind: str) -> None:
    assert selects(BUILTIN["", kind], "metadata.name=a", an())
    assert not selects(BUILTIN["", kind], "metadata.name!=a", an())


@pytest.mark.parametrize(
    ("group", "kind", "text", "members"),
    [
        ("", "Pod", "spec.nodeName=", {}),
        ("", "Pod", "spec.host=n,status.phase!=Failed", {"spec": {"nodeName": "n"}, "status": {"phase": "Running"}}),
        ("", "Pod", "spec.hostNetwork=false", {"spec": {}}),
        ("", "Pod", "spec.hostNetwork=true", {"spec": {"hostNetwork": True}}),
        ("", "Pod", "status.podIP=1.2.3.4,status.podIPs=", {"status": {"podIP": "1.2.3.4", "podIPs": [{}]}}),
        ("", "Pod", "metadata.namespace=n", {}),
        ("", "Node", "spec.unschedulable=false", {}),
        ("", "Namespace", "status.phase=Active", {"status": {"phase": "Active"}}),
        ("", "Secret", "type=x/y", {"type": "x/y"}),
        ("", "Service", "spec.type!=NodePort", {"spec": {"type": "ClusterIP"}}),
        ("", "ReplicationController", "status.replicas=0", {}),
        ("batch", "Job", "status.successful=1", {"status": {"succeeded": 1}}),
        ("", "Event", "source=c", {"source": {"component": "c"}, "reportingComponent": "d"}),
        ("", "Event", "source=d,reportingComponent=d", {"source": {}, "reportingComponent": "d"}),
        ("", "Event", "involvedObject.name=a,reason=Why", {"involvedObject": {"name": "a"}, "reason": "Why"}),
        ("", "Event", "involvedObject.kind=Pod", {"regarding": {"kind": "Pod"}}),
        (
            "events.k8s.io",
            "Event",
            "regarding.kind=Pod,source=c",
            {"regarding": {"kind": "Pod"}, "reportingController": "c"},
        ),
        ("events.k8s.io", "Event", "reportingController=c", {"involvedObject": {}, "reportingComponent": "c"}),
    ],
)
def test_fields_of_kinds(group: str, kind: str, text: str, members: dict[str, Any]) -> None:
    assert selects(BUILTIN[group, kind], text, an(**members))
    assert not selects(BUILTIN[group, kind], f"{text},metadata.name=other", an(**members))


def test_custom_kinds_have_their_own() -> None:
    widgets = custom(".spec.size", ".spec.on")
    assert selects(widgets, "spec.size=5,spec.on=true", an(spec={"size": 5, "on": True}))
    assert selects(widgets, "spec.size=,spec.on=", an())
    assert selects(widgets, "spec.size=", an(spec="odd"))
    assert refusal(widgets, "spec.color=x") == "field label not supported: spec.color"
    assert refusal(custom(), "spec.size=x") == "field label not supported: spec.size"
    assert refusal(custom(namespaced=False), "metadata.namespace=x") == "field label not supported: metadata.namespace"


def test_a_definition_that_is_gone_is_forgotten() -> None:
    resource = custom(".spec.size")
    assert selects(resource, "spec.size=1", an(spec={"size": 1}))
    gone = weakref.ref(resource)
    del resource
    gc.collect()
    assert gone() is None
