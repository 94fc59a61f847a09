"""Session: this process's life on the bus, and what it owns. Built on `State` alone, so every bus has the same.

A session renews one key each second. Ownership keys name a session and are written only on change. An observer that has
seen a session unchanged for `VALID` seconds takes over what it owned; the session itself counts `VALID` from before its
last confirmed renewal was sent, so it stops first. Wall clocks are not compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import orjson

from eventbus import subjects
from eventbus.base import Entry, State
from events.errors import BusError, Conflict, NotOwner, Unavailable
from events.logs import Log

RENEW = 1.0
VALID = 3.0
UNANSWERED = 2.0
LOOK = 0.5
SWEEP_AFTER = 10  # renewals: long enough to see that a session stands still

# Counts on while the machine sleeps: a laptop that wakes up has lost what it owned.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_time() -> float:
    """Seconds since the machine started, its sleep included."""
    return time.clock_gettime(_CLOCK)


class LeaseSession:
    """One session after another: when one is lost, what it owned is lost and a new one begins."""

    def __init__(
        self,
        leases: Callable[[], Awaitable[State]],
        log: Log,
        *,
        on_silence: Callable[[str], Awaitable[None]],
        clock: Callable[[], float] = boot_time,
        is_alone: bool = False,
    ) -> None:
        self._has_left_overs = is_alone
        self._leases, self._log, self._on_silence, self._clock = leases, log, on_silence, clock
        self._id = self._former = ""
        self._owned: set[str] = set()
        self._deadline = 0.0
        self._revision = 0
        self._others: dict[str, int] = {}
        self._lost = asyncio.Event()
        self._begun = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to renew."""
        if self._task is None:
            self._task = asyncio.create_task(self._live(), name="bus session")

    @property
    def alive(self) -> bool:
        """Whether what this session owns is still its own."""
        return bool(self._id) and self._clock() < self._deadline

    async def _live(self) -> None:
        while True:
            try:
                await self._begin()
                await self._renew()
            except BusError as error:
                self._log.debug("No session on the bus", reason=str(error))
            except Exception as error:  # noqa: BLE001 - without a session nothing would ever be owned again
                self._log.exception("The session on the bus ended by a defect", error)
            self._end()
            await asyncio.sleep(RENEW / 4)

    async def _begin(self) -> None:
        leases = await self._leases()
        if self._has_left_overs:
            for key in await leases.keys(_session_key("")):
                await leases.purge(key)
            self._has_left_overs = False
        if self._former:
            await leases.purge(_session_key(self._former))  # over for us: nobody need watch it for `VALID` seconds
            self._former = ""
        sent, identity = self._clock(), uuid.uuid4().hex
        self._revision = await leases.create(_session_key(identity), b"1")
        self._others = await _revisions(leases)
        async with self._begun:
            self._id, self._deadline, self._lost = identity, sent + VALID, asyncio.Event()
            self._begun.notify_all()

    async def _renew(self) -> None:
        """Renew until the session is lost."""
        leases, key, count, pause = await self._leases(), _session_key(self._id), 1, RENEW
        while self._left > 0:
            await asyncio.sleep(pause)
            if self._left <= 0:
                return  # the machine slept; what is over stays over
            sent, count, pause = self._clock(), count + 1, RENEW / 4
            try:
                async with asyncio.timeout(min(UNANSWERED, self._left)):
                    self._revision = await leases.update(key, b"%d" % count, self._revision)
            except Conflict:
                return  # the key is gone: the bus lost its data, or somebody took over
            except (BusError, TimeoutError) as error:
                if isinstance(error, TimeoutError):
                    await self._on_silence("a renewal of the session was not answered")
                # Written or not, nobody else writes this key: learn its revision and go on.
                with contextlib.suppress(Unavailable, TimeoutError):
                    async with asyncio.timeout(self._left):
                        self._revision = await self._read_revision(leases, key)
            else:
                if self._left <= 0:
                    return
                self._deadline, pause = sent + VALID, RENEW
                if count == SWEEP_AFTER:
                    await self._sweep(leases)

    async def _sweep(self, leases: State) -> None:
        """Remove the keys of sessions that ended without a word and owned nothing that anybody wanted."""
        with contextlib.suppress(BusError, TimeoutError):
            async with asyncio.timeout(UNANSWERED / 2):
                now = await _revisions(leases)
                for key, revision in self._others.items():
                    if now.get(key) == revision:
                        await leases.purge(key)

    @property
    def _left(self) -> float:
        return max(0.0, self._deadline - self._clock())

    async def _read_revision(self, leases: State, key: str) -> int:
        entry = await leases.get(key)
        if entry is None:
            raise Conflict("the session's key is gone")
        return entry.revision

    def _end(self) -> None:
        if self._id:
            self._log.warning("Lost the session on the bus; what it owned is paused")
        self._former = self._id or self._former
        self._id, self._deadline = "", 0.0
        self._lost.set()

    @asynccontextmanager
    async def own(self, name: str, on_standby: Callable[[], None] | None = None) -> AsyncIterator[HeldLease]:
        """Wait until `name` is free, and own it until the session is lost or the block ends."""
        await self.start()
        key = subjects.key("owner", name)
        lease = await self._take(key, on_standby or _nothing)
        try:
            yield lease
        finally:
            try:
                if lease.held:
                    # Unanswered, it is free when the session ends, and ours to take again until then.
                    with contextlib.suppress(BusError, TimeoutError):
                        async with asyncio.timeout(UNANSWERED):
                            await (await self._leases()).update(key, b"", lease.revision)
            finally:
                self._owned.discard(key)

    async def _take(self, key: str, on_standby: Callable[[], None]) -> HeldLease:
        watch, is_standby = _Watch(self._clock), False
        while True:
            identity = await self._identity()
            try:
                leases = await self._leases()
                entry = await leases.get(key)
                revision = entry.revision if entry else 0
                # A write of ours whose answer was lost makes it ours; another part of this process does not.
                is_own = entry is not None and _owner_of(entry) == identity and key not in self._owned
                if is_own or entry is None or await watch.is_free(leases, entry):
                    if not is_own:
                        revision = await leases.update(key, orjson.dumps({"session": identity}), revision)
                    if self.alive and identity == self._id:
                        self._owned.add(key)
                        return HeldLease(self, key, revision)
                    continue
                if not is_standby:
                    is_standby = True
                    self._log.info("Not the LEADER, stand by ...", name=key)
                    on_standby()
            except BusError as error:
                self._log.debug("Cannot take ownership yet", key=key, reason=str(error))
            await asyncio.sleep(LOOK)

    async def _identity(self) -> str:
        async with self._begun:
            await self._begun.wait_for(lambda: self.alive)
        return self._id

    async def aclose(self) -> None:
        """End the session: what it owned is free at once."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        identity, alive = self._id, self.alive
        self._id, self._deadline = "", 0.0
        self._lost.set()
        if alive:
            with contextlib.suppress(BusError, TimeoutError):
                async with asyncio.timeout(1):
                    await (await self._leases()).purge(_session_key(identity))


def _nothing() -> None:
    """Nobody wants to know."""


def _session_key(identity: str) -> str:
    return subjects.key("session", identity)


async def _revisions(leases: State) -> dict[str, int]:
    """The sessions there are, and how often each was renewed."""
    found = {key: await leases.get(key) for key in await leases.keys(_session_key(""))}
    return {key: entry.revision for key, entry in found.items() if entry is not None}


def _owner_of(entry: Entry) -> str:
    """The session that an ownership key names; empty when it was released."""
    return str(orjson.loads(entry.value)["session"]) if entry.value else ""


class HeldLease:
    """Ownership of one name by one session."""

    def __init__(self, session: LeaseSession, key: str, revision: int) -> None:
        self._session, self.key, self.revision = session, key, revision
        self._identity, self._lost = session._id, session._lost

    @property
    def held(self) -> bool:
        """Whether the deadline of the session that took it has not passed."""
        return self._session.alive and self._session._id == self._identity

    def require(self) -> None:
        """NotOwner unless held."""
        if not self.held:
            raise NotOwner("the session that owned this is over")

    async def lost(self) -> None:
        """Returns when the session is over."""
        await self._lost.wait()


class _Watch:
    """How long a session has been seen unchanged."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: tuple[str, int] | None = None
        self._since = 0.0

    async def is_free(self, leases: State, owner: Entry) -> bool:
        """Whether the owner that `owner` names is gone."""
        identity = _owner_of(owner)
        if not identity:
            return True
        renewed = await leases.get(_session_key(identity))
        if renewed is None:
            return True
        seen = (identity, renewed.revision)
        if seen != self._seen:
            self._seen, self._since = seen, self._clock()
            return False
        if self._clock() - self._since < VALID:
            return False
        # Its renewals fail from here on, should it still live; not free before that is certain.
        await leases.purge(_session_key(identity))
        return True
