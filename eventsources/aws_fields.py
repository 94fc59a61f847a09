"""Fields of the sources that ask AWS: where, and as whom. Contract: eventsources 3.7, 3.8."""

from __future__ import annotations

from pydantic import Field

from events import aws
from events.credentials import Credentials, SecretRef
from events.problems import Problems
from eventsources.base import Spec
from eventsources.fields import require


class AwsFields(Spec):
    """Where, and as whom: with these keys, in this role, or as the process's environment says."""

    region: str = Field("", description="AWS region.")
    access_key: SecretRef | None = Field(None, description="Secret with the access key.")
    secret_key: SecretRef | None = Field(None, description="Secret with the secret key.")
    role_arn: str | None = Field(
        None, alias="roleARN", description="Role to assume, with the process's own credentials; the keys are ignored."
    )
    endpoint: str | None = Field(None, description="URL of a server that is not AWS's own.")

    def access(self, service: str, secrets: Credentials, token: SecretRef | None = None) -> aws.Access:
        """The access as the secrets are now; CredentialError when one cannot be read. `token` goes with keys only."""
        refs = (self.access_key, self.secret_key, token)
        if self.role_arn or self.access_key is None:
            refs = (None, None, None)
        access_key, secret_key, session_token = (secrets.value(ref) if ref is not None else "" for ref in refs)
        return aws.Access(
            service,
            self.region,
            access_key,
            secret_key,
            role=self.role_arn or "",
            endpoint=self.endpoint or "",
            session_token=session_token,
        )

    def check_access(self, problems: Problems) -> None:
        """What cannot work; only what upstream refuses is an error."""
        require(problems, region=self.region)
        if self.role_arn and (self.access_key or self.secret_key):
            cure = "remove accessKey and secretKey, or roleARN"
            problems.warn("roleARN", "takes the process's own credentials: the keys have no effect", cure)
        elif (self.access_key is None) != (self.secret_key is None):
            missing = "secretKey" if self.secret_key is None else "accessKey"
            cure = "set both, or neither for the credentials of the environment"
            problems.warn(missing, "accessKey and secretKey go together: the source never starts", cure)
        if self.endpoint and not self.endpoint.startswith(("http://", "https://")):
            cure = f"write http://{self.endpoint} or https://{self.endpoint}"
            problems.warn("endpoint", f"{self.endpoint!r} is no URL: the source never starts", cure)
