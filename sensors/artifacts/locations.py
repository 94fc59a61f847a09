"""Where the resource of a trigger may come from: the types. Contract: sensors D.16."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from events.credentials import ConfigMapRef, SecretRef
from events.model import Model


class S3Bucket(Model):
    """A bucket and a key in it."""

    name: str = Field(description="Name of the bucket.")
    key: str | None = Field(None, description="Key of the object.")


class S3Filter(Model):
    """Accepted for compatibility."""

    prefix: str | None = Field(None, description="Used by the event source only.")
    suffix: str | None = Field(None, description="Used by the event source only.")


class S3Artifact(Model):
    """An object in S3 or anything that speaks its protocol."""

    endpoint: str = Field(description="Host and port.")
    bucket: S3Bucket = Field(description="Bucket and key.")
    region: str | None = Field(None, description="Region.")
    insecure: bool | None = Field(None, description="Plain HTTP.")
    access_key: SecretRef = Field(description="Secret with the access key.")
    secret_key: SecretRef = Field(description="Secret with the secret key.")
    events: list[str] | None = Field(None, description="Used by the event source only.")
    filter: S3Filter | None = Field(None, description="Used by the event source only.")
    metadata: dict[str, str] | None = Field(None, description="Used by the event source only.")
    ca_certificate: SecretRef | None = Field(None, description="Used by the event source only.")


class FileArtifact(Model):
    """A file of the pod."""

    path: str | None = Field(None, description="Path of the file.")


class URLArtifact(Model):
    """What an HTTP GET returns."""

    tolerated: ClassVar[frozenset[str]] = frozenset(("verifycert",))

    path: str = Field(description="URL.")
    verify_cert: bool | None = Field(None, description="Verify the server's certificate.")


class GitCreds(Model):
    """A user name and a password or token, both from secrets."""

    username: SecretRef | None = Field(None, description="Secret with the user name.")
    password: SecretRef | None = Field(None, description="Secret with the password or token.")


class GitHubApp(Model):
    """A GitHub App that may read the repository."""

    private_key: SecretRef = Field(description="Secret with the private key.")
    app_id: int = Field(alias="appID", description="Id of the app.")
    installation_id: int = Field(alias="installationID", description="Id of its installation.")


class GitRemote(Model):
    """A further remote."""

    name: str = Field(description="Name of the remote.")
    urls: list[str] = Field(description="URLs to fetch from.")


class GitArtifact(Model):
    """A file of a git repository."""

    url: str = Field(description="URL of the repository.")
    clone_directory: str = Field(description="Where it is cloned to.")
    file_path: str = Field(description="Path of the file in the repository.")
    branch: str | None = Field(None, description="Branch; master when neither tag nor ref is given.")
    tag: str | None = Field(None, description="Tag.")
    ref: str | None = Field(None, description="Ref, such as refs/pull/1/head.")
    creds: GitCreds | None = Field(None, description="User name and password.")
    ssh_key_secret: SecretRef | None = Field(None, description="Secret with an SSH key.")
    insecure_ignore_host_key: bool | None = Field(None, description="Do not verify the SSH host key.")
    github_app: GitHubApp | None = Field(None, description="GitHub App.")
    remote: GitRemote | None = Field(None, description="A further remote to fetch.")


class ArtifactLocation(Model):
    """Exactly one of these; of several the first counts."""

    s3: S3Artifact | None = Field(None, description="An object in S3.")
    inline: str | None = Field(None, description="The resource as YAML or JSON text.")
    file: FileArtifact | None = Field(None, description="A file of the pod.")
    url: URLArtifact | None = Field(None, description="What an HTTP GET returns.")
    git: GitArtifact | None = Field(None, description="A file of a git repository.")
    configmap: ConfigMapRef | None = Field(None, description="A key of a ConfigMap.")
    resource: dict[str, Any] | None = Field(None, description="The resource itself.")

    def given(self) -> list[str]:
        """The kinds that are set, by precedence."""
        order = ("s3", "inline", "file", "url", "git", "configmap", "resource")
        return [kind for kind in order if getattr(self, kind) is not None]
