"""Records of Kafka. Contract: sensors D.6."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from events.credentials import SASLConfig, SchemaRegistry, SecureHeader, TLSConfig
from events.problems import Problems
from sensors import base, payloads
from sensors.types import TriggerParameter


class KafkaSpec(base.Spec):
    """Sends a record to a Kafka topic. Contract: sensors D.6."""

    url: str = Field("", description="Host and port of the brokers, separated by commas.")
    topic: str = Field("", description="Topic.")
    partition: int | None = Field(None, description="Accepted for compatibility.")
    required_acks: int | None = Field(None, description="Replicas that must have the record: 1, or -1 for all.")
    compress: bool | None = Field(None, description="Compress with snappy.")
    flush_frequency: int | None = Field(None, description="Milliseconds between flushes; 500 when absent.")
    tls: TLSConfig | None = Field(None, description="TLS of the client; none when absent.")
    partitioning_key: str | None = Field(None, description="Key of the record; none, so any partition, when absent.")
    version: str | None = Field(None, description="Version of the brokers; 1.0.0 when absent.")
    sasl: SASLConfig | None = Field(None, description="How to log in.")
    headers: dict[str, str] | None = Field(None, description="Headers of the record.")
    secure_headers: list[SecureHeader] | None = Field(None, description="Headers from secrets or config maps.")
    schema_registry: SchemaRegistry | None = Field(None, description="Write Avro with this schema instead of JSON.")
    payload: list[TriggerParameter] | None = Field(None, description="Values that make the record's value, as JSON.")
    parameters: list[TriggerParameter] | None = Field(None, description="Values written into this spec.")


class KafkaTrigger(base.Kind[KafkaSpec]):
    """One record per firing."""

    Spec = KafkaSpec
    checks_parameters: ClassVar[bool] = False

    @classmethod
    def validate(cls, spec: KafkaSpec, problems: Problems) -> None:
        payloads.required(spec, problems, "url", "topic")
        payloads.validate(spec.payload, problems.at("payload"))
        payloads.validate_tls(spec.tls, problems.at("tls"))
        if spec.partition is not None:
            problems.warn("partition", "has no effect, as in Argo Events", "use partitioningKey")
