"""The verbs of every day: what was typed, what is read, how it is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from events import yamls
from events.app import cli, kubeconfig
from events.app.cli import verbs
from events.app.verbs import arguments, inputs, pods, written
from events.app.verbs.tables import Columns, Style, Tables
from events.errors import UserError
from events.kube.api import KubeError, Resource
from events.kube.discovery import Catalogue, Kind


class Paper:
    """A screen that remembers."""

    def __init__(self) -> None:
        self.said = ""

    def line(self, text: str) -> None:
        self.said += f"{text}\n"

    def text(self, text: str) -> None:
        self.said += text

    def flush(self) -> None:
        """Nothing waits."""


def kind(
    group: str, version: str, plural: str, name: str, *shorts: str, within: str = "all", home: bool = True
) -> Kind:
    resource = Resource(group, version, plural, name, namespaced=home)
    return Kind(resource, name.lower(), shorts, tuple(within.split(",")), ("get", "list"))


POD = kind("", "v1", "pods", "Pod", "po")
SERVICE = kind("", "v1", "services", "Service", "svc")
EVENT = kind("", "v1", "events", "Event", "ev", within="")
NEW_EVENT = kind("events.k8s.io", "v1", "events", "Event", "ev", within="")
DEPLOYMENT = kind("apps", "v1", "deployments", "Deployment", "deploy")
OLD_DEPLOYMENT = kind("apps", "v1beta1", "deployments", "Deployment", "deploy")
NODE = kind("", "v1", "nodes", "Node", "no", within="", home=False)
CATALOGUE = Catalogue([POD, SERVICE, EVENT, NODE, NEW_EVENT, DEPLOYMENT, OLD_DEPLOYMENT])


# names of kinds


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *[(text, [POD]) for text in ("po", "pod", "pods", "Pod", "PODS", "pods.v1", "po.v1")],
        *[(text, [DEPLOYMENT]) for text in ("deploy", "deployment.apps", "deploy.apps", "deployments.v1.apps")],
        ("deployments.v1beta1.apps", [OLD_DEPLOYMENT]),
        ("ev", [EVENT]),
        ("events.events.k8s.io", [NEW_EVENT]),
        ("po,svc,pods", [POD, SERVICE]),
        ("all", [POD, SERVICE, DEPLOYMENT]),
        ("no,all", [NODE, POD, SERVICE, DEPLOYMENT]),
    ],
)
def test_names_of_kinds_are_those_of_kubectl(text: str, found: list[Kind]) -> None:
    assert CATALOGUE.several(text) == found


def test_an_unknown_kind_is_told_with_what_may_have_been_meant() -> None:
    with pytest.raises(UserError, match=r"resource type 'pots' \(did you mean 'po"):
        CATALOGUE.several("pots")
    with pytest.raises(UserError, match=r"deploy\.batch"):
        CATALOGUE.find("deploy.batch")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["po"], ["pods"]),
        (["po", "a", "b"], ["pod/a", "pod/b"]),
        (["po,svc", "a"], ["pod/a", "service/a"]),
        (["po/a", "deploy/b"], ["pod/a", "deployment.apps/b"]),
    ],
)
def test_words_are_kinds_with_names_or_pairs(words: list[str], found: list[str]) -> None:
    assert list(map(str, arguments.targets(CATALOGUE, words))) == found


@pytest.mark.parametrize("words", [[], ["po", "svc/a"], ["po/a", "b"], ["po/"], ["/a"], ["po/a/b"]])
def test_words_that_mean_nothing_are_refused(words: list[str]) -> None:
    with pytest.raises(UserError):
        arguments.targets(CATALOGUE, words)


# tables


def test_columns_are_six_wide_and_three_apart_and_later_rows_stand_under_the_first() -> None:
    columns = Columns()
    assert list(columns.aligned([["NAME", "X", "AGE"], ["a", "", "1s"]])) == ["NAME   X     AGE", "a            1s"]
    assert list(columns.aligned([["long-name", "y", "2s"]])) == ["long-name   y     2s"]
    assert list(columns.aligned([["b", "z", "3s"]])) == ["b           z     3s"]


def table(*rows: list[Any], definitions: bool = True) -> dict[str, Any]:
    columns = [{"name": "Name", "format": "name"}, {"name": "Ready"}, {"name": "Node", "priority": 1}]
    found = [
        {"cells": cells, "object": {"metadata": {"namespace": "ns", "name": cells[0], "labels": {"b": "2", "a": "1"}}}}
        for cells in rows
    ]
    return {"kind": "Table", "columnDefinitions": columns if definitions else None, "rows": found}


def test_a_table_has_the_columns_that_were_asked_for() -> None:
    plain, full = Paper(), Paper()
    shown = Tables(plain, Style())  # type: ignore[arg-type]
    shown.add(POD, table(["a", True, "n"]))
    shown.flush()
    assert plain.said == "NAME   READY\na      true\n"
    style = Style(is_wide=True, has_namespaces=True, has_kinds=True, has_labels=True)
    shown = Tables(full, style)  # type: ignore[arg-type]
    shown.add(POD, table(["a", "two\nlines", None]))
    shown.flush()
    shown.add(NODE, table(["n", 1, "x"]))
    shown.flush()
    assert full.said == (
        "NAMESPACE   NAME    READY    NODE   LABELS\n"
        "ns          pod/a   two...          a=1,b=2\n"
        "\n"
        "NAMESPACE   NAME     READY   NODE   LABELS\n"
        "ns          node/n   1       x      a=1,b=2\n"
    )


def test_rows_of_a_watch_have_no_heading_and_need_no_definitions() -> None:
    paper = Paper()
    shown = Tables(paper, Style())  # type: ignore[arg-type]
    shown.add(POD, table())
    shown.flush()
    assert (paper.said, shown.is_empty) == ("", True)
    shown.add(POD, table(["a", "x", ""]))
    shown.flush()
    shown.add(POD, table(["a", "y", ""], definitions=False))
    shown.flush()
    assert paper.said == "NAME   READY\na      x\na      y\n"


def test_a_server_without_tables_is_shown_by_name() -> None:
    paper = Paper()
    items = [{"metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"}}]
    shown = Tables(paper, Style())  # type: ignore[arg-type]
    shown.add(POD, {"kind": "PodList", "items": items})
    shown.flush()
    assert paper.said == "NAME   CREATED AT\na      2026-01-01T00:00:00Z\n"


# objects


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_list_that_was_written_piece_by_piece_is_one_list(form: str, count: int) -> None:
    paper = Paper()
    out = written.Written(paper, form, is_list=True)  # type: ignore[arg-type]
    objects = [
        {"metadata": {"name": f"a{number}"}, "data": {"x": "two\n\nlines\n", "n": "1"}} for number in range(count)
    ]
    for one in objects:
        out.add(POD, {**one, "metadata": {**one["metadata"], "managedFields": [1]}})
    out.end()
    whole = [{"apiVersion": "v1", "kind": "Pod", **one} for one in objects]
    read = json.loads(paper.said) if form == "json" else yamls.load_one(paper.said)
    assert read == {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": whole}


def test_one_object_is_written_as_it_is_and_names_have_their_kind() -> None:
    paper = Paper()
    out = written.Written(paper, "yaml", is_list=False)  # type: ignore[arg-type]
    out.add(DEPLOYMENT, {"metadata": {"name": "d"}, "b": [{"c": 1}], "a": 1})
    out.end()
    assert paper.said == "a: 1\napiVersion: apps/v1\nb:\n- c: 1\nkind: Deployment\nmetadata:\n  name: d\n"
    names = Paper()
    written.Written(names, "name", is_list=True).add(DEPLOYMENT, {"metadata": {"name": "d"}})  # type: ignore[arg-type]
    assert names.said == "deployment.apps/d\n"


# files


def test_namespaces_and_definitions_come_first_and_the_rest_in_its_order(tmp_path: Path) -> None:
    kinds = ("ConfigMap", "Widget", "CustomResourceDefinition", "Namespace", "Secret")
    texts = [f"apiVersion: v1\nkind: {one}\nmetadata: {{name: x}}\n" for one in kinds]
    (tmp_path / "all.yaml").write_text("---\n".join(texts))
    found = inputs.read([str(tmp_path)], is_deep=False)
    assert [one.raw["kind"] for one in found.documents] == [
        *("Namespace", "CustomResourceDefinition", "ConfigMap", "Widget", "Secret")
    ]


def test_what_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [b")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe")
    (tmp_path / "c.yaml").write_text("kind: Pod\nmetadata: {name: x}\n---\napiVersion: v1\nkind: Pod\nmetadata: {}\n")
    (tmp_path / "e.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: n}\n")
    (tmp_path / "d.yaml").write_text("- a list\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: good}\n")
    found = inputs.read([str(tmp_path)], is_deep=False)
    assert [one.name for one in found.documents] == ["Pod/good"]
    said = "\n".join(map(str, found.problems))
    assert "a.yaml:2:1: cannot be read" in said
    assert "b.yaml: cannot be read: it is not UTF-8" in said
    assert "c.yaml:1:1: Pod/x: apiVersion: required" in said
    assert "c.yaml:6:1: Pod/?: metadata.name: required" in said
    assert "e.yaml:3:12: Pod/?: metadata.name: False is not text (put it in quotes)" in said
    assert "d.yaml:1:1: a document is not an object" in said


@pytest.mark.parametrize(
    ("file", "error"),
    [("https://a.b/c.yaml", "curl -fsSL"), ("/nowhere.yaml", "no such file"), ("empty", "there is no object in it")],
)
def test_files_that_hold_nothing_are_told(tmp_path: Path, file: str, error: str) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(UserError, match=error):
        inputs.read([file if file != "empty" else str(tmp_path / "empty")], is_deep=False)


def test_a_refusal_names_each_field_and_its_place(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\nspec:\n  containers:\n  - nmae: y\n")
    (document,) = inputs.read([str(file)], is_deep=False).documents
    causes = [{"field": "spec.containers[0].name", "message": "Required value"}, {"message": "no field"}]
    error = KubeError(422, "Invalid", "Pod is invalid", {"causes": causes})
    (problem,) = inputs.problems(document, error, "")
    assert str(problem) == f"{file}:7:5: Pod/x: spec.containers[0].name: Required value"
    strict = KubeError(400, "BadRequest", 'strict decoding error: unknown field "spec.containers[0].nmae"')
    (problem,) = inputs.problems(document, strict, "")
    assert str(problem).startswith(f"{file}:7:5: Pod/x: spec.containers[0].nmae: unknown field (")


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            '.spec.containers[name="b"].imge: field not declared in schema',
            "9:5: Pod/x: spec.containers[1].imge: unknown",
        ),
        ('.spec.containers[name=""].x: field not declared in schema', "6:3: Pod/x: spec.containers: unknown field"),
        (".spec.replicas: expected numeric, got string", "5:1: Pod/x: spec.replicas: expected numeric, got string"),
        ("no path", "1:1: Pod/x: all of it"),
    ],
)
def test_what_server_side_apply_says_of_fields_is_found(tmp_path: Path, message: str, said: str) -> None:
    file = tmp_path / "a.yaml"
    containers = "  containers:\n  - name: a\n  - name: b\n    imge: c\n"
    file.write_text(f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\nspec:\n{containers}")
    (document,) = inputs.read([str(file)], is_deep=False).documents
    for text in (f"failed to create typed patch object (/x; v1): {message}", f"(/x; v1): errors:\n  {message}\n"):
        (problem,) = inputs.problems(document, KubeError(400, "BadRequest", text), "all of it")
        assert str(problem).startswith(f"{file}:{said}")


def test_an_object_of_another_namespace_is_not_moved() -> None:
    (document,) = [inputs.Document("f", {"kind": "Pod", "metadata": {"name": "x", "namespace": "a"}})]
    assert inputs.home(document, "", "b") == "a"
    with pytest.raises(UserError, match="leave one of them away, or give -n a"):
        inputs.home(document, "b", "b")


# pods of objects


@pytest.mark.parametrize(
    ("api", "name", "spec", "selector"),
    [
        ("argoproj.io/v1alpha1", "Sensor", {}, "controller=sensor-controller,owner-name=x"),
        ("argoproj.io/v1alpha1", "EventBus", {}, "controller=eventbus-controller,owner-name=x"),
        ("argoproj.io/v1alpha1", "EventSource", {}, "controller=eventsource-controller,owner-name=x"),
        ("argoproj.io/v1alpha1", "Workflow", {}, "workflows.argoproj.io/workflow=x"),
        ("v1", "Service", {"selector": {"a": "b", "c": "d"}}, "a=b,c=d"),
        ("v1", "Service", {}, ""),
        ("v1", "ConfigMap", None, ""),
        ("v1", "PersistentVolumeClaim", {"selector": "odd"}, ""),
        (
            "apps/v1",
            "Deployment",
            {
                "selector": {
                    "matchLabels": {"a": "b"},
                    "matchExpressions": [
                        {"key": "k", "operator": "In", "values": ["1", "2"]},
                        {"key": "l", "operator": "NotIn", "values": ["3"]},
                        {"key": "m", "operator": "Exists"},
                        {"key": "n", "operator": "DoesNotExist"},
                    ],
                }
            },
            "a=b,k in (1,2),l notin (3),m,!n",
        ),
    ],
)
def test_pods_are_found_by_what_their_owner_selects(api: str, name: str, spec: Any, selector: str) -> None:
    group, _, version = api.rpartition("/")
    resource = Resource(group, version, f"{name.lower()}s", name, namespaced=True)
    assert pods.selector(resource, {"metadata": {"name": "x"}, "spec": spec}) == selector


def test_the_default_container_is_the_noted_one_else_the_first() -> None:
    pod: dict[str, Any] = {"metadata": {}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}}
    assert pods.default_container(pod) == ("a", ["b"])
    pod["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "b"}
    assert pods.default_container(pod) == ("b", ["a"])
    pod["spec"]["initContainers"] = [{"name": "i"}]
    assert pods.containers(pod) == ["i", "a", "b"]


# the command line


def test_every_verb_is_looked_up_before_anything_is_imported() -> None:
    assert sorted(cli.VERBS) == sorted(verbs.VERBS)


@pytest.mark.parametrize(
    "words",
    [
        ["get", "pods", "--bad"],
        ["get", "pods", "-o", "toml"],
        ["get", "po", "--request-timeout", "soon"],
        ["delete", "po", "--wait=maybe"],
        ["logs", "a", "--tail", "x"],
        ["apply", "-f"],
    ],
)
def test_options_that_are_none_are_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        verbs.main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("keryx: ")


@pytest.mark.parametrize(
    "words",
    [
        ["apply"],
        ["create"],
        ["create", "pod", "x"],
        ["create", "ns"],
        ["delete"],
        ["logs", "-c", "x"],
        ["logs", "a", "-l", "b"],
    ],
)
def test_words_without_a_meaning_are_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert verbs.main(words) == 2
    assert "(" in capsys.readouterr().err, "says what to do"


def test_the_kubeconfig_is_the_options_then_the_environments_then_that_of_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    assert kubeconfig.find(None) is None
    own = Path(".keryx/up/kubeconfig")
    own.parent.mkdir(parents=True)
    own.touch()
    assert kubeconfig.find(None) == str(own)
    monkeypatch.setenv("KUBECONFIG", "a:b")
    assert kubeconfig.find(None) == "a:b"
    assert kubeconfig.find(Path("c")) == "c"
