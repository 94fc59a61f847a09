"""The addresses of services: each has its own, for as long as it lives."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

NETWORK = "10.96.0.0/12"
_SPECIAL = 10
"""The first addresses are left to those who ask for them by name."""


class AddressPool:
    """Gives addresses out, one after the other, so that one that was given back is not taken again at once."""

    def __init__(self, network: str = NETWORK) -> None:
        self._network = ipaddress.ip_network(network)
        self._taken: set[str] = set()
        self._next = _SPECIAL

    def restore(self, existing: Iterable[Mapping[str, Any]]) -> None:
        """Services that have theirs already."""
        for it in existing:
            address = (it.get("spec") or {}).get("clusterIP")
            if address and address != "None":
                self._taken.add(address)

    def take(self, it: Mapping[str, Any]) -> str:
        """An address for a service; the one it asks for, whoever has it. Raises LookupError when none is left."""
        wanted = (it.get("spec") or {}).get("clusterIP")
        if wanted:
            self._taken.add(wanted)
            return str(wanted)
        size = self._network.num_addresses
        for _ in range(size):
            self._next = self._next + 1 if self._next + 1 < size - 1 else _SPECIAL
            address = str(self._network[self._next])
            if address not in self._taken:
                self._taken.add(address)
                return address
        raise LookupError(f"no address is left in {self._network}")

    def give_back(self, address: str) -> None:
        """The service is gone."""
        self._taken.discard(address)
