"""References to secrets and config maps, and reading what they point to. Contract: sensors 0.1 to 0.3.

Values are files: the mounts of a pod, or a directory of the same layout (`secrets/<name>/<key>`,
`config/<name>/<key>`). They are read again when the file changes, so a rotated secret is used without a restart.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from events.errors import CredentialError, UserError
from events.model import Model

MOUNTED = Path("/argo-events")


class SecretRef(Model):
    """A key of a Secret in the object's namespace."""

    name: str = Field("", description="Name of the Secret.")
    key: str = Field("", description="Key in the Secret.")
    optional: bool | None = Field(None, description="Accepted for compatibility.")


class ConfigMapRef(Model):
    """A key of a ConfigMap in the object's namespace."""

    tolerated: ClassVar[frozenset[str]] = frozenset(("namespace",))

    name: str = Field("", description="Name of the ConfigMap.")
    key: str = Field("", description="Key in the ConfigMap.")
    optional: bool | None = Field(None, description="Accepted for compatibility.")


class TLSConfig(Model):
    """TLS of a client. Contract 0.3."""

    ca_cert_secret: SecretRef | None = Field(
        None, description="CA certificates (PEM) to trust instead of the system's."
    )
    client_cert_secret: SecretRef | None = Field(None, description="Client certificate (PEM).")
    client_key_secret: SecretRef | None = Field(None, description="Key of the client certificate (PEM).")
    insecure_skip_verify: bool | None = Field(None, description="Do not verify the server's certificate.")
    enabled: bool | None = Field(
        None, description="Use TLS with the system's CA certificates when nothing else is set."
    )

    def problem(self) -> str:
        """What is wrong with this configuration, or nothing (contract 0.3, admission-time rule)."""
        if self.insecure_skip_verify:
            return ""
        if (self.client_cert_secret is None) != (self.client_key_secret is None):
            return "clientCertSecret and clientKeySecret go together"
        if not (self.enabled or self.ca_cert_secret or self.client_cert_secret):
            return "no TLS setting is given; set enabled: true for the system's CA certificates"
        return ""


class BasicAuth(Model):
    """A user name and a password, both from secrets."""

    username: SecretRef | None = Field(None, description="Secret with the user name.")
    password: SecretRef | None = Field(None, description="Secret with the password.")


class SASLConfig(Model):
    """SASL of a Kafka client. Contract 0.1."""

    mechanism: str | None = Field(
        None, description="PLAIN (default), OAUTHBEARER, SCRAM-SHA-256, SCRAM-SHA-512 or GSSAPI."
    )
    user_secret: SecretRef | None = Field(None, description="Secret with the user name.")
    password_secret: SecretRef | None = Field(None, description="Secret with the password.")


class NATSAuth(Model):
    """How to log in to a NATS server; of several the first counts."""

    basic: BasicAuth | None = Field(None, description="User name and password.")
    token: SecretRef | None = Field(None, description="Secret with a token.")
    nkey: SecretRef | None = Field(None, description="Secret with the seed of an NKey.")
    credential: SecretRef | None = Field(None, description="Secret with a credentials file.")


class SchemaRegistry(Model):
    """A registry of Avro schemas, and the schema to use."""

    url: str = Field("", description="URL of the registry.")
    schema_id: int = Field(0, description="Id of the schema.")
    auth: BasicAuth | None = Field(None, description="User name and password.")


class ValueFrom(Model):
    """Where a value comes from; a secret wins over a config map."""

    secret_key_ref: SecretRef | None = Field(None, description="Key of a Secret.")
    config_map_key_ref: ConfigMapRef | None = Field(None, description="Key of a ConfigMap.")


class SecureHeader(Model):
    """A header whose value is kept out of the object."""

    name: str = Field("", description="Name of the header.")
    value_from: ValueFrom | None = Field(None, description="Where its value comes from.")


class Credentials:
    """Reads what references point to, below one or more roots; the first root that has the file wins."""

    def __init__(self, roots: Sequence[Path] = (MOUNTED,)) -> None:
        self.roots = tuple(roots)
        self._read: dict[Path, tuple[tuple[int, int, int], str]] = {}
        self._tls: dict[TLSConfig, tuple[tuple[str, ...], ssl.SSLContext]] = {}

    def path(self, ref: SecretRef | ConfigMapRef) -> Path:
        """The file of a reference; CredentialError when there is none."""
        folder = "secrets" if isinstance(ref, SecretRef) else "config"
        for part in (ref.name, ref.key):
            # `..data` and the like are Kubernetes' own; a name is never a path.
            if not part or "/" in part or part in (".", ".."):
                raise CredentialError(f"{folder}: {ref.name!r} key {ref.key!r} is not a name and a key")
        for root in self.roots:
            path = root / folder / ref.name / ref.key
            if path.is_file():
                return path
        noun = "secret" if folder == "secrets" else "config map"
        raise CredentialError(f"{noun} {ref.name!r} has no key {ref.key!r} below {', '.join(map(str, self.roots))}")

    def value(self, ref: SecretRef | ConfigMapRef) -> str:
        """The value of a reference, one trailing newline removed (contract 0.2); CredentialError when unreadable."""
        path = self.path(ref)
        try:
            stat = path.stat()
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            known = self._read.get(path)
            if known is not None and known[0] == seen:
                return known[1]
            text = path.read_text(encoding="utf-8").removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise CredentialError(f"cannot read {path}: {error}") from error
        self._read[path] = (seen, text)
        return text

    def header(self, header: SecureHeader) -> str:
        """The value of a secure header; CredentialError when it has no source."""
        source = header.value_from
        ref = (source.secret_key_ref or source.config_map_key_ref) if source else None
        if ref is None:
            raise CredentialError(f"header {header.name!r} has neither secretKeyRef nor configMapKeyRef")
        return self.value(ref)

    def tls(self, config: TLSConfig) -> ssl.SSLContext:
        """A client's TLS context (contract 0.3), the same one until its secrets change; UserError when it says nothing.

        Clients keep connections by context: one made anew for each request would never find one open.
        """
        refs = (config.ca_cert_secret, config.client_cert_secret, config.client_key_secret)
        used = () if config.insecure_skip_verify else tuple(self.value(ref) for ref in refs if ref)
        known = self._tls.get(config)
        if known is None or known[0] != used:
            known = self._tls[config] = (used, self._tls_context(config))
        return known[1]

    def _tls_context(self, config: TLSConfig) -> ssl.SSLContext:
        if config.insecure_skip_verify:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            return context
        if problem := config.problem():
            raise UserError(problem, path="tls")
        try:
            ca = config.ca_cert_secret
            context = ssl.create_default_context(cadata=self.value(ca) if ca else None)
            if config.client_cert_secret and config.client_key_secret:
                context.load_cert_chain(self.path(config.client_cert_secret), self.path(config.client_key_secret))
        except ssl.SSLError as error:
            raise CredentialError(f"TLS certificates cannot be used: {error}") from error
        return context
