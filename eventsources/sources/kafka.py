"""Records of a Kafka topic. Contract: eventsources 3.19."""

from __future__ import annotations

import re

from pydantic import Field

from events.credentials import SASLConfig, SchemaRegistry
from events.model import Model
from events.problems import Problems, did_you_mean
from eventsources.base import Kind
from eventsources.fields import Connected, check_tls, require

MECHANISMS = ("PLAIN", "OAUTHBEARER", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI")


class ConsumerGroup(Model):
    """A group of consumers that share the partitions."""

    group_name: str = Field("", description="Name of the group.")
    oldest: bool | None = Field(None, description="A new group begins with the oldest record.")
    rebalance_strategy: str = Field("", description="range (default), roundrobin or sticky.")


class AwsMskIamAuth(Model):
    """Login to Amazon MSK by IAM."""

    region: str = Field("", description="AWS region.")


class KafkaSpec(Connected):
    """Records of a Kafka topic. Contract: eventsources 3.19."""

    url: str = Field("", description="host:port of brokers, separated by commas.")
    topic: str = Field("", description="Topic.")
    partition: str = Field("", description="Partition, as text; or consumerGroup.")
    consumer_group: ConsumerGroup | None = Field(None, description="Group; wins over partition.")
    limit_events_per_second: int | None = Field(None, description="Events per second and partition, in a group.")
    version: str = Field("", description="Version of the protocol; 1.0.0.")
    sasl: SASLConfig | None = Field(None, description="Login by SASL.")
    aws_msk_iam_auth: AwsMskIamAuth | None = Field(None, description="Login to Amazon MSK by IAM.")
    config: str = Field("", description="Tuning of the client, as YAML in Sarama's layout.")
    schema_registry: SchemaRegistry | None = Field(None, description="Avro schemas, with jsonBody.")

    def check(self, problems: Problems) -> None:
        """Contract 3.19: of TLS, SASL and IAM the first is looked at."""
        require(problems, url=self.url, topic=self.topic)
        if self.consumer_group is None:
            require(problems, partition=self.partition)
            if self.partition and not re.fullmatch("[+-]?[0-9]+", self.partition):
                problems.error("partition", f"{self.partition!r} is not a number")
        if self.tls is not None:
            check_tls(self.tls, problems)
        elif self.sasl is not None:
            if self.sasl.mechanism and self.sasl.mechanism not in MECHANISMS:
                cure = did_you_mean(self.sasl.mechanism, MECHANISMS) or f"one of {', '.join(MECHANISMS)}"
                problems.error("sasl.mechanism", f"unknown mechanism {self.sasl.mechanism!r}", cure)
            require(problems.at("sasl"), userSecret=self.sasl.user_secret, passwordSecret=self.sasl.password_secret)
        elif self.aws_msk_iam_auth is not None:
            require(problems.at("awsMskIamAuth"), region=self.aws_msk_iam_auth.region)


class KafkaSource(Kind[KafkaSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = KafkaSpec, "kafka", True

    @classmethod
    def validate(cls, spec: KafkaSpec, problems: Problems) -> None:
        spec.check(problems)
