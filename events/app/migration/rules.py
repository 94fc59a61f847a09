"""What changes, by id: one row per departure that a single object can show. Ids are those of docs/differences.md.

A row is a pure function from an object to the places that it concerns, and one sentence for its author.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from events.app.migration.reading import (
    Find,
    Paths,
    Raw,
    always,
    at,
    dependency,
    event,
    events,
    has,
    items,
    mapping,
    template,
    texts,
    trigger,
    triggers,
)
from events.errors import UserError
from events.problems import join
from eventsources.base import Source
from eventsources.registry import SOURCES
from sensors import validation as sensor_validation
from sensors.registry import PRECEDENCE
from sensors.types import Sensor

_UNSAFE = re.compile(r"\{\{[^}]*\b(env|expandenv|getHostByName)\b")
_LIBRARIES = re.compile(r"\b(io|package|debug|require|os\.(?!time|date|clock|difftime|getenv))\b")
_BUS, _SOURCE, _SENSOR = ("EventBus",), ("EventSource",), ("Sensor",)
_PODS = ("EventSource", "Sensor")
_HTTP = ("sns", "webhook")
_ELECTION = "events.argoproj.io/leader-election"


@dataclass(frozen=True, slots=True)
class Rule:
    """One departure."""

    id: str
    kinds: tuple[str, ...]
    find: Find
    says: str


def _stream_of(raw: Raw) -> str:
    found = at(raw, "spec.jetstream.streamConfig") or at(raw, "spec.jetstreamExotic.streamConfig")
    return found if isinstance(found, str) else ""


def _work_queue(raw: Raw) -> Paths:
    if re.search(r"(?im)^\s*retention\s*:\s*[\"']?2\b", _stream_of(raw)):
        yield "spec.jetstream.streamConfig" if at(raw, "spec.jetstream") else "spec.jetstreamExotic.streamConfig"


def _is_native(raw: Raw) -> bool:
    return isinstance(at(raw, "spec.nats.native"), dict)


def _native(raw: Raw) -> Paths:
    if _is_native(raw):
        yield "spec.nats.native"


def _made_by_us(raw: Raw) -> Paths:
    if isinstance(at(raw, "spec.jetstream"), dict):
        yield "spec.jetstream"
    yield from _native(raw)


def _few_servers(raw: Raw) -> Paths:
    if at(raw, "spec.jetstream.replicas") == 1 and not re.search(r"(?im)^\s*replicas\s*:\s*1\b", _stream_of(raw)):
        yield "spec.jetstream.replicas"


def _exotic_without_tls(raw: Raw) -> Paths:
    exotic = at(raw, "spec.jetstreamExotic")
    if isinstance(exotic, dict) and not exotic.get("tls"):
        yield "spec.jetstreamExotic"


def _no_adapter(raw: Raw) -> Paths:
    yield from (path for path, _spec in events(raw) if _has_adapter(path.split(".")[1]) is False)


def _adapted(raw: Raw) -> Paths:
    yield from (path for path, _spec in events(raw) if _has_adapter(path.split(".")[1]))


def _has_adapter(key: str) -> bool | None:
    """None for an unknown key: refused, which is said anyway."""
    try:
        return issubclass(SOURCES.load(key), Source)
    except UserError:
        return None


def _not_run(raw: Raw) -> Paths:
    try:
        sensor = Sensor.parse(raw, lenient=True)
    except UserError:
        return
    yield from (join("spec", problem.path) for problem in sensor_validation.not_run(sensor.spec).errors)


def _pulls(raw: Raw) -> Paths:
    if at(raw, "spec.template.container.imagePullPolicy"):
        yield "spec.template.container.imagePullPolicy"


def _elected(raw: Raw) -> Paths:
    asked = mapping(at(raw, "metadata.annotations")).get(_ELECTION)
    if isinstance(replicas := at(raw, "spec.replicas"), int) and replicas > 1:
        yield "spec.replicas"
    elif asked:
        yield f"metadata.annotations[{_ELECTION}]"


def _filters(one: Raw) -> Raw:
    return mapping(one.get("filters"))


def _lists_unequal(one: Raw) -> bool:
    return any(
        mapping(data).get("comparator") == "!=" and len(items(mapping(data).get("value"))) > 1
        for data in items(_filters(one).get("data"))
    )


def _any_of_filters(one: Raw) -> bool:
    keys = ("filtersLogicalOperator", "dataLogicalOperator", "exprLogicalOperator")
    return "or" in (_filters(one).get(key) for key in keys)


def _artifact(kind: str, where: Any = lambda _spec: True) -> Find:
    """Triggers whose resource comes from an artifact of this kind."""

    def find(raw: Raw) -> Paths:
        for path, one in triggers(raw):
            for key in ("k8s", "argoWorkflow"):
                found = at(one, f"template.{key}.source.{kind}")
                if isinstance(found, dict) and where(found):
                    yield f"{path}.template.{key}.source.{kind}"

    return find


def _generated(raw: Raw) -> Paths:
    for path, one in triggers(raw):
        for key in ("k8s", "argoWorkflow"):
            resource = mapping(at(one, f"template.{key}.source.resource"))
            if at(resource, "metadata.generateName"):
                yield f"{path}.template.{key}.source.resource.metadata.generateName"


def _needs_operation(spec: Raw, operation: str) -> bool:
    return spec.get("operation") == operation


def _unsafe_templates(raw: Raw) -> Paths:
    if any(_UNSAFE.search(text) for text in texts(raw.get("spec"))):
        yield "spec"


def _lua(one: Raw) -> str:
    return "\n".join(str(text) for text in (_filters(one).get("script"), at(one, "transform.script")) if text)


def _acts_once(one: Raw) -> bool:
    return not one.get("atLeastOnce")


def _calls(one: Raw) -> bool:
    kind = next((kind for kind in PRECEDENCE if kind in mapping(one.get("template"))), "")
    return kind not in ("", "log")


RULES = (
    Rule("A1", _SENSOR, template("argoWorkflow", lambda spec: _needs_operation(spec, "submit-from")),
         "the Workflow that submit-from makes is known: no failure after success, no second one by a retry"),
    Rule("B3", _SENSOR, trigger(lambda one: one.get("retryStrategy") and _acts_once(one)),
         "one attempt, as before: retryStrategy needs atLeastOnce, and applying it warns"),
    Rule("C5", _PODS, _pulls, "imagePullPolicy is applied"),
    Rule("C6", _PODS, always, "the object is mounted from a ConfigMap, not in a variable: the pods are rolled once"),
    Rule("C11", _PODS, always, "pods get probes, requests and a restricted security context where none is given"),
    Rule("D2", _SENSOR, has("spec.loggingFields"), "loggingFields are on every line of the log"),
    Rule("D4", _SENSOR, template("log", lambda spec: spec.get("intervalSeconds")), "intervalSeconds has an effect"),
    Rule("E5", _BUS, _few_servers, "the stream has as many copies as there are servers"),
    Rule("E6", _BUS, _work_queue, "work-queue retention is refused: no sensor could read such a stream"),
    Rule("E7", _BUS, _exotic_without_tls,
         "without tls the server need not have TLS; where it has, it is not verified, as before, with a warning"),
    Rule("ES-3.2", _SOURCE, event("calendar", where=lambda spec: spec.get("interval")),
         "an interval below a second is refused"),
    Rule("ES-3.3", _SOURCE, event("file"), "names are matched below the folder; nothing the kernel drops is lost"),
    Rule("ES-3.7", _SOURCE, event("sns"),
         "signatures and topic are verified; the subscription stays unless deleteSubscriptionOnFinish says so"),
    Rule("ES-3.8", _SOURCE, event("sqs"), "several polls; messages stay hidden while the bus is away"),
    Rule("ES-3.9", _SOURCE, event("pubSub"),
         "messages are held while the bus is away; those that are no JSON go to the dead-letter policy"),
    Rule("ES-3.31", _SOURCE, event("generic"), "events are held while the bus is away; TLS works"),
    Rule("ES-3.32", _SOURCE, event("resource"), "a restart goes on where it was, without ADD for every object"),
    Rule("F1", _SENSOR, dependency(_any_of_filters), "with `or`, an error of a filter counts as false for it alone"),
    Rule("F2", _SENSOR, dependency(_lists_unequal),
         "`!=` with several values is nearly always true, as before; applying it warns"),
    Rule("K1", _SOURCE, event(*_HTTP), "while the bus is away: 503 with Retry-After instead of 500"),
    Rule("K2", _SOURCE, event(*_HTTP), "a body over the limit: 413 instead of 400"),
    Rule("R3", _SENSOR, trigger(_acts_once),
         "a claim is written before the action starts; what a crash interrupts is a dead letter, not repeated"),
    Rule("R4", _SENSOR, trigger(lambda one: one.get("atLeastOnce")),
         "an event is passed only when its action has ended; what finally fails is kept as a dead letter"),
    Rule("R8", _SENSOR, trigger(_calls), "calls have a deadline"),
    Rule("R14", _PODS, _elected, "the owner among the replicas is found by our own sessions; losing it pauses a pod"),
    Rule("STAN", _BUS, _native, "a JetStream bus of the same name; what NATS Streaming still holds stays there"),
    Rule("STAN", _BUS, has("spec.nats.exotic"), "NATS Streaming that is already there is refused"),
    Rule("T1", _SENSOR, dependency(lambda one: at(one, "transform.script")),
         "arrays in arrays and null in arrays reach Lua, and indices do not shift"),
    Rule("X5", _SENSOR, template("awsLambda"), "a function that failed is a failed attempt"),
    Rule("X6", _SENSOR, template("nats"), "published on the subject that parameters made, and confirmed by the server"),
    Rule("X7", _SENSOR, template("email", lambda spec: spec.get("parameters")), "parameters have an effect"),
    Rule("X7", _SENSOR, template("slack", lambda spec: spec.get("parameters")), "parameters have an effect"),
    Rule("X8", _SENSOR, template("email"), "more addresses are accepted; a retry mails only those who have not got it"),
    Rule("Z1", _BUS, _made_by_us, "clients verify the bus's certificates by its own authority"),
    Rule("Z4", _SENSOR, _artifact("url", lambda spec: "verifyCert" not in spec), "the certificate is verified"),
    Rule("Z5", _SENSOR, _artifact("git"), "one commit is fetched, without a work tree; cloneDirectory is not used"),
    Rule("Z6", _SENSOR, _unsafe_templates, "templates cannot call env, expandenv and getHostByName: refused"),
    Rule("Z7", _SENSOR, dependency(lambda one: _LIBRARIES.search(_lua(one))),
         "Lua has no files, processes, environment or modules"),
    Rule("Z9", _BUS, _made_by_us, "sources and sensors have users of their own"),
    Rule("first start", _SENSOR, always,
         "goes on behind what Argo Events left on a JetStream bus; without that, where the trigger appeared"),
    Rule("kafka", _BUS, has("spec.kafka"), "services do not run on a Kafka bus in this version"),
    Rule("last slot", _SOURCE, event("calendar", where=lambda spec: spec.get("persistence")),
         "the last slot is kept in the bus's state, no longer in the ConfigMap"),
    Rule("max_file_store", _BUS, has("spec.jetstream.persistence"), "the store is limited to 90 % of the volume"),
    Rule("names", _SENSOR, _generated, "the name is derived from the firing, so that a repeat is recognised"),
    Rule("not run", _SENSOR, _not_run, "this version has no adapter for it: the trigger does not run"),
    Rule("not run", _SOURCE, _no_adapter, "this version has no adapter for it: the event does not run"),
    Rule("restarts", _SOURCE, _adapted, "started again for ever when it fails, not given up after ten times"),
    Rule("s3", _SENSOR, _artifact("s3"), "an object that is too long is an error, not cut"),
    Rule("slot id", _SOURCE, event("calendar"), "the slot is the event's id: a take-over never doubles one"),
    Rule("stream limits", _BUS, _made_by_us, "no limit on the number of messages, 10 GiB, unless streamConfig says so"),
    Rule("submit", _SENSOR, template("argoWorkflow", lambda spec: spec.get("args")),
         "there is no argo command: of args, those that are fields work, others are refused"),
)  # fmt: skip
"""Sorted by id. Rows of one id may differ in what they look at."""
