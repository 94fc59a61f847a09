"""The pods of Sensors and EventSources: mounts, environment, names, what of the author's comes first."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from events.errors import UserError
from events.kube import carried, pods
from eventsources import resources as event_sources
from eventsources import stored as event_source
from sensors import resources as sensors
from sensors import stored as sensor

SETTINGS = pods.PodSettings("keryx:test")
BUS = {"jetstream": {"url": "nats://h:4222", "accessSecret": {"name": "acc", "key": "a"}}}
CREATED = "2026-07-01T00:00:00Z"
SINCE = {"triggers": {"t": CREATED}, "complete": True}


def metadata(name: str = "one", **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": "ns", "uid": "u-1", "creationTimestamp": CREATED, "generation": 1} | more


def a_sensor(http: Any = None, **spec: Any) -> dict[str, Any]:
    template = {"name": "t", "http": {"url": "http://x", "method": "POST"} | (http or {})}
    return {
        "metadata": metadata(),
        "spec": {
            "dependencies": [{"name": "d", "eventSourceName": "s", "eventName": "e"}],
            "triggers": [{"template": template}],
        }
        | spec,
    }


def a_source(**spec: Any) -> dict[str, Any]:
    webhook = {"ev": {"endpoint": "/", "port": "12000", "method": "POST"}}
    return {"metadata": metadata(), "spec": {"webhook": webhook} | spec}


def of_sensor(raw: dict[str, Any], bus: Any = BUS) -> tuple[Any, Any]:
    return sensors.resources(raw, sensor.judge(raw), bus, SINCE, SETTINGS, name="it")


def of_source(raw: dict[str, Any], bus: Any = BUS) -> tuple[Any, Any, Any]:
    return event_sources.resources(raw, event_source.judge(raw), bus, SETTINGS, name="it")


def spec(deployment: Any) -> Any:
    return deployment["spec"]["template"]["spec"]


def main(deployment: Any) -> Any:
    return spec(deployment)["containers"][0]


def secret(name: str, key: str = "k") -> dict[str, str]:
    return {"name": name, "key": key}


def env(deployment: Any) -> dict[str, Any]:
    return {one["name"]: one.get("value") for one in main(deployment)["env"]}


# ---- mounts


def paths(deployment: Any) -> dict[str, str]:
    names = {one["name"] for one in spec(deployment)["volumes"]}
    mounts = main(deployment)["volumeMounts"]
    assert names == {one["name"] for one in mounts}
    assert len({one["mountPath"] for one in mounts}) == len(mounts)
    return {one["mountPath"]: one["name"] for one in mounts}


def test_a_secret_of_the_bus_that_the_object_names_too_is_mounted_once_and_whole() -> None:
    tls = {"caCertSecret": secret("shared", "ca"), "clientCertSecret": secret("b", "crt")}
    tls["clientKeySecret"] = secret("b", "key")
    bus = {"jetstream": BUS["jetstream"] | {"tls": tls}}
    _, made = of_sensor(a_sensor({"basicAuth": {"username": secret("shared"), "password": secret("shared")}}), bus)
    assert paths(made)["/argo-events/secrets/shared"] == "secret-shared"
    volumes = {one["name"]: one for one in spec(made)["volumes"]}
    assert "items" not in volumes["secret-shared"]["secret"]
    assert [one["key"] for one in volumes["b"]["secret"]["items"]] == ["crt", "key"]


@pytest.mark.parametrize(
    "names", [("a_b", "a-b"), ("my.secret", "my-secret"), ("x" * 80, "x" * 81), ("Upper", "upper")]
)
def test_names_of_volumes_are_labels_and_different(names: tuple[str, str]) -> None:
    auth = {"username": secret(names[0]), "password": secret(names[1])}
    found = paths(of_sensor(a_sensor({"basicAuth": auth}))[1])
    used = [found[f"/argo-events/secrets/{name}"] for name in names]
    assert len(set(used)) == 2
    assert all(len(name) <= 63 and name == name.lower() and "." not in name for name in used)


def test_the_authors_volumes_and_mounts_win_over_ours_of_the_same_name_or_path() -> None:
    template = {
        "volumes": [{"name": "scratch", "emptyDir": {"medium": "Memory"}}, {"name": "keryx", "emptyDir": {}}],
        "container": {
            "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}, {"name": "keryx", "mountPath": "/mine"}]
        },
    }
    found = paths(of_sensor(a_sensor(template=template))[1])
    assert found["/tmp"] == "scratch"
    assert found["/mine"] == "keryx"
    assert found["/etc/keryx"].startswith("keryx-")


def test_only_what_the_object_itself_refers_to_is_mounted_not_what_it_creates() -> None:
    pod = {"spec": {"containers": [{"env": [{"valueFrom": {"secretKeyRef": secret("of-the-pod")}}]}]}}
    resource = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "x-"}} | pod
    trigger = {"template": {"name": "t", "k8s": {"operation": "create", "source": {"resource": resource}}}}
    assert set(paths(of_sensor(a_sensor(triggers=[trigger]))[1])) == {"/tmp", "/etc/keryx", "/etc/eventbus/auth"}


def test_a_dead_letter_triggers_secrets_are_mounted() -> None:
    dead = {"atLeastOnce": True, "template": {"name": "d", "slack": {"slackToken": secret("slack"), "channel": "c"}}}
    raw = a_sensor()
    raw["spec"]["triggers"][0] |= {"atLeastOnce": True, "dlqTrigger": dead}
    assert "/argo-events/secrets/slack" in paths(of_sensor(raw)[1])


# ---- environment, security, probes


def test_ours_win_over_the_authors_variables_and_each_is_there_once() -> None:
    given = [{"name": name, "value": value} for name, value in (("A", "1"), ("POD_NAME", "me"), ("A", "2"))]
    _, made = of_sensor(a_sensor(template={"container": {"env": given}}))
    names = [one["name"] for one in main(made)["env"]]
    assert names == [
        "A",
        "KERYX_OBJECT_FILE",
        "EVENTBUS_SUBJECT",
        "POD_NAME",
        "LEADER_ELECTION",
        "KERYX_BUS_FILE",
        "KERYX_SINCE_FILE",
    ]
    assert env(made)["A"] == "2"
    assert env(made)["POD_NAME"] is None


@pytest.mark.parametrize(
    ("pod", "is_root"),
    [(None, False), ({"fsGroup": 1}, False), ({"runAsUser": 0}, True), ({"runAsNonRoot": False}, True)],
)
def test_pods_are_restricted_and_root_only_where_the_author_says_so(pod: Any, is_root: bool) -> None:
    template = {"securityContext": pod} if pod else {}
    _, made = of_sensor(a_sensor(template=template))
    context = main(made)["securityContext"]
    assert ("runAsNonRoot" not in context) is is_root
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert spec(made).get("securityContext") == pod


def test_a_security_context_and_resources_of_the_author_are_taken_as_they_are() -> None:
    own = {"securityContext": {"privileged": True}, "resources": {"limits": {"memory": "1Gi"}}}
    _, made = of_sensor(a_sensor(template={"container": own | {"imagePullPolicy": "Never"}}))
    assert {key: main(made)[key] for key in own} == own
    assert main(made)["imagePullPolicy"] == "Never"


def test_probes_and_grace_follow_the_services_own_settings() -> None:
    given = [{"name": "KERYX_METRICS_PORT", "value": "9000"}, {"name": "KERYX_GRACE", "value": "60s"}]
    _, made = of_sensor(a_sensor(template={"container": {"env": given}}))
    assert main(made)["ports"] == [{"name": "metrics", "containerPort": 9000}]
    assert main(made)["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
    assert spec(made)["terminationGracePeriodSeconds"] == 75
    assert spec(of_sensor(a_sensor())[1])["terminationGracePeriodSeconds"] == 40


def test_ports_below_1024_can_be_listened_on_without_root() -> None:
    low = {"ev": {"endpoint": "/", "port": "443", "method": "POST"}}
    assert spec(of_source(a_source(webhook=low))[1])["securityContext"]["sysctls"] == [pods.LOW_PORTS]
    assert "securityContext" not in spec(of_source(a_source())[1])


def test_workers_ask_for_more_memory() -> None:
    assert main(of_source(a_source(workers=4))[1])["resources"]["requests"]["memory"] == "288Mi"


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ({"volumes": [{"name": "a"}, {}]}, r"spec.template.volumes\[1\].name"),
        ({"container": {"env": [{"name": ["x"]}]}}, r"spec.template.container.env\[0\].name"),
        ({"container": {"volumeMounts": [{"mountPath": 5}]}}, r"volumeMounts\[0\].mountPath"),
    ],
)
def test_parts_of_a_template_that_cannot_be_told_apart_are_refused(template: Any, path: str) -> None:
    with pytest.raises(UserError, match=path):
        of_sensor(a_sensor(template=template))


# ---- names, labels, replicas


def test_the_deployments_name_follows_from_name_and_uid() -> None:
    first = pods.named({"metadata": metadata()}, pods.SENSOR)
    assert first == pods.named({"metadata": metadata()}, pods.SENSOR)
    assert first.startswith("one-sensor-")
    assert len(first) == len("one-sensor-") + 5
    assert first != pods.named({"metadata": metadata(uid="u-2")}, pods.SENSOR)
    assert len(pods.named({"metadata": metadata("x" * 200)}, pods.SENSOR)) == 63


def test_a_name_that_is_no_label_is_refused_with_the_reason() -> None:
    raw = a_sensor() | {"metadata": metadata("x" * 64)}
    with pytest.raises(UserError, match="at most 63 characters"):
        of_sensor(raw)


def test_a_service_whose_name_would_be_too_long_is_refused_with_the_reason() -> None:
    raw = a_source(service={"ports": [{"port": 1}]}) | {"metadata": metadata("x" * 60)}
    with pytest.raises(UserError, match=r"longer than 63.*remove spec.service"):
        of_source(raw)


def test_without_replicas_nobody_fights_with_an_autoscaler() -> None:
    assert "replicas" not in of_source(a_source())[1]["spec"]
    assert of_source(a_source(replicas=0))[1]["spec"]["replicas"] == 1
    assert of_source(a_source(replicas=3))[1]["spec"]["replicas"] == 3


# ---- what travels


def checksum(deployment: Any) -> str:
    return str(deployment["spec"]["template"]["metadata"]["annotations"]["object-checksum"])


def test_pods_roll_when_what_they_read_changes_and_only_then() -> None:
    before = checksum(of_source(a_source())[1])
    for same in (
        a_source(replicas=5),
        a_source(service={"ports": [{"port": 1}]}),
        a_source() | {"metadata": metadata(generation=7, labels={"a": "b"})},
    ):
        assert checksum(of_source(same)[1]) == before
    elected = metadata(annotations={"events.argoproj.io/leader-election": "k8s"})
    for other in (a_source(workers=2), a_source() | {"metadata": elected}):
        assert checksum(of_source(other)[1]) != before
    assert checksum(of_source(a_source(), {"jetstream": {"url": "nats://other"}})[1]) != before


def test_the_object_travels_with_what_its_pods_need_of_its_metadata() -> None:
    raw = a_sensor()
    raw["metadata"]["annotations"] = {"secret-to-nobody": "x", "events.argoproj.io/leader-election": "k8s"}
    config_map, made = of_sensor(raw)
    told = json.loads(config_map["data"]["object.json"])
    assert told["metadata"] == metadata(annotations={"events.argoproj.io/leader-election": "k8s"})
    assert told["spec"] == raw["spec"]
    assert json.loads(config_map["data"]["bus.json"]) == BUS
    assert carried.since_of(config_map) == SINCE
    assert env(made)["LEADER_ELECTION"] == "k8s"
    assert config_map["metadata"]["ownerReferences"][0]["controller"] is True


def test_a_large_object_is_compressed() -> None:
    raw = a_sensor({"headers": {f"h{n}": "x" * 1000 for n in range(900)}})
    config_map, made = of_sensor(raw)
    packed = base64.b64decode(config_map["binaryData"]["object.json.gz"])
    assert len(packed) < 100_000
    assert json.loads(gzip.decompress(packed))["spec"] == raw["spec"]
    assert env(made)["KERYX_OBJECT_FILE"] == "/etc/keryx/object.json.gz"
    assert config_map == of_sensor(raw)[0]


def test_an_object_too_large_for_a_config_map_is_refused_with_its_size() -> None:
    noise = base64.b64encode(
        b"".join(n.to_bytes(8, "big") + hash((n, "x")).to_bytes(8, "big", signed=True) for n in range(120_000))
    ).decode()
    with pytest.raises(UserError, match=r"bytes, \d+ of them compressed.*split it"):
        of_sensor(a_sensor({"headers": {"h": noise}}))
