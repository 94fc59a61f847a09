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
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from events import certificates
from events.certificates import Issuer, Span

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
        fits = load_pem_private_key(key.encode(), None).public_key() == leaf.public_key()
    except (ValueError, TypeError):
        return False
    has_names = set(names) <= certificates.names_of(leaf)
    is_valid = leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc
    return has_names and fits and is_valid and any(certificates.has_signed(one, leaf) for one in known)


def _without_ended(chain: Chain, now: datetime) -> Chain:
    """Without authorities that have ended, or that nobody can read."""
    known: list[x509.Certificate] = []
    with contextlib.suppress(ValueError):
        known = x509.load_pem_x509_certificates(chain.authorities.encode())
    kept = [one for one in known if one.not_valid_after_utc > now]
    return (
        chain if kept and len(kept) == len(known) else replace(chain, authorities="".join(map(certificates.pem, kept)))
    )


def _made(names: tuple[str, ...], now: datetime) -> tuple[str, str, str]:
    """A key, its certificate, and the authority that signed it and nothing else."""
    # Names differ, so that a verifier who knows several authorities takes the right one.
    common = f"events-webhook-ca-{x509.random_serial_number():x}"
    issuer = Issuer(certificates.name(common), certificates.elliptic_key())
    span, key = Span(now - _BEFORE, now + LIFE), certificates.elliptic_key()
    leaf = certificates.leaf(certificates.name(names[0]), key, issuer, span, names=names)
    authority = certificates.authority(issuer, span)
    return certificates.key_pem(key), certificates.pem(leaf), certificates.pem(authority)


def _cert(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())
