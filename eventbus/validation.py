"""What is wrong with an EventBus. Contract: sensors F.5, E.1, E.2."""

from __future__ import annotations

from eventbus import connecting
from eventbus.types import BusConfig, EventBus
from events.errors import UserError
from events.problems import Problems

_NOT_YET = "is not in this version of Keryx"
_KINDS = ("nats", "jetstream", "kafka", "jetstreamExotic")


def validate(bus: EventBus) -> Problems:
    """All problems of one EventBus."""
    from eventbus.jetstream.streams import StreamConfig

    problems, spec = Problems("spec"), bus.spec
    given = [kind for kind in (spec.nats, spec.jetstream, spec.kafka, spec.jetstream_exotic) if kind is not None]
    if len(given) != 1:
        text = "no kind of bus is given" if not given else "more than one kind of bus is given"
        problems.error("", text, f"give one of {', '.join(_KINDS)}")
        return problems
    if spec.kafka is not None:
        problems.error("kafka", f"a Kafka bus {_NOT_YET}")
    if spec.nats is not None and spec.nats.exotic is not None:
        problems.error("nats.exotic", f"NATS Streaming, past its end of life, {_NOT_YET}", "use jetstreamExotic")
    elif spec.nats is not None:
        problems.warn("nats.native", "NATS Streaming is past its end of life; a JetStream bus takes its place")
    jetstream = spec.jetstream
    if jetstream is not None:
        if not jetstream.version:
            problems.error("jetstream.version", "required", "latest")
        if jetstream.replicas is not None and (jetstream.replicas < 1 or jetstream.replicas == 2):
            problems.error("jetstream.replicas", f"{jetstream.replicas} replicas have no majority", "1, or 3 and more")
    exotic = spec.jetstream_exotic
    if exotic is not None:
        try:
            connecting.jetstream_config(BusConfig(jetstream=exotic))
        except UserError as error:
            problems.error("jetstreamExotic.url", error.message, error.cure)
        if exotic.tls is not None and (problem := exotic.tls.problem()):
            problems.error("jetstreamExotic.tls", problem)
    config = (jetstream.stream_config if jetstream else None) or (exotic.stream_config if exotic else None)
    try:
        StreamConfig.parse(config or "")
    except UserError as error:
        at = "jetstream" if jetstream else "jetstreamExotic"
        problems.at(at).error(error.path, error.message, error.cure)
    return problems
