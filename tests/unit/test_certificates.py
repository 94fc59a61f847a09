"""Authorities and what they sign: read by others, verified by TLS, told apart."""

from __future__ import annotations

import ssl
import tempfile
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from events import certificates
from events.certificates import Issuer, Key, Span

NOW = datetime.now(UTC)
SPAN = Span(NOW - timedelta(hours=1), NOW + timedelta(hours=1))
NAMES = ("bus.ns.svc", "127.0.0.1", "::1", "*.bus.ns.svc")


def signed_by(key: Key, **more: object) -> tuple[x509.Certificate, x509.Certificate]:
    """An authority, and the leaf of a server."""
    issuer = Issuer(certificates.name("authority", ["org"]), key)
    names = {"names": NAMES} | more
    subject = certificates.name("server")
    return certificates.authority(issuer, SPAN), certificates.leaf(subject, key, issuer, SPAN, **names)  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [certificates.elliptic_key(), certificates.rsa_key()], ids=["elliptic", "rsa"])
def test_tls_accepts_a_server_that_an_authority_has_signed(key: Key) -> None:
    authority, leaf = signed_by(key)
    ends = [handshake(authority, leaf, key, host) for host in ("bus.ns.svc", "127.0.0.1", "n1.bus.ns.svc")]
    assert ends == ["", "", ""]
    assert "Hostname mismatch" in handshake(authority, leaf, key, "other.ns.svc")


def test_tls_refuses_what_another_authority_of_the_same_name_has_signed() -> None:
    key = certificates.elliptic_key()
    _, leaf = signed_by(key)
    other, _ = signed_by(certificates.elliptic_key())
    assert not certificates.has_signed(other, leaf)
    assert "certificate verify failed" in handshake(other, leaf, key, "bus.ns.svc")


def test_a_client_is_no_server() -> None:
    key = certificates.elliptic_key()
    authority, leaf = signed_by(key, is_server=False, is_client=True)
    assert "unsuitable certificate purpose" in handshake(authority, leaf, key, "bus.ns.svc")


def test_names_are_read_back() -> None:
    authority, leaf = signed_by(certificates.elliptic_key())
    assert certificates.names_of(leaf) == set(NAMES)
    assert certificates.names_of(authority) == frozenset()
    assert certificates.has_signed(authority, leaf)


def test_a_common_name_has_64_letters_at_most() -> None:
    (part,) = certificates.name("n" * 100)
    assert part.value == "n" * 64


def handshake(authority: x509.Certificate, leaf: x509.Certificate, key: Key, host: str) -> str:
    """What a client that trusts `authority` says to a server with `leaf`; empty when it is content."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(certificates.key_pem(key) + certificates.pem(leaf))
        file.flush()
        server.load_cert_chain(file.name)
    client.load_verify_locations(cadata=certificates.pem(authority))
    one, other = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(one, other, server_hostname=host), server.wrap_bio(other, one, server_side=True)]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return str(error)
    return ""
