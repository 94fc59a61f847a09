"""The addresses and node ports of services: each has its own, for as long as it lives."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

NETWORK = "10.96.0.0/12"
_SPECIAL = 10
"""The first addresses are left to those who ask for them by name."""


FIRST_PORT, LAST_PORT = 30_000, 32_767
_WITH_PORTS = ("NodePort", "LoadBalancer")


class Taken(Exception):
    """Another service has it, or nobody may: field, value and what is to be said."""


class PortPool:
    """Gives out ports that every node listens on."""

    def __init__(self, first: int = FIRST_PORT, last: int = LAST_PORT) -> None:
        self._first, self._last, self._next = first, last, first
        self._taken: set[int] = set()

    def restore(self, existing: Iterable[Mapping[str, Any]]) -> None:
        """Services that have theirs already."""
        for it in existing:
            self._taken |= ports_of(it)

    def complete_in_place(self, it: dict[str, Any], old: Mapping[str, Any] | None = None) -> None:
        """A service whose type asks for them gets those it does not name.

        Raises Taken when another one has those it names, LookupError when none is left.
        """
        named = ports_of(it) - ports_of(old or {})
        if outside := sorted(one for one in named if not self._first <= one <= self._last):
            says = f"provided port is not in the valid range. The range of valid ports is {self._first}-{self._last}"
            raise Taken("spec.ports[0].nodePort", outside[0], says)
        if others := sorted(named & self._taken):
            raise Taken("spec.ports[0].nodePort", others[0], "provided port is already allocated")
        self._taken |= named
        spec = it.get("spec") or {}
        if spec.get("type") in _WITH_PORTS and spec.get("allocateLoadBalancerNodePorts", True):
            for port in spec.get("ports") or ():
                if not port.get("nodePort"):
                    port["nodePort"] = self._free()

    def _free(self) -> int:
        for _ in range(self._last - self._first + 1):
            found, self._next = self._next, self._next + 1 if self._next < self._last else self._first
            if found not in self._taken:
                self._taken.add(found)
                return found
        raise LookupError("no port of nodes is left")

    def give_back(self, it: Mapping[str, Any], new: Mapping[str, Any] | None = None) -> None:
        """The service is gone, or has become another."""
        self._taken -= ports_of(it) - ports_of(new or {})


def ports_of(it: Mapping[str, Any]) -> set[int]:
    """The node ports of a service."""
    return {one["nodePort"] for one in (it.get("spec") or {}).get("ports") or () if one.get("nodePort")}


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
        """An address for a service; the one it asks for. Raises Taken when another has it, LookupError without any."""
        wanted = (it.get("spec") or {}).get("clusterIP")
        if wanted:
            if wanted in self._taken:
                says = f"failed to allocate IP {wanted}: provided IP is already allocated"
                raise Taken("spec.clusterIPs", [wanted], says)
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
