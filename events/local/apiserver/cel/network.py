"""URLs, addresses and networks in expressions."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from events.local.apiserver.cel.errors import CelError


@dataclass(frozen=True)
class Url:
    """A URL, as it was written."""

    text: str


def url(text: str) -> Url:
    """Read a URL: absolute, or a path."""
    if not text or any(c <= " " for c in text):
        raise CelError(f"URL parse error during conversion from string: parse {text!r}: invalid URI for request")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise CelError(f"URL parse error during conversion from string: {error}") from None
    if not text.startswith("/") and not parts.scheme:
        says = f'parse "{text}": invalid URI for request'
        raise CelError(f"URL parse error during conversion from string: {says}")
    return Url(text)


def host(address: Url) -> str:
    """Host and port, without a user."""
    return urlsplit(address.text).netloc.rpartition("@")[2]


def ip(text: str) -> Any:
    """Read an address."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise CelError(f"IP Address {text!r} parse error during conversion from string") from None


def cidr(text: str) -> Any:
    """Read an address with the length of its network."""
    try:
        if "/" not in text:
            raise ValueError
        return ipaddress.ip_interface(text)
    except ValueError:
        raise CelError(
            f"network address parse error during conversion from string: invalid CIDR address: {text}"
        ) from None


def contains_ip(block: Any, address: Any) -> bool:
    """Whether an address is in a network."""
    return (ip(address) if isinstance(address, str) else address) in block.network


def contains_cidr(block: Any, other: Any) -> bool:
    """Whether a network is inside another."""
    inner = cidr(other) if isinstance(other, str) else other
    return inner.version == block.version and bool(inner.network.subnet_of(block.network))
