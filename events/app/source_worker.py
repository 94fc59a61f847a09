"""A worker of an EventSource with `workers: N`: `python -P -m events.app.source_worker <pid of keryx> <number>`.

Started by `eventsources.workers.life`, with the channel to its supervisor as standard input and nothing else to know.
It serves one EventSource as `keryx eventsource-service` does; health and metrics are its supervisor's.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from eventbus import connecting
from eventbus.jetstream.bus import JetStreamBus
from eventbus.jetstream.link import Access
from eventbus.types import BusConfig
from events import logs, process
from events.app.gate import Gate, GatedBus
from events.app.services import kube, serve_source
from events.clients import Clients
from events.credentials import Credentials
from events.errors import UserError
from events.logs import Log
from events.metrics import Metrics
from events.process import Process, Readiness
from events.scripting.worker import tie_to
from events.version import VERSION
from eventsources.http.ports import SharedPorts
from eventsources.http.routes import HttpSettings
from eventsources.http.server import HttpServers
from eventsources.types import EventSource
from eventsources.workers.channel import Channel
from eventsources.workers.desk import Desk
from eventsources.workers.plan import Plan


async def serve(connection: socket.socket, number: int) -> int:
    """Work as the supervisor says; the exit code."""
    channel = await Channel.open(connection)
    message = await channel.receive()
    if message is None:
        return 1
    try:
        return await _work(channel, Plan.of_wire(message["plan"]), number)
    except UserError as error:
        channel.post({"refused": error.message, "path": error.path, "cure": error.cure})
        return 2
    finally:
        await channel.aclose()


async def _work(channel: Channel, plan: Plan, number: int) -> int:
    logs.set_up(plan.around.log_level, worker=number)
    log = Log("eventsource")
    me = Process(Metrics(VERSION), log, grace=plan.around.grace, metrics_port=None)
    kubeconfig = plan.around.kubeconfig
    credentials = Credentials([Path(folder) for folder in plan.around.credentials])
    clients = Clients(credentials, None if kubeconfig is None else lambda: kube(kubeconfig))
    bus = _bus(plan, credentials, me.metrics, log, f"{plan.name} worker {number}")
    gate = Gate(bus, Readiness(), {"the supervisor"})
    shared_ports = SharedPorts()
    http = HttpServers(HttpSettings(address=plan.around.address), shared_ports)
    desk = Desk(channel, me, shared_ports, gate.open)
    source = EventSource.parse(plan.object, lenient=True)
    open_bus = GatedBus(bus, gate) if plan.is_gated else bus

    async def work(me: Process) -> None:
        tasks = [asyncio.create_task(desk.listen()), asyncio.create_task(desk.report())]
        try:
            await bus.start()
            try:
                await serve_source(source, me, open_bus, clients, http, log, plan.namespace)
            finally:
                try:
                    await bus.aclose()
                finally:
                    await clients.aclose()
        finally:
            await _cancel(tasks)

    try:
        return await me.run(work)
    finally:
        desk.say()


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _bus(plan: Plan, credentials: Credentials, metrics: Metrics, log: Log, name: str) -> JetStreamBus:
    bus = plan.bus
    if bus.config is None:
        return connecting.own(
            lambda: Access(bus.url, bus.username, bus.password),
            plan.namespace,
            name=name,
            stream_config=bus.stream_config,
            label=bus.label,
            metrics=metrics,
            log=log,
        )
    return connecting.bus(
        BusConfig.parse(bus.config, lenient=True),
        plan.namespace,
        name=name,
        credentials=credentials,
        auth_file=Path(bus.auth_file) if bus.auth_file else None,
        metrics=metrics,
        log=log,
        role=bus.role,
    )


def main() -> int:
    """The exit code."""
    parent, number = sys.argv[1:]
    tie_to(int(parent))
    connection = socket.socket(fileno=0)
    return process.start(lambda: serve(connection, int(number)))


if __name__ == "__main__":
    sys.exit(main())
