"""Notifications of a bucket of a MinIO server. Contract: eventsources 3.6.

Ours: a connection that breaks, or is refused, is made again for ever; events are held while the bus is away, and have
an id by which a repeat is known. What happens while no stream is there is not told by the server: `s3` can look for it.
"""

from __future__ import annotations

import ssl
from typing import Any

from pydantic import Field

from events import aws, rawjson
from events.credentials import Credentials, SecretRef
from events.errors import InvalidEvent, UserError
from events.model import Model
from events.problems import Problems
from eventsources import s3_records
from eventsources.base import Source, SourceContext, Spec
from eventsources.fields import KeyFilter, require
from eventsources.holding import Holding
from eventsources.s3_listen import Lanes, Raw, Selection, Stream, trusting

_REGION = "us-east-1"
"""What a server without a region of its own takes."""


class Bucket(Model):
    """A bucket."""

    name: str = Field("", description="Name of the bucket.")
    key: str | None = Field(None, description="Not used here.")


class MinioSpec(Spec):
    """Notifications of a bucket of MinIO or another S3. Contract: eventsources 3.6."""

    endpoint: str = Field("", description="host:port of the server, without a scheme.")
    bucket: Bucket | None = Field(None, description="Bucket to listen to.")
    region: str | None = Field(None, description="Region of the server; found out when absent.")
    insecure: bool | None = Field(None, description="Plain HTTP.")
    access_key: SecretRef | None = Field(None, description="Secret with the access key.")
    secret_key: SecretRef | None = Field(None, description="Secret with the secret key.")
    events: list[str] | None = Field(None, description="Kinds of event, such as s3:ObjectCreated:*.")
    filter: KeyFilter | None = Field(None, description="Which keys.")
    metadata: dict[str, str] | None = Field(None, description="Copied into every event's data.")
    ca_certificate: SecretRef | None = Field(None, description="CA certificates (PEM) to trust.")

    def check(self, problems: Problems) -> None:
        """Contract 3.6; with a missing bucket upstream's process ends."""
        require(problems, endpoint=self.endpoint, accessKey=self.access_key, secretKey=self.secret_key)
        if self.bucket is None:
            problems.warn("bucket", "is missing: the source never starts", "name the bucket")
        else:
            require(problems.at("bucket"), name=self.bucket.name)
        if "/" in self.endpoint:
            problems.warn("endpoint", f"{self.endpoint!r} is no host:port: the source never starts", "minio:9000, say")
        if not self.events:
            problems.warn("events", "without them nothing is told", "such as s3:ObjectCreated:*")
        s3_records.check_events(self.events or (), problems)

    def access(self, secrets: Credentials) -> aws.Access:
        """The access as the secrets are now; CredentialError when one cannot be read."""
        key, secret = (secrets.value(ref) if ref is not None else "" for ref in (self.access_key, self.secret_key))
        scheme = "http" if self.insecure else "https"
        return aws.Access("s3", self.region or _REGION, key, secret, endpoint=f"{scheme}://{self.endpoint}")

    def tls(self, secrets: Credentials) -> ssl.SSLContext:
        """Whom to trust; CredentialError, UserError for what is no certificate."""
        return trusting(secrets.path(self.ca_certificate) if self.ca_certificate is not None else None)


class MinioSource(Source[MinioSpec]):
    """One bucket."""

    Spec, event_type, active_passive = MinioSpec, "minio", True

    @classmethod
    def validate(cls, spec: MinioSpec, problems: Problems) -> None:
        spec.check(problems)

    async def listen(self, context: SourceContext) -> None:
        spec, chosen = self.spec, self.spec.filter or KeyFilter.parse({})
        if spec.bucket is None or not spec.bucket.name:
            raise UserError("is missing", path="bucket", cure="name the bucket")
        selection = Selection(spec.bucket.name, tuple(spec.events or ()), chosen.prefix, chosen.suffix)
        holding = Holding(context)

        async def publish(records: list[Raw]) -> None:
            await holding.emit(self._data(records), _id(records))

        stream = Stream(
            selection,
            lambda: spec.access(context.secrets),
            context,
            tls=None if spec.insecure else lambda: spec.tls(context.secrets),
        )
        lanes = Lanes(publish)

        async def take(records: list[Raw]) -> None:
            if records:
                await lanes.put(_key(records), records)

        async with lanes.running():
            await stream.run(take)

    def _data(self, records: list[Raw]) -> bytes:
        """The records as the server sent them."""
        data: dict[str, Any] = {"notification": records}
        return rawjson.dumps(data | {"metadata": self.spec.metadata} if self.spec.metadata else data)


def _key(records: list[Raw]) -> str:
    """The key of the object they are about."""
    try:
        return str(records[0]["s3"]["object"]["key"])
    except (KeyError, TypeError):
        return ""


def _id(records: list[Raw]) -> str:
    """The ids of the records, as one; what has none gets one made up."""
    try:
        return s3_records.digest(*(s3_records.record(raw).id for raw in records))
    except InvalidEvent:
        return ""
