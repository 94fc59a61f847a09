"""What is wrong with an EventBus, and with a change of one. Contract: sensors F.5, G.4, E.1, E.2, E.4, E.5.

NATS Streaming at another place is refused: it is past its end of life, and nothing here speaks it. A Kafka bus is
described and validated; that nothing runs on it yet is a warning, and `not_run` says it to whoever is to run it.
"""

from __future__ import annotations

from typing import Any

from eventbus import connecting, stream_config
from eventbus.types import BusConfig, EventBus, EventBusSpec, JetStreamBus, JetStreamConfig, KafkaBus, NatsStreaming
from events import verdict as verdicts
from events.errors import UserError
from events.problems import Problems, did_you_mean
from events.verdict import Verdict

_NOT_RUN = "services do not run on a Kafka bus in this version of Keryx; the object is kept as it is"
_PARTITIONERS = ("random", "hash", "roundrobin", "manual")
_STRATEGIES = ("sticky", "roundrobin", "range")
_KINDS = ("nats", "jetstream", "kafka", "jetstreamExotic")


def verdict(raw: Any) -> Verdict[EventBus]:
    """Whether an EventBus is accepted, and everything there is to say about it."""
    return verdicts.reach(raw, EventBus, validate)


def validate(bus: EventBus) -> Problems:
    """All problems of one EventBus."""
    problems, spec = Problems("spec"), bus.spec
    given = [kind for kind, raw in zip(_KINDS, _parts(spec), strict=True) if raw is not None]
    if not given:
        problems.error("", "no kind of bus is given", f"give one of {', '.join(_KINDS)}")
        return problems
    for kind in given[1:]:
        problems.warn(kind, f"has no effect: there is {given[0]}, too", "remove one of them")
    if spec.nats is not None:
        _validate_nats(spec.nats, problems.at("nats"))
    if spec.kafka is not None:
        _validate_kafka(spec.kafka, problems.at("kafka"), counts=given[0] == "kafka")
    if spec.jetstream is not None:
        _validate_jetstream(spec.jetstream, problems.at("jetstream"))
    if spec.jetstream_exotic is not None:
        _validate_exotic(spec.jetstream_exotic, problems.at("jetstreamExotic"))
    return problems


def not_run(bus: EventBus) -> Problems:
    """What keeps services from running on the bus in this version, as errors."""
    problems, spec = Problems("spec"), bus.spec
    if spec.kafka is not None and spec.nats is None and spec.jetstream is None:
        problems.error("kafka", _NOT_RUN, "use jetstream or jetstreamExotic")
    return problems


def changes(old: EventBus, new: EventBus) -> Problems:
    """What may not be changed in a bus that is there: the services of the namespace hold on to it. Contract: G.4."""
    problems = Problems("spec")
    kinds = [
        next((key for key, part in zip(_KINDS, _parts(one.spec), strict=True) if part is not None), "")
        for one in (old, new)
    ]
    before, after = old.spec, new.spec
    if kinds[0] != kinds[1] and kinds[1] != "kafka":
        problems.error(kinds[1], f"another kind of bus cannot take the place of {kinds[0]}", "make another EventBus")
    elif after.nats is not None and before.nats is not None:
        _compare_nats(before.nats, after.nats, problems.at("nats"))
    elif after.jetstream is not None and _stream(before) != _stream(after):
        problems.error("jetstream.streamConfig", "cannot be changed", "the stream is there: make another EventBus")
    return problems


def _stream(spec: EventBusSpec) -> str | None:
    return spec.jetstream.stream_config if spec.jetstream is not None else None


def _compare_nats(old: NatsStreaming, new: NatsStreaming, problems: Problems) -> None:
    for key, before, after in (("native", old.native, new.native), ("exotic", old.exotic, new.exotic)):
        if after is None:
            continue
        if before is None:
            problems.error(key, "native and exotic cannot be switched", "make another EventBus")
        elif (before.auth or "none") != (after.auth or "none"):
            problems.error(f"{key}.auth", "cannot be changed", "make another EventBus")
        return


def _parts(spec: EventBusSpec) -> tuple[object | None, ...]:
    """The kinds in the order in which the first one counts (contract E.1)."""
    return spec.nats, spec.jetstream, spec.kafka, spec.jetstream_exotic


def _validate_nats(nats: NatsStreaming, problems: Problems) -> None:
    if nats.native is not None and nats.exotic is not None:
        problems.error("", "native and exotic exclude each other", "use jetstream instead of both")
    elif nats.exotic is not None:
        problems.error("exotic", "NATS Streaming is past its end of life, and not read", "use jetstreamExotic")
    elif nats.native is None:
        problems.error("", "neither native nor exotic is given", "use jetstream")
    else:
        problems.warn("native", "NATS Streaming is past its end of life; a JetStream bus takes its place")


def _validate_kafka(kafka: KafkaBus, problems: Problems, *, counts: bool) -> None:
    """Contract E.4: upstream requires the address alone."""
    if not kafka.url:
        problems.error("url", "required", "addresses of brokers, such as host:9092")
    if kafka.tls is not None and (problem := kafka.tls.problem()):
        problems.warn("tls", f"{problem}: no connection is made")
    if kafka.partitioner and kafka.partitioner not in _PARTITIONERS:
        problems.warn("partitioner", f"{kafka.partitioner!r} is unknown", f"one of {', '.join(_PARTITIONERS)}")
    strategy = kafka.consumer_group.rebalance_strategy if kafka.consumer_group else None
    if strategy and strategy not in _STRATEGIES:
        problems.warn("consumerGroup.rebalanceStrategy", f"{strategy!r} is unknown", f"one of {', '.join(_STRATEGIES)}")
    if counts:
        problems.warn("", _NOT_RUN, "use jetstream or jetstreamExotic")


def _validate_jetstream(jetstream: JetStreamBus, problems: Problems) -> None:
    if not jetstream.version:
        problems.error("version", "required", "latest")
    if jetstream.replicas is not None and (jetstream.replicas < 1 or jetstream.replicas == 2):
        problems.error("replicas", f"{jetstream.replicas} replicas have no majority", "1, or 3 and more")
    size = jetstream.persistence.volume_size if jetstream.persistence else None
    if size is not None and not stream_config.size(str(size)):
        problems.error("persistence.volumeSize", f"{size!r} is no size", "such as 20Gi")
    _validate_stream(jetstream.stream_config, problems, jetstream.servers)


def _validate_exotic(exotic: JetStreamConfig, problems: Problems) -> None:
    try:
        connecting.jetstream_config(BusConfig(jetstream=exotic))
    except UserError as error:
        problems.error("url", error.message, error.cure)
    if exotic.tls is not None and (problem := exotic.tls.problem()):
        problems.warn("tls", f"{problem}: no connection is made")
    _validate_stream(exotic.stream_config, problems)


def _validate_stream(config: str | None, problems: Problems, servers: int | None = None) -> None:
    from eventbus.jetstream.streams import KEYS, StreamConfig

    try:
        found = StreamConfig.parse(config or "")
    except UserError as error:
        problems.error(error.path, error.message, error.cure)
        return
    for key in stream_config.values(config or ""):
        if key not in KEYS:
            problems.warn(f"streamConfig.{key}", "is not known and has no effect", did_you_mean(key, KEYS))
    if servers is not None and found.replicas > servers:
        text = f"{found.replicas} copies of the stream on {servers} servers: {servers} are kept"
        problems.warn("streamConfig.replicas", text)
