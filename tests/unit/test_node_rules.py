"""The rules of the local node, without a node: environment, states, probes, pauses, images, names, claims."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from events.local.kubelet import environment, hosts, images, restarts, states, volumes
from events.local.kubelet.addresses import Addresses, part_of
from events.local.kubelet.environment import ConfigError
from events.local.kubelet.forwarding import Claim
from events.local.kubelet.images import Image, Images, PullError
from events.local.kubelet.node import claims_of
from events.local.kubelet.probes import Prober
from events.local.kubelet.states import ContainerState, Overall
from events.local.standins import argosay, cowsay, nats, nats_reloader

NOW = "2026-11-21T12:00:00Z"


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)-$(B)", "1-2"),
        ("$(UNKNOWN)", "$(UNKNOWN)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A ${A} $", "$A ${A} $"),
        ("$(A", "$(A"),
    ],
)
def test_variables_are_expanded_as_a_kubelet_does(text: str, expanded: str) -> None:
    assert environment.expand(text, {"A": "1", "B": "2"}) == expanded


def test_the_environment_takes_its_values_in_order() -> None:
    maps = {
        ("ConfigMap", "m"): {"kind": "ConfigMap", "data": {"key": "value", "not a name": "x"}},
        ("Secret", "s"): {"kind": "Secret", "data": {"key": "c2VjcmV0"}},
    }
    pod = {"metadata": {"name": "p", "namespace": "n", "labels": {"a/b": "c"}}, "spec": {"containers": []}}
    container = {
        "name": "c",
        "resources": {"limits": {"memory": "100Mi", "cpu": "1500m"}},
        "envFrom": [{"configMapRef": {"name": "m"}, "prefix": "X_"}, {"secretRef": {"name": "no", "optional": True}}],
        "env": [
            {"name": "FIRST", "value": "$(BASE)"},
            {"name": "SECOND", "value": "$(FIRST)$(LATER)"},
            {"name": "LATER", "value": "late"},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
            {"name": "GONE", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "no", "optional": True}}},
            {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a/b']"}}},
            {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        ],
    }
    found = environment.of_container(pod, container, {"BASE": "b"}, lambda kind, name: maps.get((kind, name)))
    expected = {"BASE": "b", "X_key": "value", "FIRST": "b", "SECOND": "b$(LATER)", "LATER": "late"}
    assert found == expected | {"SECRET": "secret", "LABEL": "c", "MEMORY": "100", "CPU": "2"}


def test_what_is_missing_is_named() -> None:
    pod: dict[str, Any] = {"metadata": {"namespace": "n"}, "spec": {"containers": []}}
    source = {"configMapKeyRef": {"name": "m", "key": "k"}}
    container = {"env": [{"name": "A", "valueFrom": source}]}
    with pytest.raises(ConfigError, match='configmap "m" not found'):
        environment.of_container(pod, container, {}, lambda *_: None)
    with pytest.raises(ConfigError, match="couldn't find key k in ConfigMap n/m"):
        environment.of_container(pod, container, {}, lambda *_: {"kind": "ConfigMap"})


def test_services_are_in_the_environment() -> None:
    ports = [{"port": 80, "name": "http"}, {"port": 81, "protocol": "TCP"}]
    it = {"metadata": {"name": "my-web", "namespace": "n"}, "spec": {"clusterIP": "127.96.0.1", "ports": ports}}
    found = environment.of_services([it], "n")
    assert found["MY_WEB_SERVICE_HOST"] == "127.96.0.1"
    assert found["MY_WEB_SERVICE_PORT_HTTP"] == "80"
    assert found["MY_WEB_PORT_81_TCP"] == "tcp://127.96.0.1:81"
    assert not environment.of_services([it], "other")


def test_pauses_double_and_begin_anew_after_a_long_life() -> None:
    pauses = restarts.Backoff()
    assert [pauses.next(1) for _ in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]
    assert pauses.next(700) == 0


@pytest.mark.parametrize(
    ("policy", "code", "is_wanted"),
    [("Always", 0, True), ("OnFailure", 0, False), ("OnFailure", 1, True), ("Never", 1, False)],
)
def test_the_policy_decides_about_another_life(policy: str, code: int, is_wanted: bool) -> None:
    assert restarts.is_wanted(policy, code) is is_wanted


def test_rules_of_a_container_come_before_its_policy() -> None:
    again = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
    others = {"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [0, 1]}}
    wanted = [restarts.is_wanted("Never", code, [again]) for code in (0, 1, 42)]
    assert wanted == [False, False, True]
    assert [restarts.is_wanted("Never", code, [others]) for code in (0, 1, 42)] == [False, False, True]
    assert restarts.is_wanted("OnFailure", 1, [again])


def test_a_probe_decides_after_its_thresholds() -> None:
    prober = Prober({"successThreshold": 2, "failureThreshold": 3})
    outcomes = [True, True, False, False, True, False, False, False, True, True]
    changes = [prober.saw(is_success=one) for one in outcomes]
    assert changes == [False, True, False, False, False, False, False, True, False, True]


def pod_of(*names: str, inits: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "n"},
        "spec": {"containers": [{"name": one} for one in names], "initContainers": [{"name": one} for one in inits]},
    }


def ended(code: int) -> dict[str, Any]:
    return states.terminated(code, started=NOW, finished=NOW, container_id="x")


RUNNING = {"running": {"startedAt": NOW}}


@pytest.mark.parametrize(
    ("mains", "inits", "is_over", "phase"),
    [
        ([states.WAITING, states.WAITING], [RUNNING], False, "Pending"),
        ([RUNNING, states.WAITING], [ended(0)], False, "Running"),
        ([ended(0), RUNNING], [ended(0)], False, "Running"),
        ([ended(0), ended(0)], [ended(0)], True, "Succeeded"),
        ([ended(0), ended(1)], [ended(0)], True, "Failed"),
        ([states.INITIALIZING, states.INITIALIZING], [ended(1)], True, "Failed"),
    ],
)
def test_the_phase_follows_from_the_containers(
    mains: list[dict[str, Any]], inits: list[dict[str, Any]], is_over: bool, phase: str
) -> None:
    known = {name: ContainerState(name, state=state) for name, state in zip("abi", [*mains, *inits], strict=True)}
    assert states.phase(pod_of("a", "b", inits=("i",))["spec"], known, is_over=is_over) == phase


def test_conditions_keep_their_times_and_those_of_others() -> None:
    it = pod_of("a")
    known = {"a": ContainerState("a", state=RUNNING, ready=True)}
    overall = Overall("127.64.0.2", "127.0.0.1", NOW, is_initialized=True)
    first = states.pod_status(it, known, overall, NOW)
    it["status"] = first | {"conditions": [*first["conditions"], {"type": "Mine", "status": "True"}]}
    known["a"].ready = False
    second = states.pod_status(it, known, overall, "later")
    times = {one["type"]: one.get("lastTransitionTime") for one in second["conditions"]}
    assert times["Ready"] == times["ContainersReady"] == "later"
    assert times["PodScheduled"] == times["Initialized"] == NOW
    assert "Mine" in times


def test_a_readiness_gate_holds_a_pod_back() -> None:
    it = pod_of("a")
    it["spec"]["readinessGates"] = [{"conditionType": "Gate"}]
    known = {"a": ContainerState("a", state=RUNNING, ready=True)}
    overall = Overall("127.64.0.2", "127.0.0.1", NOW, is_initialized=True)
    found = {one["type"]: one["status"] for one in states.pod_status(it, known, overall, NOW)["conditions"]}
    assert (found["Ready"], found["ContainersReady"]) == ("False", "True")


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("docker.io/library/busybox:1.36@sha256:abc", "busybox"),
        ("docker/whalesay:latest", "docker/whalesay"),
        ("localhost:5000/team/app", "localhost:5000/team/app"),
        ("localhost:5000/team/app:v1", "localhost:5000/team/app"),
    ],
)
def test_an_image_is_known_by_its_name(reference: str, name: str) -> None:
    assert images.name_of(reference) == name


def test_images_have_their_entrypoint_arguments_and_programs(tmp_path: Path) -> None:
    rows = [Image(("say",), ("say",), ("hello",), programs={"say": ("/bin/echo", "it's")}), Image(("bare",))]
    known = Images(rows, tmp_path)
    assert known.choose({"image": "say:1"}).argv == ["say", "hello"]
    assert known.choose({"image": "say", "args": ["bye"]}).argv == ["say", "bye"]
    assert known.choose({"image": "say", "command": ["/nowhere/say"]}).argv == [str(tmp_path / "0" / "say")]
    assert (tmp_path / "0" / "say").read_text() == "#!/bin/sh\nexec '/bin/echo' 'it'\\''s' \"$@\"\n"
    assert known.choose({"image": "other", "command": ["ls"], "args": ["-l"]}).argv == ["ls", "-l"]
    with pytest.raises(PullError, match="names no command"):
        known.choose({"image": "other", "args": ["-l"]})
    with pytest.raises(PullError, match="has no command of its own"):
        known.choose({"image": "bare"})
    with pytest.raises(PullError, match='"absent" is not here either'):
        images.check_program(known.choose({"image": "other", "command": ["absent"]}), "other", "/bin")


def test_volumes_change_as_a_whole_and_never_lead_out(tmp_path: Path) -> None:
    place = tmp_path / "v"
    assert volumes.write(place, {"a": (b"1", 0o644), "d/b": (b"2", 0o600)})
    assert not volumes.write(place, {"a": (b"1", 0o644), "d/b": (b"2", 0o600)})
    before = (place / "..data").resolve()
    assert volumes.write(place, {"a": (b"3", 0o644)})
    assert (place / "a").read_bytes() == b"3"
    assert not before.exists()
    assert not (place / "d").exists()
    with pytest.raises(volumes.VolumeError, match="leads out"):
        volumes.write(place, {"../x": (b"", 0o644)})


def test_names_lead_to_services_and_to_pods_behind_headless_ones() -> None:
    service = {"metadata": {"name": "web", "namespace": "n"}, "spec": {"clusterIP": "127.96.0.1"}}
    headless = {
        "metadata": {"name": "db", "namespace": "n"},
        "spec": {"clusterIP": "None", "selector": {"app": "db"}, "publishNotReadyAddresses": True},
    }
    pod = {
        "metadata": {"name": "db-0", "namespace": "n", "labels": {"app": "db"}},
        "spec": {"subdomain": "db", "hostname": "db-0"},
        "status": {"podIP": "127.64.0.9"},
    }
    inside = hosts.lines([service, headless], [pod], "n", "127.0.0.1")
    assert inside[0].startswith("127.0.0.1\tkubernetes.default ")
    assert inside[1].startswith("127.64.0.9\tdb-0.db db-0.db.n db-0.db.n.svc db-0.db.n.svc.cluster.local db db.n ")
    assert inside[2] == "127.96.0.1\tweb web.n web.n.svc web.n.svc.cluster.local"
    assert hosts.lines([service], [], "other", "127.0.0.1")[1].startswith("127.96.0.1\tweb.n ")


def test_ports_of_localhost_are_claimed_by_containers_and_services() -> None:
    ports = [{"containerPort": 8080, "name": "http"}, {"containerPort": 53, "protocol": "UDP"}]
    pod = {"metadata": {"namespace": "n", "labels": {"a": "b"}}, "spec": {"containers": [{"ports": ports}]}}
    wanted = [{"port": 80, "targetPort": "http"}, {"port": 12000}]
    service = {"metadata": {"namespace": "n"}, "spec": {"selector": {"a": "b"}, "ports": wanted}}
    assert claims_of(pod, [service]) == [Claim(8080, 8080), Claim(80, 8080), Claim(12000, 12000)]


def test_addresses_rest_before_they_are_given_again() -> None:
    ours, theirs = part_of("127.64.0.0/12", "/a"), part_of("127.64.0.0/12", "/b")
    assert ours == part_of("127.64.0.0/12", "/a") != theirs
    assert ip_network(ours).subnet_of(ip_network("127.64.0.0/12"))
    known = Addresses("127.64.0.0/29", is_alone=False)
    first = known.take()
    known.give_back(first)
    assert known.take() != first
    assert known.take(first) == first
    assert Addresses(is_alone=True).take() == "127.0.0.1"


def test_the_whale_says_it_in_a_bubble() -> None:
    assert cowsay.bubble("hello") == " _______ \n< hello >\n ------- "
    assert cowsay.bubble("a\nlonger\nb").splitlines()[1:4] == ["/ a      \\", "| longer |", "\\ b      /"]


def test_argosay_knows_its_verbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "deep" / "file"
    assert argosay.run(["echo", "text", str(file)]) == 0
    assert argosay.run(["cat", str(file)]) == 0
    assert capsys.readouterr().out == "text\n"
    assert argosay.run(["assert_contains", str(file), "ex"]) == 0
    assert argosay.run(["assert_contains", str(file), "no"]) == 1
    assert argosay.run(["exit", "3"]) == 3
    assert argosay.seconds("1m30s") == 90
    assert argosay.run(["dance"]) == 64


def test_a_nats_server_listens_on_its_pod_alone() -> None:
    clustered = 'port: 4222\ncluster {\n  name: "x"\n}\n'
    assert nats.arguments(["-c", "f"], "127.64.0.2", "port: 4222") == ["-c", "f", "--addr", "127.64.0.2"]
    assert nats.arguments([], "127.64.0.2", clustered)[2:] == ["--cluster_listen", "nats://127.64.0.2:6222"]


def test_a_reloader_is_told_its_files_and_sees_what_changes_beside_them(tmp_path: Path) -> None:
    given = ["-pid", "/run/n.pid", "-config", str(tmp_path / "nats.conf"), "--config=/etc/two.conf"]
    pid, configs = nats_reloader.arguments(given)
    assert (pid, configs) == (Path("/run/n.pid"), [tmp_path / "nats.conf", Path("/etc/two.conf")])
    (tmp_path / "nats.conf").write_text("include auth.conf")
    first = nats_reloader.told(configs[:1], pid)
    (tmp_path / "auth.conf").write_text("accounts {}")
    assert first
    assert nats_reloader.told(configs[:1], pid) not in ("", first)
    assert nats_reloader.told([tmp_path / "away" / "nats.conf"], pid) == ""
