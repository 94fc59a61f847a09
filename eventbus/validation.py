"""What is wrong with an EventBus. Contract: sensors F.5, E.1, E.2."""

from __future__ import annotations

from eventbus import connecting, stream_config
from eventbus.types import BusConfig, EventBus, EventBusSpec, JetStreamBus, JetStreamConfig, KafkaBus, NatsStreaming
from events.errors import UserError
from events.problems import Problems, did_you_mean

_KINDS = ("nats", "jetstream", "kafka", "jetstreamExotic")


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
    if spec.kafka is not None and given[0] == "kafka":
        _validate_kafka(spec.kafka, problems.at("kafka"))
    if spec.jetstream is not None:
        _validate_jetstream(spec.jetstream, problems.at("jetstream"))
    if spec.jetstream_exotic is not None:
        _validate_exotic(spec.jetstream_exotic, problems.at("jetstreamExotic"))
    return problems


def not_run(bus: EventBus) -> Problems:
    """What this version describes and does not run."""
    problems, spec = Problems("spec"), bus.spec
    if spec.kafka is not None and spec.nats is None and spec.jetstream is None:
        problems.error("kafka", "a Kafka bus is not in this version of Keryx", "use jetstream")
    return problems


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


def _validate_kafka(kafka: KafkaBus, problems: Problems) -> None:
    if not kafka.url:
        problems.error("url", "required", "brokers, such as broker:9092")
    problems.warn("", "a Kafka bus is described and not run by this version of Keryx", "use jetstream")
    if kafka.tls is not None and (problem := kafka.tls.problem()):
        problems.warn("tls", f"{problem}: no connection is made")


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
