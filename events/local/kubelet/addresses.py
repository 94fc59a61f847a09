"""Addresses of pods: each its own on the loopback where the machine allows that (Linux)."""

from __future__ import annotations

import hashlib
import ipaddress
import sys

NETWORK = "127.64.0.0/12"
SERVICES = "127.96.0.0/12"
HOST = "127.0.0.1"
_FIRST = 2


def part_of(network: str, owner: str, prefix: int = 20) -> str:
    """The part of a network that somebody uses: another one for each, most likely. Pure."""
    whole = ipaddress.ip_network(network)
    number = int.from_bytes(hashlib.sha256(owner.encode()).digest()[:4])
    begin = int(whole.network_address) + (number % 2 ** (prefix - whole.prefixlen) << 32 - prefix)
    return f"{ipaddress.ip_address(begin)}/{prefix}"


class Addresses:
    """Gives them out one after the other: one that was given back rests until all others had their turn."""

    def __init__(self, network: str = NETWORK, *, is_alone: bool = sys.platform != "linux") -> None:
        self._network, self._is_alone = ipaddress.ip_network(network), is_alone
        self._next, self._taken = _FIRST, set[str]()

    def take(self, wanted: str = "") -> str:
        """A free one; `wanted`, when it is free. On a machine with one loopback address all pods share it."""
        if self._is_alone:
            return HOST
        if wanted and wanted not in self._taken and ipaddress.ip_address(wanted) in self._network:
            self._taken.add(wanted)
            return wanted
        size = self._network.num_addresses
        for _ in range(size):
            address = str(self._network[self._next])
            self._next = self._next + 1 if self._next + 2 < size else _FIRST
            if address not in self._taken:
                self._taken.add(address)
                return address
        raise LookupError(f"no address is left in {self._network}")

    def give_back(self, address: str) -> None:
        """The pod is gone."""
        self._taken.discard(address)
