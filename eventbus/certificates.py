"""The certificates of a bus that we run: an authority of its own, and leaves that are renewed long before they end.

Pure, but for the time it takes to make keys. Clients trust the authority, so it stays when a leaf is renewed; when it
is near its own end, the next one is trusted beside it for an hour and more before it signs anything.
Contract: sensors E.7 (names, usages).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY = timedelta(days=3650)
LEAF = timedelta(days=365)
DUE = LEAF / 3
"""A leaf with less than this left is renewed."""
SPREAD = timedelta(hours=1)
"""For how long a new authority is told to clients before it signs."""
_BEFORE = timedelta(hours=1)  # clocks differ
_ORGANIZATION = "io.argoproj"
_KEY_BITS = 2048


@dataclass(frozen=True, slots=True)
class Chain:
    """PEM texts: a leaf with its key, those who may have signed it (newest first), and the key of the newest."""

    key: str
    cert: str
    authorities: str
    authority_key: str = ""
    """Empty where it is not known: Argo Events throws it away."""


@dataclass(frozen=True, slots=True)
class Names:
    """Whom a leaf is for."""

    dns: tuple[str, ...]
    is_client: bool = False
    """Servers of a cluster are clients of each other."""


def server_names(service: str, namespace: str) -> Names:
    """What clients call the bus."""
    return Names((f"{service}.{namespace}.svc.cluster.local", f"{service}.{namespace}.svc"))


def cluster_names(service: str, namespace: str) -> Names:
    """What the servers call each other."""
    return Names((f"*.{service}.{namespace}.svc.cluster.local", f"*.{service}.{namespace}.svc"), is_client=True)


def ensured(chain: Chain | None, names: Names, now: datetime) -> Chain:
    """The same chain while nothing is due; what cannot be read or does not fit together is made anew."""
    if chain is None or not _is_whole(chain):
        return issued(_with_authority(Chain("", "", ""), now), names, now)
    leaf, authorities = _cert(chain.cert), x509.load_pem_x509_certificates(chain.authorities.encode())
    is_due = leaf.not_valid_after_utc - now < DUE or not set(names.dns) <= set(_dns(leaf))
    can_sign = bool(chain.authority_key) and _key(chain.authority_key).public_key() == authorities[0].public_key()
    if (is_due and not can_sign) or (can_sign and authorities[0].not_valid_after_utc - now < 2 * LEAF):
        chain = _with_authority(chain, now)
        authorities = x509.load_pem_x509_certificates(chain.authorities.encode())
    if is_due and (_is_known(authorities[0], now) or leaf.not_valid_after_utc - now < SPREAD):
        return issued(chain, names, now)
    return chain


def issued(chain: Chain, names: Names, now: datetime) -> Chain:
    """A new leaf under the newest authority."""
    authority, signing = _cert(chain.authorities), _key(chain.authority_key)
    key = _new_key()
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, *([ExtendedKeyUsageOID.CLIENT_AUTH] if names.is_client else [])]
    builder = _builder(authority.subject, key, now, min(now + LEAF, authority.not_valid_after_utc))
    builder = (
        builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names.dns]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
    )
    return replace(chain, key=_key_text(key), cert=_text(builder.sign(signing, hashes.SHA256())))


def _with_authority(chain: Chain, now: datetime) -> Chain:
    """The chain with a new authority before those that have not ended."""
    key = _new_key()
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANIZATION)])
    builder = _builder(name, key, now, now + AUTHORITY)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(is_authority=True), critical=True)
    former = x509.load_pem_x509_certificates(chain.authorities.encode()) if chain.authorities else []
    kept = [_text(one) for one in former if one.not_valid_after_utc > now]
    made = _text(builder.sign(key, hashes.SHA256()))
    return replace(chain, authorities="".join([made, *kept]), authority_key=_key_text(key))


def _builder(issuer: x509.Name, key: rsa.RSAPrivateKey, now: datetime, end: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANIZATION)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _is_whole(chain: Chain) -> bool:
    """Whether the leaf has its key and one of the authorities has signed it."""
    try:
        leaf, key = _cert(chain.cert), _key(chain.key)
        authorities = x509.load_pem_x509_certificates(chain.authorities.encode())
        if chain.authority_key:
            _key(chain.authority_key)
    except (ValueError, TypeError):
        return False
    return key.public_key() == leaf.public_key() and any(_has_signed(one, leaf) for one in authorities)


def _has_signed(authority: x509.Certificate, leaf: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _is_known(authority: x509.Certificate, now: datetime) -> bool:
    """Whether clients have had the time to learn of it."""
    return now - authority.not_valid_before_utc - _BEFORE >= SPREAD


def _dns(leaf: x509.Certificate) -> Sequence[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return names.value.get_values_for_type(x509.DNSName)


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, _KEY_BITS)


def _key(text: str) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(text.encode(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("not an RSA key")
    return key


def _cert(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())


def _text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_text(key: rsa.RSAPrivateKey) -> str:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
