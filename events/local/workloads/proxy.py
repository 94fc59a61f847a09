"""A TCP proxy for each address and port of a service: on the loopback, since nothing else leads there."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from events.kube.informer import Informer
from events.local.kubelet import hosts
from events.local.kubelet.forwarding import LOCALHOST, carry
from events.local.workloads import endpoints, owned
from events.logs import Log

Object = dict[str, Any]
Address = tuple[str, int]

_PAUSE, _AGAIN = 0.02, 5.0


@dataclass
class _Front:
    """One address that is listened on, and where its connections go, in turn."""

    targets: list[Address]
    server: asyncio.Server
    turns: itertools.count[int] = field(default_factory=itertools.count)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)


class Proxy:
    """Keeps a listener for each port of each service; `told`: the informers of Endpoints and of EndpointSlices."""

    def __init__(self, services: Informer, pods: Informer, told: tuple[Informer, Informer], log: Log) -> None:
        self._services, self._pods, self._told, self._log = services, pods, told, log
        self._fronts: dict[Address, _Front] = {}
        self._failed: dict[Address, str] = {}
        self._changed = asyncio.Event()
        pods.add_index(endpoints.LABEL, hosts.labels_of)
        for informer in (services, pods, *told):
            informer.subscribe(lambda _old, _new: self._changed.set())

    async def run(self) -> None:
        """Until cancelled."""
        try:
            for informer in (self._services, self._pods, *self._told):
                await informer.synced()
            while True:
                self._changed.clear()
                await self._settle()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_AGAIN if self._failed else None):
                        await self._changed.wait()
                await asyncio.sleep(_PAUSE)
        finally:
            for address in list(self._fronts):
                self._close(address)

    async def _settle(self) -> None:
        told, slices = (one.all() for one in self._told)
        services = self._services.all()
        pods = hosts.candidates(services, lambda label: self._pods.by(endpoints.LABEL, label))
        wanted = routes(services, pods, told, slices)
        for address in [one for one in self._fronts if one not in wanted]:
            self._close(address)
        for address, targets in wanted.items():
            if (front := self._fronts.get(address)) is not None:
                front.targets = targets
            else:
                await self._open(address, targets)

    async def _open(self, address: Address, targets: list[Address]) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            front = self._fronts.get(address)
            if front is None or not front.targets:
                writer.transport.abort()
                return
            target = front.targets[next(front.turns) % len(front.targets)]
            front.writers.add(writer)
            try:
                await carry(reader, writer, *target)
            finally:
                front.writers.discard(writer)

        try:
            server = await asyncio.start_server(serve, *address)
        except OSError as error:
            if self._failed.get(address) != str(error):
                self._failed[address] = str(error)
                self._log.warning(
                    "The address of a service is taken", address=f"{address[0]}:{address[1]}", reason=str(error)
                )
            return
        self._failed.pop(address, None)
        self._fronts[address] = _Front(targets, server)

    def _close(self, address: Address) -> None:
        front = self._fronts.pop(address)
        front.server.close()
        for writer in list(front.writers):
            writer.transport.abort()


def routes(
    services: Iterable[Object], pods: list[Object], told: Iterable[Object] = (), slices: Iterable[Object] = ()
) -> dict[Address, list[Address]]:
    """Address and port of each service -> those of the pods that are ready, or what was told of it. Pure."""
    found: dict[Address, list[Address]] = {}
    told, slices = list(told), list(slices)
    for it in services:
        spec = it.get("spec") or {}
        if spec.get("type") == "ExternalName":
            continue
        behind = _pods_of(it, pods)
        for port in spec.get("ports") or ():
            if port.get("protocol", "TCP") != "TCP":
                continue
            numbers = [(pod["status"]["podIP"], endpoints.target_of(pod, port)) for pod in behind]
            targets = [(address, number) for address, number in numbers if number]
            if not spec.get("selector"):
                targets = endpoints.told(it, port, told, slices)
            for address in _addresses(spec, port):
                found.setdefault(address, targets)
    return found


def _pods_of(service: Object, pods: Iterable[Object]) -> list[Object]:
    """Those that it may lead to now."""
    spec, namespace = service["spec"], service["metadata"]["namespace"]
    if not spec.get("selector"):
        return []
    return [
        pod
        for pod in pods
        if pod["metadata"]["namespace"] == namespace
        and endpoints.is_behind(service, pod)
        and (owned.is_ready(pod) or spec.get("publishNotReadyAddresses"))
    ]


def _addresses(spec: Object, port: Object) -> Iterable[Address]:
    address = spec.get("clusterIP")
    if address and address != "None" and ipaddress.ip_address(address).is_loopback:
        yield address, port["port"]
    if port.get("nodePort"):
        yield LOCALHOST, port["nodePort"]
