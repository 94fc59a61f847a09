"""The worker's side of the channel: tells what it counts and waits for, does what it is ordered.

It says something every two seconds, so that silence means that it hangs; while it counts, four times a second, and at
once when it is asked or something else is to be said. What it counted after its last word is lost with it when it is
killed; the events are not.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

from events.process import Process
from events.tally import Snapshot, snapshot
from eventsources.http.ports import SharedPorts
from eventsources.workers.channel import Channel, Message

_BUSY_SECONDS, _IDLE_SECONDS = 0.25, 2.0
_SHARE = 0.02
"""Part of the worker's time that may go into reading its own numbers."""


class Desk:
    """What a worker says and hears. `open` is called when events may be published."""

    def __init__(self, channel: Channel, process: Process, ports: SharedPorts, open: Callable[[], None]) -> None:
        self._channel, self._process, self._ports, self._open = channel, process, ports, open
        self._wake = asyncio.Event()
        self._last: Snapshot = []
        self._pause = _BUSY_SECONDS
        self._asked = 0
        process.readiness.on_change = ports.on_wanted = self._wake.set

    async def listen(self) -> None:
        """Do what the supervisor says; the process ends when it is gone."""
        while (message := await self._channel.receive()) is not None:
            if "ports" in message:
                await self._ports.hold(frozenset(message["ports"]))
                if message["open"]:
                    self._open()
            elif "ask" in message:
                self._asked = message["ask"]
                self._wake.set()
            elif "stop" in message:
                self._process.stopping.set()
        os._exit(1)  # nobody would hear us, nor end us

    async def report(self) -> None:
        """Tell, for ever."""
        while True:
            self.say()
            await self._channel.flush()
            try:
                async with asyncio.timeout(self._pause):
                    await self._wake.wait()
            except TimeoutError:
                continue
            self._wake.clear()

    def say(self) -> None:
        """Tell now what is to be told."""
        began = time.perf_counter()
        message: Message = {"waiting": self._process.readiness.reasons, "ports": self._ports.wanted}
        numbers = snapshot(self._process.metrics.registry)
        if numbers != self._last:
            message["numbers"] = self._last = numbers
            self._pause = 0.0
        if self._asked:
            message["answers"], self._asked = self._asked, 0
        self._channel.post(message)
        least = max(_BUSY_SECONDS, (time.perf_counter() - began) / _SHARE)
        self._pause = max(least, min(self._pause * 2, _IDLE_SECONDS))
