"""The certificates of a bus that we run: an authority of its own, and leaves that are renewed long before they end.

Pure, but for the time it takes to make keys. Clients trust the authority, so it stays when a leaf is renewed; when it
is near its own end, the next one is trusted beside it for an hour and more before it signs anything.
Contract: sensors E.7 (names, usages).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from events import certificates
from events.certificates import Issuer, Span

AUTHORITY = timedelta(days=3650)
LEAF = timedelta(days=365)
DUE = LEAF / 3
"""A leaf with less than this left is renewed."""
SPREAD = timedelta(hours=1)
"""For how long a new authority is told to clients before it signs."""
_BEFORE = timedelta(hours=1)  # clocks differ
_ORGANIZATION = "io.argoproj"


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
    is_due = leaf.not_valid_after_utc - now < DUE or not set(names.dns) <= certificates.names_of(leaf)
    can_sign = bool(chain.authority_key) and _key(chain.authority_key).public_key() == authorities[0].public_key()
    if (is_due and not can_sign) or (can_sign and authorities[0].not_valid_after_utc - now < 2 * LEAF):
        chain = _with_authority(chain, now)
        authorities = x509.load_pem_x509_certificates(chain.authorities.encode())
    if is_due and (_is_known(authorities[0], now) or leaf.not_valid_after_utc - now < SPREAD):
        return issued(chain, names, now)
    return chain


def issued(chain: Chain, names: Names, now: datetime) -> Chain:
    """A new leaf under the newest authority."""
    authority, key = _cert(chain.authorities), certificates.rsa_key()
    leaf = certificates.leaf(
        _subject(),
        key,
        Issuer(authority.subject, _key(chain.authority_key)),
        Span(now - _BEFORE, min(now + LEAF, authority.not_valid_after_utc)),
        names=names.dns,
        is_client=names.is_client,
    )
    return replace(chain, key=_key_text(key), cert=certificates.pem(leaf))


def _with_authority(chain: Chain, now: datetime) -> Chain:
    """The chain with a new authority before those that have not ended."""
    key = certificates.rsa_key()
    made = certificates.authority(Issuer(_subject(), key), Span(now - _BEFORE, now + AUTHORITY))
    former = x509.load_pem_x509_certificates(chain.authorities.encode()) if chain.authorities else []
    kept = [one for one in former if one.not_valid_after_utc > now]
    return replace(chain, authorities="".join(map(certificates.pem, [made, *kept])), authority_key=_key_text(key))


def _subject() -> x509.Name:
    return certificates.name(organizations=[_ORGANIZATION])


def _is_whole(chain: Chain) -> bool:
    """Whether the leaf has its key and one of the authorities has signed it."""
    try:
        leaf, key = _cert(chain.cert), _key(chain.key)
        authorities = x509.load_pem_x509_certificates(chain.authorities.encode())
        if chain.authority_key:
            _key(chain.authority_key)
    except (ValueError, TypeError):
        return False
    return key.public_key() == leaf.public_key() and any(certificates.has_signed(one, leaf) for one in authorities)


def _is_known(authority: x509.Certificate, now: datetime) -> bool:
    """Whether clients have had the time to learn of it."""
    return now - authority.not_valid_before_utc - _BEFORE >= SPREAD


def _key(text: str) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(text.encode(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("not an RSA key")
    return key


def _cert(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())


def _key_text(key: rsa.RSAPrivateKey) -> str:
    return certificates.key_pem(key, serialization.PrivateFormat.TraditionalOpenSSL)
