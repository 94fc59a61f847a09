"""The streaming pull of a Pub/Sub subscription: messages from the SDK's threads to the loop, what became of them back.

The SDK keeps the stream open, extends the deadlines of what is handled, hands out one message per ordering key at a
time, and sends acknowledgements. While the bus is away, messages stay here: given back, each attempt would count as a
delivery, and an outage would carry good messages to the dead-letter topic. Contract: eventsources 3.9.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from events.backoff import Endless
from events.errors import ActionError, BusError, EventError, InvalidEvent, TooLarge
from eventsources.base import SourceContext
from eventsources.holding import Outage
from eventsources.pubsub_client import Subscriber, translate
from eventsources.unusable import Unusable

MOST_BYTES = 64 * 1024 * 1024
"""Of messages that were received and not settled."""
_WORKERS = 64
"""Messages that are handed to the bus at the same time."""
_LEASE_SECONDS = 31 * 24 * 3600.0
"""As long as Pub/Sub keeps a message at most: the SDK would forget what is held, and receive more and more."""
_MOST_DEADLINE_SECONDS = 20
"""After a death what was received comes again so much later; the SDK's minute for exactly-once delivery stays."""
_PARK_SECONDS = 600
"""The longest deadline there is: what cannot be used is not seen again before."""
_MOST_ATTEMPTS = 100
"""The most that a dead-letter policy can ask for; beyond, it does not work, and giving back would never end."""
_DRAIN_SECONDS = 3.0
"""At the end, for what is being stored."""
_CLOSE_SECONDS = 7.0
"""For all of the end; the service gives ten."""

Parse = Callable[[Any], bytes]
"""The event's data of a message; InvalidEvent when it can never become one."""


class Inbox:
    """Messages that wait for the loop. Keeps the contract of the SDK's `Scheduler`, without a pool of threads."""

    def __init__(self) -> None:
        self.queue: queue.Queue[Any] = queue.Queue()
        """The SDK's own: what it is to send."""
        self.closing = asyncio.Event()
        self.drained = threading.Event()
        """Nothing that left this inbox is still being handled."""
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Any] = deque()
        self._arrived, self._is_told = asyncio.Event(), False

    def schedule(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """In the SDK's thread: the callback only puts the message here."""
        callback(*args, **kwargs)

    def shutdown(self, await_msg_callbacks: bool = False) -> list[Any]:  # noqa: FBT001, FBT002 - the SDK's signature
        """In the SDK's thread: what nobody has begun with; waits for what somebody has."""
        with suppress(RuntimeError):  # the loop is gone
            self._loop.call_soon_threadsafe(self._close)
            self.drained.wait(_DRAIN_SECONDS + 1 if await_msg_callbacks else 0)
        left = []
        with suppress(IndexError):
            while True:
                left.append(self._waiting.popleft())
        return left

    def put(self, message: Any) -> None:
        """In the SDK's thread."""
        self._waiting.append(message)
        if not self._is_told:
            self._is_told = True
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._is_told = False
        self._arrived.set()

    def _close(self) -> None:
        self.closing.set()
        self._arrived.set()

    async def next(self) -> Any:
        """The next message; None once it is closed."""
        while not self.closing.is_set():
            with suppress(IndexError):
                return self._waiting.popleft()
            self._arrived.clear()
            if not self._waiting and not self.closing.is_set():
                await self._arrived.wait()
        return None


class Pull:
    """One stream, from its opening to its end."""

    def __init__(self, client: Subscriber, subscription: str, context: SourceContext, parse: Parse, most: int) -> None:
        """`most`: messages that are received and not settled."""
        self._client, self._subscription, self._context, self._parse = client, subscription, context, parse
        self._limit = {
            "max_messages": most,
            "max_bytes": MOST_BYTES,
            "max_lease_duration": _LEASE_SECONDS,
            "max_duration_per_lease_extension": _MOST_DEADLINE_SECONDS,
        }
        self._workers: list[asyncio.Task[None]] = []
        self._unusable = Unusable(context.log)
        self._outage = Outage(context.log, "messages")
        self._is_ack_refused = False

    async def run(self, watch: Callable[[], Any]) -> None:
        """Until the stream ends, which is an ActionError, or `watch` does. Cancelled, it settles what it has."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[BaseException | None] = loop.create_future()
        inbox = Inbox()
        stream = self._client.subscribe(self._subscription, inbox.put, inbox, self._limit)
        stream.add_done_callback(lambda future: _tell_end(loop, ended, future))
        self._workers = [asyncio.create_task(self._work(inbox)) for _ in range(_WORKERS)]
        watching = asyncio.ensure_future(watch())
        try:
            await asyncio.wait({ended, watching, *self._workers}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            await self._close(stream, ended, inbox)
        for task in (watching, *self._workers):
            if task.done() and not task.cancelled():
                task.result()
        if ended.done() and (error := ended.result()) is not None:
            raise translate(error)
        if not watching.done() or watching.cancelled():
            raise ActionError("pubsub: the stream ended")

    async def _close(self, stream: Any, ended: asyncio.Future[Any], inbox: Inbox) -> None:
        """Settle what is being handled, give back the rest, send it all."""
        stream.cancel()  # a thread of the SDK's closes the inbox, which ends the workers
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await inbox.closing.wait()
                _, late = await asyncio.wait(self._workers, timeout=_DRAIN_SECONDS)
                for task in late:
                    task.cancel()
                if late:
                    await asyncio.wait(late, timeout=0.5)
                inbox.drained.set()
                await asyncio.wait({ended})
        except TimeoutError:
            self._context.log.debug("The stream does not end in time; what it holds comes again")
        finally:
            inbox.drained.set()
            for task in self._workers:
                task.cancel()

    async def _work(self, inbox: Inbox) -> None:
        while (message := await inbox.next()) is not None:
            try:
                is_settled = await self._settle(message, inbox)
            except BaseException:
                message.nack()
                raise
            if not is_settled:
                message.nack()

    async def _settle(self, message: Any, inbox: Inbox) -> bool:
        """Make an event of it and acknowledge, or put it aside; False at the end, when the bus has not taken it."""
        try:
            data = self._parse(message)
        except InvalidEvent as error:
            self._context.failed()
            self._put_aside(message, error)
            return True
        pauses = Endless(0.1, 10)
        while True:
            try:
                await self._context.emit(data, id=message.message_id)
            except (InvalidEvent, TooLarge) as error:  # counted where it was refused
                self._put_aside(message, error)
                return True
            except BusError as error:
                self._outage.note(error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(inbox.closing.wait(), pauses.next())
                if inbox.closing.is_set():
                    return False
            else:
                self._outage.note(None)
                # Known at once but for a subscription with exactly-once delivery.
                message.ack_with_response().add_done_callback(self._on_ack)
                return True

    def _put_aside(self, message: Any, error: EventError | BusError) -> None:
        """It stays with Pub/Sub: a change of the object, or of the bus's limit, may make an event of it yet."""
        attempt = message.delivery_attempt  # only with a dead-letter policy
        if attempt is not None and attempt <= _MOST_ATTEMPTS:
            self._unusable.found(message.message_id, error, "left to the subscription's dead-letter policy")
            message.nack()
            return
        self._unusable.found(message.message_id, error, f"left on the subscription, for {_PARK_SECONDS} s")
        message.modify_ack_deadline(_PARK_SECONDS)
        message.drop()

    def _on_ack(self, future: Any) -> None:
        """In a thread of the SDK's. What was not acknowledged comes again, and is stored once."""
        error = future.exception()
        if error is not None and not self._is_ack_refused:
            self._context.log.warning("An acknowledgement is refused; the message comes again", reason=_words(error))
        self._is_ack_refused = error is not None


def _tell_end(loop: asyncio.AbstractEventLoop, ended: asyncio.Future[BaseException | None], future: Any) -> None:
    """In a thread of the SDK's."""
    error = future.exception()

    def settle() -> None:
        if not ended.done():
            ended.set_result(error)

    with suppress(RuntimeError):
        loop.call_soon_threadsafe(settle)


def _words(error: BaseException) -> str:
    code = getattr(error, "error_code", None)  # of the SDK's AcknowledgeError
    return f"{type(error).__name__}: {getattr(code, 'name', '') or error}"
