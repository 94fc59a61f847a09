"""Notifications of a bucket of a MinIO server. Contract: eventsources 3.6."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef
from events.model import Model
from events.problems import Problems
from eventsources.base import Kind, Spec
from eventsources.fields import KeyFilter, require


class Bucket(Model):
    """A bucket."""

    name: str = Field("", description="Name of the bucket.")
    key: str | None = Field(None, description="Not used here.")


class MinioSpec(Spec):
    """Notifications of a bucket of MinIO or another S3. Contract: eventsources 3.6."""

    endpoint: str = Field("", description="host:port of the server, without a scheme.")
    bucket: Bucket | None = Field(None, description="Bucket to listen to.")
    region: str | None = Field(None, description="Not used.")
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
        for index, event in enumerate(self.events or ()):
            if not event:
                problems.error(f"events[{index}]", "must not be empty", "such as s3:ObjectCreated:*")


class MinioSource(Kind[MinioSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = MinioSpec, "minio", True

    @classmethod
    def validate(cls, spec: MinioSpec, problems: Problems) -> None:
        spec.check(problems)
