"""Our certificate authority, made at the first start, and what it signs for the server and the administrator.

Keys are elliptic (P-256). Certificates are renewed before they expire: the authority's keeps its key, so that whatever
it signed stays good. `cryptography` is loaded when something has to be made or read, not before.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from events.errors import UserError
from events.local.apiserver.access import files
from events.local.apiserver.access.identity import AUTHENTICATED, MASTERS, User

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

DIRECTORY = "pki"
ADMIN = "kubernetes-admin"
_AUTHORITY_LIFE = timedelta(days=3650)
_LIFE = timedelta(days=365)
_EARLY = timedelta(days=5)
"""Clocks of clients may be late."""
_REST = 1 / 3
"""A certificate is renewed when less than this part of its life is left."""
_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
_ADDRESSES = ("127.0.0.1", "::1")


class BrokenKey(UserError):
    """A key or certificate of the data directory cannot be read."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, read."""

    key: EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        from events import certificates

        return certificates.pem(self.certificate).encode()

    @property
    def key_pem(self) -> bytes:
        return private_pem(self.key)

    def is_due(self, now: datetime) -> bool:
        """Whether it is time for another."""
        begin, end = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        return now < begin or now > end - (end - begin) * _REST

    def has_names(self, names: Iterable[str]) -> bool:
        from events import certificates

        return set(names) <= certificates.names_of(self.certificate)


class Authority:
    """Signs. All files are in `<data>/pki`, mode 0600."""

    def __init__(self, data: Path, now: datetime) -> None:
        self.directory = files.private_directory(data / DIRECTORY)
        self._pair = self._own(now)

    @property
    def pem(self) -> bytes:
        """The certificate that clients trust."""
        return self._pair.pem

    def server(self, names: Sequence[str], now: datetime) -> Pair:
        """The server's certificate for host names and addresses, besides the loopback's; renewed when due."""
        wanted = (*_NAMES, *_ADDRESSES, *names)
        pair = self._read("apiserver")
        if pair is None or pair.is_due(now) or not self._signed(pair) or not pair.has_names(wanted):
            pair = self._write("apiserver", self.issue("kube-apiserver", (), now, names=wanted))
        return pair

    def admin(self, now: datetime) -> Pair:
        """The client certificate of the administrator; renewed when due."""
        pair = self._read("admin")
        if pair is None or pair.is_due(now) or not self._signed(pair):
            pair = self._write("admin", self.issue(ADMIN, (MASTERS,), now))
        return pair

    def issue(self, user: str, groups: Sequence[str], now: datetime, names: Sequence[str] = ()) -> Pair:
        """A certificate for a client (`user` in `groups`), or, with names, for a server."""
        from events import certificates

        key = new_key()
        certificate = certificates.leaf(
            certificates.name(user, groups),
            key,
            certificates.Issuer(self._pair.certificate.subject, self._pair.key),
            certificates.Span(now - _EARLY, now + _LIFE),
            names=names,
            is_server=bool(names),
            is_client=not names,
        )
        return Pair(key, certificate)

    def _own(self, now: datetime) -> Pair:
        pair = self._read("ca")
        if pair is not None and not pair.is_due(now):
            return pair
        return self._write("ca", _self_signed(pair.key if pair else new_key(), now))

    def _signed(self, pair: Pair) -> bool:
        from events import certificates

        return certificates.has_signed(self._pair.certificate, pair.certificate)

    def _read(self, name: str) -> Pair | None:
        from cryptography import x509

        key = read_key(self.directory / f"{name}.key")
        path = self.directory / f"{name}.crt"
        content = files.read(path)
        if key is None and content is not None and name == "ca":
            says = "restore it; without it, delete ca.crt too, and hand out the new kubeconfig"
            raise BrokenKey(f"{self.directory / 'ca.key'} is missing", cure=says)
        if key is None or content is None:
            return Pair(key, _self_signed(key, _LONG_AGO).certificate) if key and name == "ca" else None
        try:
            return Pair(key, x509.load_pem_x509_certificate(content))
        except ValueError as error:
            raise BrokenKey(f"{path} is no certificate", cure="delete it, it will be made anew") from error

    def _write(self, name: str, pair: Pair) -> Pair:
        # the key first: a key without its certificate is completed at the next start, never the other way round
        files.write(self.directory / f"{name}.key", pair.key_pem)
        files.write(self.directory / f"{name}.crt", pair.pem)
        return pair


_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class Serving:
    """The server's TLS: one context for its whole life, whose certificate may be renewed while it runs."""

    def __init__(self, authority: Authority, names: Sequence[str], now: datetime) -> None:
        self._authority, self._names = authority, tuple(names)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.verify_mode = ssl.CERT_OPTIONAL  # asked for, not demanded: others come with a token
        self.context.load_verify_locations(cadata=authority.pem.decode())
        self.context.set_alpn_protocols(["http/1.1"])
        self._serial = 0
        self.renew(now)

    def renew(self, now: datetime) -> bool:
        """Take a new certificate when it is due; new connections get it. Call it about once a day."""
        pair = self._authority.server(self._names, now)
        if pair.certificate.serial_number == self._serial:
            return False
        directory = self._authority.directory
        self.context.load_cert_chain(directory / "apiserver.crt", directory / "apiserver.key")
        self._serial = pair.certificate.serial_number
        return True


def user_of(peer: Mapping[str, Any] | None) -> User | None:
    """Who a verified client certificate names (`ssl.SSLObject.getpeercert()`): common name, organizations as groups."""
    subject = [part for parts in (peer or {}).get("subject", ()) for part in parts]
    names = [value for key, value in subject if key == "commonName"]
    if not names or not names[0]:
        return None
    groups = tuple(value for key, value in subject if key == "organizationName")
    return User(names[0], groups=groups).with_group(AUTHENTICATED)


def private_pem(key: EllipticCurvePrivateKey) -> bytes:
    """A key as it is kept in a file."""
    from events import certificates

    return certificates.key_pem(key).encode()


def read_key(path: Path) -> EllipticCurvePrivateKey | None:
    """A private key of the data directory, None when there is none. Raises `BrokenKey`."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = files.read(path)
    if content is None:
        return None
    try:
        key = load_pem_private_key(content, None)
    except (ValueError, TypeError) as error:
        raise BrokenKey(f"{path} is no private key", cure="restore it, or delete it to have a new one made") from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise BrokenKey(f"{path} is not an elliptic key", cure="restore it, or delete it to have a new one made")
    return key


def new_key() -> EllipticCurvePrivateKey:
    """A key that nobody had before."""
    from events import certificates

    return certificates.elliptic_key()


def _self_signed(key: EllipticCurvePrivateKey, now: datetime) -> Pair:
    from events import certificates

    issuer = certificates.Issuer(certificates.name("kubernetes"), key)
    span = certificates.Span(now - _EARLY, now + _AUTHORITY_LIFE)
    return Pair(key, certificates.authority(issuer, span, path_length=None))
