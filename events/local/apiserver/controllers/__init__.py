"""What the API server itself does after a write: in its process, but by the same writes as every client's.

Each controller brings things where they should be from the objects alone, whenever it was stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from events.local.apiserver.access.tokens import Tokens
from events.local.apiserver.controllers.account_secrets import AccountSecrets
from events.local.apiserver.controllers.base import Controller, Objects, needed
from events.local.apiserver.controllers.collecting import Collector
from events.local.apiserver.controllers.definitions import Definitions
from events.local.apiserver.controllers.namespaces import Namespaces
from events.local.apiserver.controllers.roles import Roles
from events.local.apiserver.controllers.services import NETWORK, AddressPool, PortPool, Taken
from events.local.apiserver.objects.hooks import Hooks
from events.logs import Log


class Controllers:
    """Those that run."""

    def __init__(self, running: Sequence[Controller[Any]]) -> None:
        self._running = running
        for one in running:
            one.start()

    async def close(self) -> None:
        """Stop all."""
        await asyncio.gather(*(one.close() for one in self._running))


async def start(
    objects: Objects, authority: str, tokens: Tokens, log: Log, hooks: Hooks, addresses: str = NETWORK
) -> Controllers:
    """Make what must be there before the first request, then run. `addresses`: the network of services."""
    pool = AddressPool(addresses)
    pool.restore(objects.list(needed(objects.resources, "", "services")))
    hooks.take_address, hooks.give_address_back = pool.take, pool.give_back
    hooks.taken = Taken
    ports = PortPool()
    ports.restore(objects.list(needed(objects.resources, "", "services")))
    hooks.complete_ports_in_place, hooks.give_ports_back = ports.complete_in_place, ports.give_back
    definitions = Definitions(objects, log)
    namespaces, roles = Namespaces(objects, authority, log), Roles(objects, log)
    await namespaces.make_first()
    await roles.make_first()
    collector, secrets = Collector(objects, log), AccountSecrets(objects, authority, tokens, log)
    return Controllers([definitions, namespaces, roles, collector, secrets])
