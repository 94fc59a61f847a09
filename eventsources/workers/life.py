"""One process of a worker: started, told its plan, listened to, ended. It cannot outlive this process (PDEATHSIG)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
from collections.abc import Callable, Sequence

from events.errors import KeryxError, UserError
from events.scripting.link import describe
from eventsources.workers.channel import BrokenChannel, Channel, Message
from eventsources.workers.plan import Plan

_LOOK_SECONDS = 5.0
_SILENCES = 4
"""Looks without a word that count as a death; a worker says something every two seconds."""
_FIRST_SILENCES = 24
"""Until its first word: many may start at the same time."""
_EXIT_SECONDS = 5.0
_ASK_SECONDS = 1.0


class Life:
    """From start to death. `hear` gets what the worker says, `look` is called now and then."""

    def __init__(self, hear: Callable[[Message], None], look: Callable[[], None]) -> None:
        self._hear, self._look = hear, look
        self._channel: Channel | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._numbers = itertools.count(1)
        self._asked: asyncio.Future[None] | None = None
        self._words = 0
        self._why = ""
        """Why it had to be killed."""
        self._refusal: UserError | None = None
        self._is_stopping = False

    @property
    def pid(self) -> int | None:
        """Its process."""
        return self._process.pid if self._process else None

    async def live(self, command: Sequence[str], plan: Plan) -> int:
        """The exit status, negative for a signal; KeryxError when it cannot be started, UserError of its plan."""
        try:
            await self._start(command)
            self.tell({"plan": plan.wire()})
            if self._is_stopping:
                self.stop()
            watch = asyncio.create_task(self._watch(), name="worker watch")
            try:
                await self._listen()
                await self._exited()
            finally:
                watch.cancel()
        finally:
            status = await self._end()
        if self._refusal is not None:
            raise self._refusal
        return status

    def tell(self, message: Message) -> None:
        """Say something to the worker."""
        if self._channel is not None:
            self._channel.post(message)

    def stop(self) -> None:
        """Have it drain and end."""
        self._is_stopping = True
        self.tell({"stop": True})

    def describe(self, status: int) -> str:
        """How it ended."""
        return f"it {describe(status)}{f': {self._why}' if self._why else ''}"

    async def refresh(self) -> None:
        """Returns when its newest numbers are here; after a while it is not waited for."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.get_running_loop().create_future()
            self.tell({"ask": next(self._numbers)})
        await asyncio.wait({self._asked}, timeout=_ASK_SECONDS)

    async def _start(self, command: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._channel = await Channel.open(ours)
            except BaseException:
                ours.close()
                raise
            try:
                # From this thread, the loop's: the signal that ties it to us comes when the thread ends.
                self._process = await asyncio.create_subprocess_exec(*command, stdin=theirs.fileno())
            except (OSError, RuntimeError) as error:
                raise KeryxError(f"cannot run {command[0]}: {error}") from error

    async def _listen(self) -> None:
        """Until it says no more."""
        assert self._channel is not None
        try:
            while (message := await self._channel.receive()) is not None:
                self._words += 1
                if "refused" in message:
                    self._refusal = UserError(message["refused"], path=message["path"], cure=message["cure"])
                    continue
                self._hear(message)
                if "answers" in message and self._asked is not None and not self._asked.done():
                    self._asked.set_result(None)
        except (BrokenChannel, ValueError, TypeError, KeyError, AttributeError) as error:
            self._why = f"what it said cannot be read ({error})"
            self._kill()

    async def _watch(self) -> None:
        """Kill one that hangs. Counted in looks, not read off a clock: this process may have stood still, too."""
        silences, known = 0, 0
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            silences = 0 if self._words != known else silences + 1
            known = self._words
            if silences >= (_SILENCES if known else _FIRST_SILENCES):
                self._why = f"it said nothing for {silences * _LOOK_SECONDS:g} s"
                self._kill()
            self._look()

    async def _exited(self) -> None:
        """Its channel is closed: now it should end."""
        assert self._process is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_EXIT_SECONDS):
                await self._process.wait()

    def _kill(self) -> None:
        # Not Process.kill: see scripting.link.
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    async def _end(self) -> int:
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(None)
        if self._channel is not None:
            self._channel.abort()
        self._kill()
        return 0 if self._process is None else await self._process.wait()
