"""Where the resource of a trigger comes from."""

from __future__ import annotations

import json
from typing import Any

import pytest

from events.credentials import Credentials
from events.errors import ActionError, InvalidObject
from events.logs import Log
from events.problems import Problems, Severity
from sensors import artifacts
from sensors.artifacts.locations import ArtifactLocation
from sensors.base import TriggerContext


def refuse() -> Any:
    raise AssertionError("not needed here")


CONTEXT = TriggerContext("ns", "s", "t", Log("test"), Credentials(()), kube=refuse, http=refuse)

GIT = {
    "url": "https://h/r",
    "cloneDirectory": "/git",
    "filePath": "a.yaml",
    "sshKeySecret": {"name": "s", "key": "k"},
    "insecureIgnoreHostKey": True,
    "githubApp": {"privateKey": {"name": "s", "key": "k"}, "appID": 1, "installationID": 2},
    "remote": {"name": "r", "urls": ["u"]},
}
GIT_PLAIN = {"url": "https://h/r", "cloneDirectory": "/git", "filePath": "a.yaml"}
S3 = {
    "endpoint": "h:9000",
    "bucket": {"name": "b", "key": "k"},
    "accessKey": {"name": "s", "key": "a"},
    "secretKey": {"name": "s", "key": "b"},
    "insecure": True,
}


def location(**raw: Any) -> ArtifactLocation:
    return ArtifactLocation.parse(raw)


async def load(**raw: Any) -> Any:
    return json.loads(await artifacts.Artifact(location(**raw), CONTEXT).load())


def found(where: ArtifactLocation | None) -> list[tuple[str, str]]:
    problems = Problems()
    artifacts.validate(where, problems.at("source"))
    return [(problem.severity.value, f"{problem.path}: {problem.message}") for problem in problems]


async def test_a_resource_is_used_as_it_is() -> None:
    obj = {"kind": "Pod", "x": [1, {"y": None}], "when": "2020-01-01"}
    assert await load(resource=obj) == obj


@pytest.mark.parametrize(
    ("text", "obj"),
    [
        ("kind: Pod\nwhen: 2020-01-01T00:00:00Z\n", {"kind": "Pod", "when": "2020-01-01T00:00:00Z"}),
        ("---\nkind: Pod\n---\n", {"kind": "Pod"}),
        ('{\n\t"kind": "Pod", "n": 1.50}', {"kind": "Pod", "n": 1.5}),
        ("a: &x {b: c}\nd: *x", {"a": {"b": "c"}, "d": {"b": "c"}}),
    ],
)
async def test_inline_text_is_yaml_or_json(text: str, obj: Any) -> None:
    assert await load(inline=text) == obj
    assert found(location(inline=text)) == []


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("kind: [Pod", "line 2, column 1"),
        ("- a\n- b", "is not an object"),
        ("just text", "is not an object"),
        ("", "is empty"),
        ("a: 1\n---\nb: 2", "2 documents"),
        ('{"a":' * 300 + "1" + "}" * 300, "not JSON"),
    ],
)
async def test_malformed_text_is_refused_at_validation_and_fails_at_run_time(text: str, error: str) -> None:
    with pytest.raises(ActionError, match=f"artifact 'inline': .*{error}"):
        await load(inline=text)
    [(severity, message)] = found(location(inline=text))
    assert severity == "error"
    assert message.startswith("source.inline: ")
    assert error in message


def test_a_key_given_twice_is_only_a_warning() -> None:
    problem = "source.inline: line 2, column 1: 'a' is given twice, the last one counts"
    assert found(location(inline="a: 1\na: 2")) == [("warning", problem)]


async def test_text_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = artifacts.Artifact(location(inline="a: 1"), CONTEXT)
    first = await artifact.load()
    monkeypatch.setattr(artifacts, "to_json", refuse)
    assert await artifact.load() is first


@pytest.mark.parametrize(
    ("raw", "kinds"),
    [
        ({"inline": "a: 1", "resource": {"b": 2}}, ["inline", "resource"]),
        ({"url": {"path": "u"}, "file": {"path": "f"}}, ["file", "url"]),
        ({"resource": {}, "configmap": {"name": "c", "key": "k"}, "git": GIT}, ["git", "configmap", "resource"]),
        ({"git": GIT, "s3": S3, "inline": ""}, ["s3", "inline", "git"]),
        ({}, []),
    ],
)
def test_the_first_of_several_counts(raw: dict[str, Any], kinds: list[str]) -> None:
    assert location(**raw).given() == kinds


async def test_of_inline_and_resource_inline_counts_with_a_warning() -> None:
    both: dict[str, Any] = {"inline": "a: 1", "resource": {"b": 2}}
    assert await load(**both) == {"a": 1}
    problem = "source.resource: ignored: 'inline' is given, too, and comes first"
    assert found(location(**both)) == [(Severity.WARNING.value, problem)]


@pytest.mark.parametrize(
    ("raw", "paths"),
    [
        ({"file": {"path": "/a"}}, []),
        ({"file": {}}, ["source.file.path"]),
        ({"url": {"path": "https://h/a", "verifyCert": True}}, []),
        ({"url": {"path": "http://h/a"}}, []),
        ({"url": {"path": "s3://h/a", "verifyCert": False}}, ["source.url.path", "source.url.verifyCert"]),
        ({"configmap": {"name": "c", "key": "k"}}, []),
        ({"configmap": {}}, ["source.configmap.name", "source.configmap.key"]),
        ({"s3": S3}, []),
        ({"s3": S3 | {"endpoint": "http://h:9000"}}, ["source.s3.endpoint"]),
        ({"s3": S3 | {"bucket": {"name": ""}}}, ["source.s3.bucket.name", "source.s3.bucket.key"]),
        ({"git": GIT}, ["source.git.insecureIgnoreHostKey"]),
        ({"git": GIT_PLAIN}, []),
        ({"git": GIT_PLAIN | {"url": "git@github.com:argoproj/argo.git"}}, []),
        ({"git": GIT_PLAIN | {"url": "file:///etc"}}, ["source.git.url"]),
        ({"git": GIT_PLAIN | {"filePath": "../a"}}, ["source.git.filePath"]),
        ({"git": GIT_PLAIN | {"tag": "a b"}}, ["source.git.tag"]),
        ({"git": GIT_PLAIN | {"ref": "-x", "tag": "a b"}}, ["source.git.ref"]),
        ({"git": GIT_PLAIN | {"branch": "a..b"}}, ["source.git.branch"]),
        ({"git": GIT_PLAIN | {"remote": {"name": "r", "urls": []}}}, ["source.git.remote.urls"]),
        (
            {"git": GIT_PLAIN | {"creds": {}, "githubApp": GIT["githubApp"], "sshKeySecret": GIT["sshKeySecret"]}},
            ["source.git.githubApp", "source.git.sshKeySecret"],
        ),
    ],
)
def test_what_is_outside_is_warned_about_where_it_looks_wrong(raw: dict[str, Any], paths: list[str]) -> None:
    assert [(severity, text.partition(": ")[0]) for severity, text in found(location(**raw))] == [
        ("warning", path) for path in paths
    ]


@pytest.mark.parametrize("where", [None, ArtifactLocation()])
async def test_a_source_is_required(where: ArtifactLocation | None) -> None:
    assert found(where) == [("error", "source: required")]


@pytest.mark.parametrize("raw", [{"gti": {}}, {"git": {"url": "u"}}, {"resource": "text"}, {"inline": 1}])
def test_a_location_of_another_shape_is_invalid(raw: dict[str, Any]) -> None:
    with pytest.raises(InvalidObject):
        location(**raw)
