"""resources, for EventBus: what the controller makes of one, field by field but for the additions named here.

Each addition has its row in docs/differences.md; it is taken away only where it is exactly what that row says.
"""

from __future__ import annotations

import copy
import re
from datetime import UTC, datetime
from typing import Any

from conformance.comparing import difference
from conformance.core import Case, Error, Outcome, Verdict, attempt, differences, judge, slim

from eventbus import resources, secret_data
from eventbus.configuration import Configuration
from eventbus.resources import JetStreamObjects
from eventbus.secret_data import Known
from eventbus.types import EventBus
from events.errors import UserError
from events.kube.pods import RESTRICTED

NOW = datetime(2026, 7, 1, tzinfo=UTC)
REQUESTED = {name: {"requests": dict(found)} for name, found in resources.REQUESTS.items()}


def run(case: Case) -> Outcome:
    """Objects, `status.config` and the condition `Deployed`, as if all pods were ready."""
    spec = case.input["object"]["spec"]
    if "nats" in spec:
        return in_place_of_nats(case)
    got = attempt(lambda: made(case))
    if isinstance(got, Error):
        return judge(case, got)
    expected = comparable(case)
    if got != expected:
        return Outcome(Verdict.FAILED, *difference(expected, got))
    return Outcome(Verdict.SAME, expected, got)


def in_place_of_nats(case: Case) -> Outcome:
    """STAN: JetStream in the place of `native`, with as many servers and the same pods; `exotic` is refused."""
    assert "STAN" in differences().ids
    native = case.input["object"]["spec"]["nats"].get("native")
    if native is None:
        got = attempt(lambda: made(case))
        return Outcome(Verdict.BY_CASE if isinstance(got, Error) else Verdict.FAILED, "a refusal", got)
    twin = copy.deepcopy(case.input)
    shared = {key: value for key, value in native.items() if key in resources.BusPods.model_json_schema()["properties"]}
    limits = {key: native[key] for key in ("maxAge", "maxMsgs") if key in native}
    limits |= {"maxBytes": resources.stream_config.size(native["maxBytes"])} if "maxBytes" in native else {}
    jetstream = {"version": "latest", "replicas": max(3, native.get("replicas", 3)), **shared}
    jetstream |= {"maxPayload": native["maxPayload"]} if "maxPayload" in native else {}
    twin["object"]["spec"] = {"jetstream": jetstream | {"streamConfig": resources.stream_config.written(limits)}}
    wanted, got = made(Case(case.id, case.area, twin, case.expect)), made(case)
    # Of upstream's answer, the pods' own fields must be the same.
    theirs = next(one for one in case.expect["value"]["objects"] if one["kind"] == "StatefulSet")["spec"]
    theirs, ours = slim(copy.deepcopy(theirs)), got["objects"]["StatefulSet eventbus-default-js"]["spec"]
    for field in ("replicas",):
        wanted[field] = theirs[field]
        got[field] = ours[field]
    pod_fields = ("affinity", "imagePullSecrets", "nodeSelector", "priority", "priorityClassName", "tolerations")
    for field in (*pod_fields, "securityContext", "serviceAccountName"):
        wanted[field] = theirs["template"]["spec"].get(field)
        got[field] = ours["template"]["spec"].get(field)
    same = got == wanted
    return Outcome(Verdict.BY_CASE if same else Verdict.FAILED, *difference(wanted, got), is_excusable=False)


def made(case: Case) -> dict[str, Any]:
    """Our answer, in the form of the corpus, without the additions."""
    raw, given = case.input["object"], case.input["config"]
    bus, configuration = EventBus.parse(raw), Configuration.model_validate(given, by_alias=True, by_name=False)
    problem = ""
    objects: list[dict[str, Any]] = []
    config = resources.outside(raw, bus.spec)
    if config is None:
        jetstream = resources.jetstream_of(bus.spec, configuration.jetstream)
        assert jetstream is not None
        maker = JetStreamObjects(raw, jetstream, configuration.jetstream)
        config = maker.status_config()
        data = secret_data.ensured(maker.names, Known(), NOW)
        server = data[maker.names.server]
        objects += [*maker.secrets(data), maker.config_map(server), maker.service()]
        budget = maker.disruption_budget()
        assert budget is not None or jetstream.servers < 3
        try:
            objects.append(maker.stateful_set(server))
        except UserError as error:
            problem, config = str(error), {}
        found = {f"{one['kind']} {one['metadata']['name']}": as_upstreams(one, jetstream) for one in objects}
    else:
        found = {}
    for name in [name for name in found if name.endswith(("-js-backup", "-js-source-auth", "-js-sensor-auth"))]:
        del found[name]  # row "bus secrets"
    deployed = "Skipped" if not found else "JetStreamStatefulSetFailed" if problem else "Succeeded"
    return {"objects": found, "config": slim(config), "deployed": [deployed, not problem], "failed": bool(problem)}


def comparable(case: Case) -> dict[str, Any]:
    """Upstream's answer. Only the condition Deployed: its installer sets no other."""
    answer = case.expect["value"]
    found = {f"{one['kind']} {one['metadata']['name']}": slim(copy.deepcopy(one)) for one in answer["objects"] or []}
    for one in found.values():
        one["metadata"].get("annotations", {}).pop("resource-spec-hash", None)  # written when it is applied
        if not one["metadata"].get("annotations"):
            one["metadata"].pop("annotations", None)
        if one["kind"] == "ConfigMap":
            one["data"]["nats-js"] = settings(one["data"]["nats-js"].replace('"$JS_KEY"', "$JS_KEY"))  # row "bus key"
    deployed = next(one for one in answer["conditions"] if one["type"] == "Deployed")
    return {
        "objects": found,
        "config": slim(answer["config"]),
        "deployed": [deployed["reason"], deployed["status"] == "True"],
        "failed": not case.expect["ok"],
    }


def as_upstreams(one: dict[str, Any], jetstream: Any) -> dict[str, Any]:
    """An object without the additions."""
    one = slim(copy.deepcopy(one))
    one.pop("apiVersion")
    if one["kind"] == "Secret":
        for key in (secret_data.KEY_FORM, "ca-private-key", "cluster-ca-private-key"):  # rows "bus key", "C3"
            one["data"].pop(key, None)
        one["data"] = dict.fromkeys(one["data"], "<masked>")
    if one["kind"] == "ConfigMap":
        one["data"]["nats-js"] = settings(one["data"]["nats-js"])
    if one["kind"] == "StatefulSet":
        without_additions(one["spec"]["template"], jetstream)
    return slim(one)


def without_additions(template: Any, jetstream: Any) -> None:
    """Row C11 (bus: security, requests, liveness), row "nodes apart", row "config-checksum"."""
    assert re.fullmatch("[0-9a-f]{64}", template["metadata"]["annotations"].pop("config-checksum"))
    spec = template["spec"]
    is_ours = jetstream.security_context is None
    if is_ours:
        assert spec.pop("securityContext") == slim(dict(resources.POD_SECURITY))
    if jetstream.affinity is None and jetstream.servers >= 3:
        terms = spec.pop("affinity")["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        assert [term["podAffinityTerm"]["topologyKey"] for term in terms] == ["kubernetes.io/hostname"]
    templates = {
        "main": jetstream.container_template,
        "reloader": jetstream.reloader_container_template,
        "metrics": jetstream.metrics_container_template,
    }
    for container in spec["containers"]:
        given = templates[container["name"]]
        if given is None or given.security_context is None:
            left_out = () if is_ours else ("runAsNonRoot",)
            wanted = {key: value for key, value in RESTRICTED.items() if key not in left_out}
            assert container.pop("securityContext") == slim(wanted)
        assert container.pop("terminationMessagePolicy") == "FallbackToLogsOnError"
        if given is None or not given.resources:
            assert container.pop("resources") == REQUESTED[container["name"]]
        if container["name"] == "main":
            with_their_probes(container)


def with_their_probes(container: Any) -> None:
    """Row C11 (bus): no delay, five minutes until it listens, a liveness that knows whether JetStream is enabled."""
    startup, liveness = container["startupProbe"], container["livenessProbe"]
    assert startup.pop("periodSeconds") * startup["failureThreshold"] == 300
    startup["failureThreshold"] = 30
    assert startup.pop("tcpSocket") == {"port": 4222}
    startup["httpGet"] = {"path": "/healthz", "port": 8222}
    assert liveness["httpGet"]["path"] == "/healthz?js-enabled-only=true"
    liveness["httpGet"]["path"], liveness["periodSeconds"] = "/", 30
    assert container["readinessProbe"]["periodSeconds"] == 2
    container["readinessProbe"]["periodSeconds"] = 5
    for probe in (startup, liveness, container["readinessProbe"]):
        assert "initialDelaySeconds" not in probe
        probe["initialDelaySeconds"] = 10


def settings(text: str) -> list[str]:
    """The lines of a server's configuration that say something."""
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]
