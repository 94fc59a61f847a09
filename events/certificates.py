"""Authorities and what they sign (X.509 as of RFC 5280): the one place where certificates are put together.

Who has an authority, how long anything lives, and where it is kept is told by those that use this: the bus, the
admission webhook, the local API server. Pure, but for the time it takes to make keys. Importing it loads
`cryptography`, which takes a while: commands that need no certificate import it late.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_RSA_BITS, _RSA_EXPONENT = 2048, 65537


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when a certificate is good; begin a little early, clocks differ."""

    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs."""

    name: x509.Name
    key: Key


def elliptic_key() -> ec.EllipticCurvePrivateKey:
    """A key that nobody had before (P-256)."""
    return ec.generate_private_key(ec.SECP256R1())


def rsa_key() -> rsa.RSAPrivateKey:
    """The same for those who read RSA alone; it takes a tenth of a second and more."""
    return rsa.generate_private_key(_RSA_EXPONENT, _RSA_BITS)


def name(common: str = "", organizations: Sequence[str] = ()) -> x509.Name:
    """Organizations, then the common name (cut at the 64 letters it may have)."""
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in organizations]
    if common:
        parts.append(x509.NameAttribute(NameOID.COMMON_NAME, common[:64]))
    return x509.Name(parts)


def authority(issuer: Issuer, span: Span, path_length: int | None = 0) -> x509.Certificate:
    """A self-signed one; with `path_length` 0 it signs leaves only."""
    builder = _builder(issuer.name, issuer, issuer.key, span)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    return builder.add_extension(_usage(issuer.key, is_authority=True), critical=True).sign(issuer.key, hashes.SHA256())


def leaf(
    subject: x509.Name,
    key: Key,
    issuer: Issuer,
    span: Span,
    *,
    names: Sequence[str] = (),
    is_server: bool = True,
    is_client: bool = False,
) -> x509.Certificate:
    """For a server with these host names and addresses, for a client, or for one that is both."""
    usages = [
        *([ExtendedKeyUsageOID.SERVER_AUTH] if is_server else []),
        *([ExtendedKeyUsageOID.CLIENT_AUTH] if is_client else []),
    ]
    builder = _builder(subject, issuer, key, span)
    if names:
        alternatives = x509.SubjectAlternativeName([_alternative(one) for one in dict.fromkeys(names)])
        builder = builder.add_extension(alternatives, critical=False)
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(key, is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )


def has_signed(signer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether the signature is that of `signer`."""
    try:
        certificate.verify_directly_issued_by(signer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def names_of(certificate: x509.Certificate) -> frozenset[str]:
    """Host names and addresses of a server's certificate."""
    try:
        listed = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(str(one.value) for one in listed)


def pem(certificate: x509.Certificate) -> str:
    """As it is kept and sent."""
    return certificate.public_bytes(Encoding.PEM).decode()


def key_pem(key: Key, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    """Not encrypted: whoever keeps it keeps it secret."""
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


def _builder(subject: x509.Name, issuer: Issuer, key: Key, span: Span) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(span.begin)
        .not_valid_after(span.end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(key: Key, *, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=isinstance(key, rsa.RSAPrivateKey) and not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
