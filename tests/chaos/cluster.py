"""A whole installation as processes on this machine, what can happen to it, and the account of what became of events.

One event source and two replicas of each sensor service, each with its own line to a real nats-server, so that one can
be cut off while the others are not. What had to happen is computed from the stream, by a fold of this module's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from support.keryx import Keryx, Sink, dependency, http_sink, obj, pod_environment, relay, webhook, write
from support.nats_server import Line, NatsServer
from support.ports import free_port

from eventbus.jetstream import streams
from eventbus.jetstream.bus import JetStreamBus
from eventbus.jetstream.link import Access
from events.logs import Log

WINDOW = 100
"""What a crash may repeat: two windows of 32 firings, and the actions that overlapped with them."""


@dataclass
class Account:
    """What became of the events of a round."""

    sent: set[int] = field(default_factory=set)
    accepted: set[int] = field(default_factory=set)
    stored: list[int] = field(default_factory=list)
    """In the order of the stream; once for each time."""
    fired: list[int] = field(default_factory=list)
    fired_once: list[int] = field(default_factory=list)
    pairs: list[tuple[int, int]] = field(default_factory=list)
    expected_pairs: list[tuple[int, int]] = field(default_factory=list)
    pairs_once: list[tuple[int, int]] = field(default_factory=list)
    interrupted: set[int] = field(default_factory=set)
    interrupted_pairs: set[tuple[int, int]] = field(default_factory=set)
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def lost(self) -> set[int]:
        """Stored, and not acted on at least once."""
        return set(self.stored) - set(self.fired)

    @property
    def lost_once(self) -> set[int]:
        """Stored, not acted on at most once, and not among the dead letters either."""
        return set(self.stored) - set(self.fired_once) - self.interrupted

    @property
    def repeated(self) -> int:
        return len(self.fired) - len(set(self.fired))

    @property
    def twice(self) -> list[int]:
        """Acted on at most once, and yet twice."""
        return [number for number, count in Counter(self.fired_once).items() if count > 1]

    @property
    def lost_pairs(self) -> set[tuple[int, int]]:
        """Pairs that did not fire, or at most once neither fired nor are among the dead letters."""
        expected = set(self.expected_pairs)
        return expected - set(self.pairs) | (expected - set(self.pairs_once) - self.interrupted_pairs)

    def late(self) -> int:
        """First starts that came after one that follows them in the stream."""
        place = {number: at for at, number in reversed(list(enumerate(self.stored)))}
        seen, latest, late = set(), -1, 0
        for number in self.fired:
            if number in seen or number not in place:
                continue
            seen.add(number)
            late += place[number] < latest
            latest = max(latest, place[number])
        return late

    def __str__(self) -> str:
        return (
            f"sent {len(self.sent)}, accepted {len(self.accepted)}, stored {len(self.stored)}; at least once: "
            f"fired {len(set(self.fired))}, repeated {self.repeated}, lost {len(self.lost)}, late {self.late()}; "
            f"at most once: fired {len(set(self.fired_once))}, twice {len(self.twice)}, "
            f"interrupted {len(self.interrupted)}, unaccounted {len(self.lost_once)}; "
            f"pairs: expected {len(self.expected_pairs)}, fired {len(set(self.pairs))}, at most once "
            f"{len(self.pairs_once)}, interrupted {len(self.interrupted_pairs)}; {dict(self.faults)}"
        )


class Cluster:
    """The processes, their lines and their sinks."""

    def __init__(self, directory: Path, seed: int, longest: float = 8) -> None:
        self.directory, self.random, self.longest = directory, random.Random(seed), longest
        self.server = NatsServer(directory / "nats")
        self.port = free_port()
        self.lines: dict[str, Line] = {}
        self.processes: dict[str, Keryx] = {}
        self.account = Account()
        self._stopped: set[int] = set()

    async def start(self, relayed: Sink, once: Sink, paired: Sink, paired_once: Sink) -> None:
        self.relayed, self.once, self.paired, self.paired_once = relayed, once, paired, paired_once
        await self.server.start()
        source = webhook(self.port)
        events = source["spec"]["webhook"]
        for name in ("left", "right"):
            events[name] = {"endpoint": f"/{name}", "port": str(self.port), "method": "POST"}
        sensors = [
            relay(relayed.url, at_least_once=True, name="relay"),
            relay(once.url, at_least_once=False, name="once"),
            pair(paired.url, at_least_once=True, name="pair"),
            pair(paired_once.url, at_least_once=False, name="pair-once"),
        ]
        await self._process("source", "eventsource-service", source)
        for sensor in sensors:
            for replica in "ab":
                await self._process(f"{sensor['metadata']['name']}-{replica}", "sensor-service", sensor)
        for process in self.processes.values():
            await process.ready(40)

    async def _process(self, name: str, command: str, document: dict[str, Any]) -> None:
        line = self.lines[name] = Line(self.server.port)
        await line.mend()
        file = write(self.directory / f"{name}.yaml", document)
        environ = pod_environment(line.url) | {"KERYX_GRACE": "3"} | self._since(name, document)
        process = Keryx(self.directory / name, command, "--object", file, environ=environ)
        self.processes[name] = process.start()

    def _since(self, name: str, document: dict[str, Any]) -> dict[str, str]:
        """What the controller says of a Sensor's triggers: a standby that never led knows it when all else is lost."""
        triggers = [trigger["template"]["name"] for trigger in document["spec"].get("triggers", ())]
        file = self.directory / f"{name}.since.json"
        appeared = dict.fromkeys(triggers, datetime.now(UTC).isoformat())
        file.write_text(json.dumps({"triggers": appeared, "complete": True}))
        return {"KERYX_SINCE_FILE": str(file)} if triggers else {}

    # ---- faults

    @property
    def faults(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {
            "kill source": lambda: self._kill("source"),
            "kill sensor": lambda: self._kill(self._some_sensor()),
            "kill sensor ": lambda: self._kill(self._some_sensor()),
            "kill sensor  ": lambda: self._kill(self._some_sensor()),
            "restart sensor": lambda: self._restart(self._some_sensor()),
            "stop sensor": lambda: self._freeze(self._some_sensor()),
            "cut sensor": lambda: self._cut(self._some_sensor()),
            "silence sensor": lambda: self._silence(self._some_sensor()),
            "slow sensor": lambda: self._slow(self._some_sensor()),
            "cut source": lambda: self._cut("source"),
            "silence source": lambda: self._silence("source"),
            "kill nats": self._kill_nats,
            "stop nats": self._freeze_nats,
        }

    def _some_sensor(self) -> str:
        """Mostly one that owns its sensor, as far as it has said so: the others have little to lose."""
        names = [name for name in self.processes if name != "source"]
        owners = [name for name in names if self.processes[name].said("I'm the LEADER")]
        return self.random.choice(owners if owners and self.random.random() < 0.8 else names)

    def _some_seconds(self, most: float = 4.0) -> float:
        return self.random.random() ** 2 * most

    async def _kill(self, name: str) -> None:
        process = self.processes[name]
        process.kill()
        await asyncio.sleep(self._some_seconds(1))
        process.start()

    async def _restart(self, name: str) -> None:
        process = self.processes[name]
        if process.is_running:
            code = await process.stop(12)
            # One that had only just begun has not learned to wind down yet.
            assert code == 0 or (code == -signal.SIGTERM and not process.err), process.err[-3000:]
        process.start()

    async def _freeze(self, name: str) -> None:
        process = self.processes[name]
        if process.is_running:
            process.signal(signal.SIGSTOP)
            await asyncio.sleep(self._some_seconds(self.longest))
            process.signal(signal.SIGCONT)

    async def _cut(self, name: str) -> None:
        line = self.lines[name]
        await line.cut()
        await asyncio.sleep(self._some_seconds())
        await line.mend()

    async def _silence(self, name: str) -> None:
        line = self.lines[name]
        line.silent = True
        await asyncio.sleep(self._some_seconds(self.longest))
        line.silent = False

    async def _slow(self, name: str) -> None:
        line = self.lines[name]
        line.delay = 0.02
        await asyncio.sleep(self._some_seconds(6))
        line.delay = 0.0

    async def _kill_nats(self) -> None:
        self.server.kill()
        await asyncio.sleep(self._some_seconds())
        await self.server.start()

    async def _freeze_nats(self) -> None:
        assert self.server.process is not None
        pid = self.server.process.pid
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(self._some_seconds(6))
        os.kill(pid, signal.SIGCONT)

    async def disturb(self, count: int, names: list[str] | None = None) -> None:
        """So many faults, one after another."""
        faults = self.faults
        for _ in range(count):
            name = self.random.choice(names or sorted(faults))
            self.account.faults[name.strip()] += 1
            await asyncio.sleep(self._some_seconds(1))
            await faults[name]()

    def cpu_seconds(self) -> float:
        """What the processes have used so far."""
        ticks = 0
        for process in self.processes.values():
            assert process.process is not None
            fields = Path(f"/proc/{process.process.pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    # ---- load

    async def post(self, numbers: range, *, workers: int = 16, pause: float = 0.15, padding: int = 0) -> None:
        """Each number once to /posted; pairs of it one after the other to /left and /right."""
        queue = iter(numbers)
        timeout = aiohttp.ClientTimeout(12)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=64)) as session:

            async def single() -> None:
                for number in queue:
                    self.account.sent.add(number)
                    if await self._post(session, "posted", number, padding):
                        self.account.accepted.add(number)
                    await asyncio.sleep(pause * self.random.random())

            async def pairs() -> None:
                for number in numbers[::4]:
                    for name in ("left", "right"):
                        await self._post(session, name, number)

            await asyncio.gather(pairs(), *(single() for _ in range(workers)))

    async def _post(self, session: aiohttp.ClientSession, name: str, number: int, padding: int = 0) -> bool:
        url = f"http://127.0.0.1:{self.port}/{name}"
        try:
            async with session.post(url, json={"number": number, "pad": "x" * padding}) as answer:
                await answer.read()
                accepted = answer.status == 200
        except (OSError, aiohttp.ClientError, TimeoutError):
            accepted = False
        if not accepted:
            await asyncio.sleep(0.05)
        return accepted

    # ---- the account

    async def settle(self, seconds: float = 60) -> Account:
        """Returns once everything stored has been acted on, or nothing has moved for a long time."""
        for process in self.processes.values():
            if not process.is_running:
                process.start()
        account = self.account
        bus = JetStreamBus(lambda: Access(self.server.url), "default", name="chaos", log=Log("chaos"))
        await bus.start()
        try:
            await self._read_stream(bus)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                await self._read_sinks(bus)
                if not account.lost and not account.lost_once and not account.lost_pairs:
                    break
                await asyncio.sleep(0.2)
        finally:
            await bus.aclose()
        return account

    async def _read_stream(self, bus: JetStreamBus) -> None:
        """What is stored, in order, and the pairs that follow from it."""
        account, waiting = self.account, dict[str, int]()
        account.stored, account.expected_pairs = [], []
        link = await bus._connection.link()
        state = await streams.state(link)
        for sequence in range(state.first, state.last + 1):
            delivery = await bus.read(sequence)
            if delivery is None or delivery.event is None or delivery.event.source != "hooks":
                continue
            number = delivery.event.tree()["body"]["number"]
            if delivery.event.subject == "posted":
                account.stored.append(number)
                continue
            waiting[delivery.event.subject] = number
            if len(waiting) == 2:
                account.expected_pairs.append((waiting["left"], waiting["right"]))
                waiting.clear()

    async def _read_sinks(self, bus: JetStreamBus) -> None:
        account = self.account
        account.fired, account.fired_once = self.relayed.numbers, self.once.numbers
        account.pairs = [(body["left"], body["right"]) for body in self.paired.bodies]
        account.pairs_once = [(body["left"], body["right"]) for body in self.paired_once.bodies]
        store = await bus.dead_letters()
        after = 0
        while page := await store.page(after=after):
            after = page[-1].cursor
            for head in page:
                letter = await store.get(head.id)
                numbers = {name: one.tree()["body"]["number"] for name, one in letter.events.items()} if letter else {}
                if head.sensor == "once":
                    account.interrupted |= set(numbers.values())
                elif len(numbers) == 2:
                    account.interrupted_pairs.add((numbers["left"], numbers["right"]))

    def close(self) -> None:
        for process in self.processes.values():
            process.close()
        self.server.kill()


def pair(url: str, *, at_least_once: bool, name: str) -> dict[str, Any]:
    """A sensor that waits for a left and a right, and tells a URL both numbers."""
    payload = [
        {"src": {"dependencyName": name, "dataKey": "body.number", "useRawData": True}, "dest": name}
        for name in ("left", "right")
    ]
    trigger = relay(url, at_least_once=at_least_once)["spec"]["triggers"][0]
    trigger["template"]["http"]["payload"] = payload
    return obj("Sensor", name, {"dependencies": [dependency("left"), dependency("right")], "triggers": [trigger]})


@asynccontextmanager
async def cluster(directory: Path, seed: int, longest: float = 8) -> AsyncIterator[Cluster]:
    """A running cluster; its seed is printed, so that a round can be repeated. `longest`: seconds of silence."""
    print(f"seed {seed}")
    async with AsyncExitStack() as stack:
        sinks = [await stack.enter_async_context(http_sink()) for _ in range(4)]
        made = Cluster(directory, seed, longest)
        try:
            await made.start(*sinks)
            yield made
        finally:
            made.close()
            for line in made.lines.values():
                with contextlib.suppress(OSError):
                    await line.cut()
