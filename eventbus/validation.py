"""What is wrong with an EventBus. Contract: sensors F.5, E.1, E.2."""

from __future__ import annotations

from eventbus import connecting
from eventbus.types import BusConfig, EventBus, EventBusSpec, JetStreamBus, JetStreamConfig, NatsStreaming
from events.errors import UserError
from events.problems import Problems

_NOT_YET = "is not in this version of Keryx"
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
    if given[0] == "kafka":
        problems.error("kafka", f"a Kafka bus {_NOT_YET}")
    if spec.jetstream is not None:
        _validate_jetstream(spec.jetstream, problems.at("jetstream"))
    if spec.jetstream_exotic is not None:
        _validate_exotic(spec.jetstream_exotic, problems.at("jetstreamExotic"))
    return problems


def _parts(spec: EventBusSpec) -> tuple[object | None, ...]:
    """The kinds in the order in which the first one counts (contract E.1)."""
    return spec.nats, spec.jetstream, spec.kafka, spec.jetstream_exotic


def _validate_nats(nats: NatsStreaming, problems: Problems) -> None:
    if nats.native is not None and nats.exotic is not None:
        problems.error("", "native and exotic exclude each other", "use jetstream instead of both")
    elif nats.exotic is not None:
        problems.error("exotic", f"NATS Streaming, past its end of life, {_NOT_YET}", "use jetstreamExotic")
    elif nats.native is None:
        problems.error("", "neither native nor exotic is given", "use jetstream")
    else:
        problems.warn("native", "NATS Streaming is past its end of life; a JetStream bus takes its place")


def _validate_jetstream(jetstream: JetStreamBus, problems: Problems) -> None:
    if not jetstream.version:
        problems.error("version", "required", "latest")
    if jetstream.replicas is not None and (jetstream.replicas < 1 or jetstream.replicas == 2):
        problems.error("replicas", f"{jetstream.replicas} replicas have no majority", "1, or 3 and more")
    _validate_stream(jetstream.stream_config, problems)


def _validate_exotic(exotic: JetStreamConfig, problems: Problems) -> None:
    try:
        connecting.jetstream_config(BusConfig(jetstream=exotic))
    except UserError as error:
        problems.error("url", error.message, error.cure)
    if exotic.tls is not None and (problem := exotic.tls.problem()):
        problems.warn("tls", f"{problem}: no connection is made")
    _validate_stream(exotic.stream_config, problems)


def _validate_stream(config: str | None, problems: Problems) -> None:
    from eventbus.jetstream.streams import StreamConfig

    try:
        StreamConfig.parse(config or "")
    except UserError as error:
        problems.error(error.path, error.message, error.cure)
