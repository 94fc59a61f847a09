"""The webhook's certificate: made, renewed long before its end, replaced with an overlap. Pure but for making keys.

Contract: G.4 (keys of the Secret). A certificate has an authority of its own, whose key is thrown away once it has
signed. The next pair is told about (`authorities` has both) an hour before it is served, so that an API server which
learns late never meets a certificate that it does not know.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = timedelta(days=365)
DUE = LIFE / 3
"""With less than this left, the next one is made."""
OVERLAP = timedelta(hours=1)
_BEFORE = timedelta(hours=1)
"""Clocks differ."""
_FIELDS = {
    "key": "server-key.pem",
    "cert": "server-cert.pem",
    "authorities": "ca-cert.pem",
    "next_key": "next-server-key.pem",
    "next_cert": "next-server-cert.pem",
}


@dataclass(frozen=True, slots=True)
class Chain:
    """PEM texts: what is served, the authorities that clients trust, and what is served next."""

    key: str = ""
    cert: str = ""
    authorities: str = ""
    next_key: str = ""
    next_cert: str = ""

    @classmethod
    def of(cls, data: Mapping[str, bytes]) -> Chain:
        """From the data of the Secret."""
        return cls(**{name: data.get(key, b"").decode(errors="replace") for name, key in _FIELDS.items()})

    def data(self) -> dict[str, bytes]:
        """For the Secret; what is empty is left out."""
        return {key: getattr(self, name).encode() for name, key in _FIELDS.items() if getattr(self, name)}


def ensured(chain: Chain, names: tuple[str, ...], now: datetime) -> Chain:
    """The same chain while nothing is due. What cannot be used is made anew at once."""
    chain = _without_ended(chain, now)
    has_next = _is_usable(chain.next_key, chain.next_cert, chain.authorities, names, now)
    if not _is_usable(chain.key, chain.cert, chain.authorities, names, now):
        if has_next:
            return _promoted(chain)
        key, cert, authority = _made(names, now)
        return Chain(key, cert, authority + chain.authorities)
    if has_next:
        told = _cert(chain.next_cert).not_valid_before_utc + _BEFORE
        return _promoted(chain) if now - told >= OVERLAP else chain
    if _cert(chain.cert).not_valid_after_utc - now < DUE:
        key, cert, authority = _made(names, now)
        return replace(chain, authorities=authority + chain.authorities, next_key=key, next_cert=cert)
    return chain


def _promoted(chain: Chain) -> Chain:
    return replace(chain, key=chain.next_key, cert=chain.next_cert, next_key="", next_cert="")


def _is_usable(key: str, cert: str, authorities: str, names: tuple[str, ...], now: datetime) -> bool:
    """Whether a pair fits together, has the names and has not ended."""
    try:
        leaf, known = _cert(cert), x509.load_pem_x509_certificates(authorities.encode())
        named = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        has_names = set(names) <= set(named.get_values_for_type(x509.DNSName))
        fits = load_pem_private_key(key.encode(), None).public_key() == leaf.public_key()
    except (ValueError, TypeError, x509.ExtensionNotFound):
        return False
    is_valid = leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc
    return has_names and fits and is_valid and any(_signed(leaf, one) for one in known)


def _signed(leaf: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _without_ended(chain: Chain, now: datetime) -> Chain:
    """Without authorities that have ended, or that nobody can read."""
    known: list[x509.Certificate] = []
    with contextlib.suppress(ValueError):
        known = x509.load_pem_x509_certificates(chain.authorities.encode())
    kept = [one for one in known if one.not_valid_after_utc > now]
    return chain if kept and len(kept) == len(known) else replace(chain, authorities="".join(map(_pem, kept)))


def _made(names: tuple[str, ...], now: datetime) -> tuple[str, str, str]:
    """A key, its certificate, and the authority that signed it and nothing else."""
    signer, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    # Names differ, so that a verifier who knows several authorities takes the right one.
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"events-webhook-ca-{serial:x}"[:64])])
    builder = _builder(authority_name, authority_name, signer, now).serial_number(serial)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    authority = builder.add_extension(_usage(is_authority=True), critical=True).sign(signer, hashes.SHA256())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    builder = _builder(subject, authority_name, key, now).serial_number(x509.random_serial_number())
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    leaf = (
        builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .sign(signer, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return pem, _pem(leaf), _pem(authority)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _cert(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
