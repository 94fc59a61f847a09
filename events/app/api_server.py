"""`keryx apiserver`: the local API server alone, in the foreground."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from pathlib import Path

from events.local.apiserver.access import kubeconfig
from events.local.apiserver.server import Server, Settings
from events.logs import Log


@dataclass(frozen=True)
class Options:
    """`kubeconfig`: the file that is written once the server is ready."""

    settings: Settings
    kubeconfig: Path


async def run(options: Options) -> int:
    """Until SIGTERM or SIGINT. Raises UserError."""
    log = Log("apiserver")
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with Server(options.settings, log) as server:
        kubeconfig.write(options.kubeconfig, server.kubeconfig())
        log.info("the API server is ready", url=server.url, kubeconfig=str(options.kubeconfig))
        await stopping.wait()
        log.info("the API server stops")
    return 0
