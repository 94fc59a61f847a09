"""`keryx run --check` and the command line itself: everything that is wrong, at once, and where."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.keryx import dependency, obj, relay, run_to_end, webhook, write

URL = "http://127.0.0.1:9/"


def sensor(name: str, *triggers: dict[str, Any], dependencies: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return obj("Sensor", name, {"dependencies": dependencies or [dependency()], "triggers": list(triggers)})


def logs(name: str = "log", **more: Any) -> dict[str, Any]:
    return {"template": {"name": name, "log": {}, **more}}


def problems(*paths: Path, arguments: tuple[str, ...] = ()) -> tuple[int, list[str]]:
    """Exit code and the lines on stderr, without the folder and the places in the files."""
    result = run_to_end("run", "--check", *arguments, *paths)
    assert "Traceback" not in result.stderr
    said = result.stderr.replace(f"{paths[0]}/", "")
    return result.returncode, re.sub(r"yaml:\d+:\d+: ", "yaml: ", said).splitlines()


MISTAKES: list[tuple[dict[str, Any], str]] = [
    (
        obj("Snesor", "a", {}),
        "Snesor/a: kind: unknown kind 'Snesor' (did you mean 'Sensor'?)",
    ),
    (
        webhook(9100) | {"apiVersion": "argoproj.io/v1"},
        "EventSource/hooks: apiVersion: 'argoproj.io/v1' is not a version of EventSource (write argoproj.io/v1alpha1)",
    ),
    (
        obj("Sensor", "a", {"dependencies": [dependency()], "triggres": []}),
        "Sensor/a: spec.triggres: unknown field (did you mean 'triggers'?)",
    ),
    (
        obj("EventSource", "a", {"webhok": {}}),
        "EventSource/a: spec.webhok: unknown event source or field (did you mean 'webhook'?)",
    ),
    (
        obj("EventSource", "a", {"kafka": {"x": {"url": "a"}}}),
        "EventSource/a: spec.kafka.x.topic: required",
    ),
    (
        webhook(9100, endpont="/x"),
        "EventSource/hooks: spec.webhook.posted.endpont: unknown field (did you mean 'endpoint'?)",
    ),
    (
        sensor("a", logs(), dependencies=[
            dependency(filters={"data": [{"path": "x", "type": "string", "value": ["("]}]})]),
        "Sensor/a: spec.dependencies[0].filters.data[0]",
    ),
    (
        sensor("a", logs(conditions="posted && other")),
        "Sensor/a: spec.triggers[0].template.conditions: ",
    ),
    (
        sensor("a", {"template": {"name": "x", "htttp": {}}}),
        "Sensor/a: spec.triggers[0].template.htttp: unknown field (did you mean 'http'?)",
    ),
    (
        sensor("a", {"template": {"name": "x", "slack": {}}}),
        "Sensor/a: spec.triggers[0].template.slack.slackToken: required",
    ),
    (
        sensor("a", {"template": {"name": "x", "k8s": {"operation": "create", "source": {"resource": {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}}}}}),
        "Sensor/a: spec.triggers[0].template.k8s: there is no Kubernetes API to act on (give --kubeconfig FILE, or "
        "--dry-run to print what would be created)",
    ),
    (
        webhook(9100, authSecret={"name": "door", "key": "token"}),
        "EventSource/hooks: spec.webhook.posted.authSecret: there is no Secret 'door' (add it to the files, or give "
        "--credentials DIR with the file secrets/door/token)",
    ),
    (
        sensor("a", {"template": {"name": "x", "http": {"url": URL, "method": "GET", "secureHeaders": [
            {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]}}}),
        "Sensor/a: spec.triggers[0].template.http.secureHeaders[0].valueFrom.configMapKeyRef: there is no ConfigMap",
    ),
    (
        obj("EventBus", "default", {"jetstreamExotic": {"url": "x", "accessSecret": {"name": "bus", "key": "auth"}}}),
        "EventBus/default: spec.jetstreamExotic.accessSecret: there is no Secret 'bus'",
    ),
    (
        relay(URL, at_least_once=True) | {"spec": relay(URL, at_least_once=True)["spec"] | {"eventBusName": "other"}},
        "Sensor/relay: spec.eventBusName: there is no EventBus 'other'",
    ),
    (
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "../../out"}, "stringData": {"a": "b"}},
        "Secret/../../out: metadata.name: '../../out' is not the name of a Secret",
    ),
    (
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"../a": "b"}},
        "Secret/s: stringData.../a: '../a' cannot be a key",
    ),
    (
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "t"}, "data": {"a": "not base64!"}},
        "Secret/t: data.a: is not base64 (write it under stringData as it is)",
    ),
    ({"apiVersion": "v1", "kind": "Secret", "metadata": [], "data": []}, "Secret/?: metadata.name: required"),
    ({"kind": "Sensor"}, "Sensor/?: apiVersion and kind are required"),
]  # fmt: skip


def test_everything_is_listed_at_once_with_file_object_path_and_cure(tmp_path: Path) -> None:
    for number, (document, _) in enumerate(MISTAKES):
        metadata = document.get("metadata")
        if isinstance(metadata, dict) and document["kind"] != "Secret":  # or else one name is used again and again
            document = document | {"metadata": metadata | {"namespace": f"n{number}"}}
        write(tmp_path / f"{number:02}/it.yaml", document)
    code, lines = problems(tmp_path)
    assert code == 2
    missing = [
        f"{number:02}/it.yaml: {text}"
        for number, (_, text) in enumerate(MISTAKES)
        if not any(line.startswith(f"error: {number:02}/it.yaml: {text}") for line in lines)
    ]
    assert not missing, "\n".join(lines)


def test_a_file_that_is_not_yaml_is_named_with_its_line_and_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("apiVersion: argoproj.io/v1alpha1\nkind: Sensor\n  metadata: {\n")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "c.yaml").write_text("[" * 5000)
    (tmp_path / "d.yaml").write_text("just text\n---\n---\n")
    write(tmp_path / "e.yaml", webhook(9100, portt="1"))
    assert "a.yaml:3:11: cannot be read: mapping values" in run_to_end("run", "--check", tmp_path).stderr
    code, lines = problems(tmp_path)
    assert code == 2
    assert [line.split(":")[1].strip() for line in lines] == [f"{name}.yaml" for name in "abcde"]


def test_what_two_objects_take_from_each_other_is_said(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", webhook(9100, "one"))
    write(tmp_path / "b.yaml", webhook(9100, "two"))
    write(tmp_path / "c.yaml", webhook(9200, "one"))
    code, lines = problems(tmp_path)
    assert code == 2
    assert any(
        line.startswith("error: b.yaml: EventSource/two: spec.webhook.posted.endpoint: /posted on port 9100 is also")
        for line in lines
    )
    twice = "EventSource default/one is also in "
    assert any(line.startswith("error: c.yaml: EventSource/one: metadata.name: ") and twice in line for line in lines)


def test_good_objects_are_valid_whatever_else_is_in_the_folder(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", webhook(9100), relay(URL, at_least_once=True))
    for number, (group, kind) in enumerate(
        [
            ("argoproj.io/v1alpha1", "Workflow"),
            ("argoproj.io/v1alpha1", "Application"),
            ("apps/v1", "Deployment"),
            ("v1", "Service"),
            ("bitnami.com/v1alpha1", "SealedSecret"),
            ("external-secrets.io/v1", "ExternalSecret"),
        ]
    ):
        write(tmp_path / f"{number}.yaml", {"apiVersion": group, "kind": kind, "metadata": {"name": "x"}})
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    result = run_to_end("run", "--check", tmp_path, tmp_path / "a.yaml")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "valid: 0 buses, 1 event sources, 1 sensors\n"


def test_warnings_do_not_refuse(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", webhook(9100), sensor("a", logs(), dependencies=[dependency("psted")]))
    code, lines = problems(tmp_path)
    assert code == 0
    assert lines == [
        "warning: a.yaml: Sensor/a: spec.dependencies[0]: no event source here publishes hooks/psted "
        "(did you mean 'hooks/posted'?)"
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "Missing argument"),
        (("nowhere",), "nowhere: no such file or folder"),
        ((".", "--chek"), "No such option"),
        ((".", "--grace", "-1"), "grace"),
        ((".", "--metrics-port", "70000"), "metrics-port"),
        ((".", "--kubeconfig", "nowhere"), "nowhere"),
        ((".", "--credentials", "nowhere"), "nowhere"),
        ((".", "--log-level", "loud"), "loud"),
        ((".",), "nothing to run"),
    ],
)
def test_a_wrong_command_line_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run_to_end("run", *arguments)
    assert result.returncode == 2
    assert text in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("data", ["file", "/proc/keryx"])
def test_a_data_directory_that_cannot_be_used_is_refused(tmp_path: Path, data: str) -> None:
    write(tmp_path / "a.yaml", sensor("a", logs()))
    (tmp_path / "file").touch()
    result = run_to_end("run", tmp_path, "--data", tmp_path / data)
    assert result.returncode == 2
    assert "cannot keep the bus in" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_kubeconfig_that_is_none_is_refused_at_the_start(tmp_path: Path) -> None:
    write(tmp_path / "in/a.yaml", sensor("a", logs()))
    (tmp_path / "config").write_text("this: is not one\n")
    result = run_to_end("run", tmp_path / "in", "--data", tmp_path / "data", "--kubeconfig", tmp_path / "config")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["sensor-service", "eventsource-service"])
@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({}, "_OBJECT: required"),
        ({"SENSOR_OBJECT": "?", "EVENTSOURCE_OBJECT": "?"}, "_OBJECT: is not base64 of JSON"),
        ({"KERYX_GRACE": "soon"}, "KERYX_GRACE: 'soon' is not a number"),
        ({"KERYX_METRICS_PORT": "70000"}, "KERYX_METRICS_PORT: '70000' is out of range"),
    ],
)
def test_a_wrong_environment_of_a_pod_is_refused(command: str, environ: dict[str, str], text: str) -> None:
    result = run_to_end(command, **environ)
    assert result.returncode == 2
    assert text in result.stderr
    assert "Traceback" not in result.stderr


def test_a_service_takes_no_object_of_another_kind(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", webhook(9100))
    result = run_to_end("sensor-service", "--object", tmp_path / "a.yaml", KERYX_METRICS_PORT="0")
    assert result.returncode == 2
    assert "has a EventSource, not a Sensor" in result.stderr


def test_the_version_is_printed() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", run_to_end("version").stdout)
