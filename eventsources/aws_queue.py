"""Messages of an SQS queue: taken in batches, kept from others while they are handled, deleted once they are.

While the bus is away the messages stay here and are hidden from others: given back, each attempt would count as a
delivery, and an outage would carry good messages into the dead-letter queue. What is not handled at the end is given
back at once. Contract: eventsources 3.8.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from events import aws
from events.backoff import Endless
from events.errors import ActionError, BusError, InvalidEvent, KeryxError, TooLarge
from eventsources.base import SourceContext
from eventsources.holding import Outage
from eventsources.unusable import Unusable

WAIT_SECONDS = 3
VISIBILITY_SECONDS = 120
_BATCH = 10
_READ_SECONDS = 30.0
"""Longer than the longest poll."""
_CALL_SECONDS = 15.0
_TRIES = 5
"""In a row, of what may succeed a moment later; then it is the source's failure."""
_DRAIN_SECONDS = 5.0
"""At a stop a poll may still bring messages: it is waited for so long."""
_SETTLE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """Which queue, and how it is read."""

    name: str
    account: str = ""
    """Owner of the queue; empty: whoever asks."""
    wait: int = WAIT_SECONDS
    """Seconds of one poll."""
    visibility: int = VISIBILITY_SECONDS
    """Seconds for which a message that was received is hidden from others; prolonged while it is handled."""
    receivers: int = 1
    """Polls at the same time."""
    keeps_unusable: bool = False
    """Whether what can never become an event is left to the queue's dead-letter policy, instead of being deleted."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message."""

    id: str
    body: str
    receipt: str
    """What deletes it: another one at each delivery."""
    attributes: dict[str, dict[str, Any]]
    group: str = ""
    """Messages of one group come in their order; FIFO queues only."""


Handle = Callable[[Message], Awaitable[None]]
"""Makes events of a message. Raises InvalidEvent when it can never become one, and whatever `emit` raises."""


class Queue:
    """The calls of SQS for one queue."""

    def __init__(self, settings: QueueSettings, access: Callable[[], aws.Access]) -> None:
        """`access` is asked before every call, so that keys may be rotated."""
        self._settings, self._access = settings, access
        self._clients = aws.Latest(_READ_SECONDS)
        self._url = ""

    async def find(self) -> None:
        """Look up its URL; ActionError when it is not there."""
        wanted = {"QueueName": self._settings.name}
        if self._settings.account:
            wanted["QueueOwnerAWSAccountId"] = self._settings.account
        answer = await self._run(lambda client: client.get_queue_url(**wanted))
        self._url = answer["QueueUrl"]

    async def receive(self) -> list[Message]:
        """The next messages, after `wait` seconds none. Cancelled, it gives back what the poll still brings."""
        poll = _Poll(self._settings, self._url)
        task = asyncio.ensure_future(self._run(poll, seconds=self._settings.wait + _CALL_SECONDS))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task}, timeout=_DRAIN_SECONDS)
            if task.done() and not task.cancelled() and task.exception() is None:
                await self._try_to_give_back(task.result())
            raise
        finally:
            poll.is_abandoned = True
            task.cancel()

    async def _try_to_give_back(self, messages: Sequence[Message]) -> None:
        """What cannot be given back comes back by itself, later."""
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                await self.hide(messages, 0)
        except (TimeoutError, KeryxError):
            return

    async def delete(self, messages: Sequence[Message]) -> list[Message]:
        """Delete up to ten; those that were not, and may be a moment later."""
        failed = await self._for_each("delete_message_batch", messages)
        # What is the sender's fault is a receipt that is over: the message is gone, or comes again by itself.
        return [message for message, is_senders in failed if not is_senders]

    async def hide(self, messages: Sequence[Message], seconds: int) -> list[Message]:
        """Keep up to ten from others for so long from now; those with which that went wrong."""
        failed = await self._for_each("change_message_visibility_batch", messages, VisibilityTimeout=seconds)
        return [message for message, _ in failed]

    async def _for_each(self, call: str, messages: Sequence[Message], **more: Any) -> list[tuple[Message, bool]]:
        """Those that failed, and whether that is the sender's fault."""
        if not messages:
            return []
        entries = _entries(messages, **more)
        answer = await self._run(lambda client: getattr(client, call)(QueueUrl=self._url, Entries=entries))
        return [(messages[int(one["Id"])], bool(one.get("SenderFault"))) for one in answer.get("Failed", ())]

    async def _run(self, act: Callable[[Any], Any], seconds: float | None = None) -> Any:
        return await self._clients.of(self._access()).run(act, seconds=seconds or _CALL_SECONDS)


class _Poll:
    """One poll, in its thread."""

    def __init__(self, settings: QueueSettings, url: str) -> None:
        self._url = url
        self._wanted = {
            "QueueUrl": url,
            "MaxNumberOfMessages": _BATCH,
            "WaitTimeSeconds": settings.wait,
            "VisibilityTimeout": settings.visibility,
            "AttributeNames": ["MessageGroupId"],  # the newer name is not known to every server
            "MessageAttributeNames": ["All"],
        }
        self.is_abandoned = False
        """Nobody waits for it any longer."""

    def __call__(self, client: Any) -> list[Message]:
        found = [_message(one) for one in client.receive_message(**self._wanted).get("Messages", ())]
        if self.is_abandoned and found:
            entries = _entries(found, VisibilityTimeout=0)
            client.change_message_visibility_batch(QueueUrl=self._url, Entries=entries)
        return found


def _message(raw: dict[str, Any]) -> Message:
    return Message(
        raw.get("MessageId", ""),
        raw.get("Body", ""),
        raw.get("ReceiptHandle", ""),
        raw.get("MessageAttributes") or {},
        raw.get("Attributes", {}).get("MessageGroupId", ""),
    )


def _entries(messages: Iterable[Message], **more: Any) -> list[dict[str, Any]]:
    return [{"Id": str(number), "ReceiptHandle": message.receipt, **more} for number, message in enumerate(messages)]


@dataclass(slots=True)
class _Batch:
    """Messages that were received together, and what became of them."""

    until: float
    """Monotonic time until which they are hidden from others."""
    margin: float
    waiting: dict[str, Message] = field(default_factory=dict)
    """By receipt: not handled yet."""
    done: list[Message] = field(default_factory=list)
    """Handled, and not deleted yet."""

    def has(self, message: Message) -> bool:
        """Whether it may be handled: it waits, and nobody else can have it."""
        return message.receipt in self.waiting and time.monotonic() < self.until - self.margin

    def finish(self, message: Message) -> None:
        """It has been handled."""
        if self.waiting.pop(message.receipt, None) is not None:
            self.done.append(message)

    def leave(self, messages: Iterable[Message]) -> None:
        """They come again by themselves, as another delivery."""
        for message in messages:
            self.waiting.pop(message.receipt, None)


class QueueReader:
    """Reads a queue until it is cancelled, or something outside cannot be mended by waiting a little."""

    def __init__(
        self, settings: QueueSettings, access: Callable[[], aws.Access], context: SourceContext, handle: Handle
    ) -> None:
        self._settings, self._context, self._handle = settings, context, handle
        self._queue = Queue(settings, access)
        self._is_fifo = settings.name.endswith(".fifo")
        self._unusable = Unusable(context.log)
        self._outage = Outage(context.log, "messages")

    async def run(self) -> None:
        """ActionError for what the queue or its service says, CredentialError for a missing secret."""
        await self._queue.find()
        self._context.started()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._settings.receivers):
                tasks.create_task(self._receive())

    async def _receive(self) -> None:
        pauses = Endless(0.2, 5)
        while True:
            try:
                messages = await self._queue.receive()
            except ActionError as error:
                if not aws.is_passing(error) or pauses.count >= _TRIES:
                    raise
                await asyncio.sleep(pauses.next())
                continue
            pauses.reset()
            usable = [message for message in messages if message.id and message.receipt]
            for _ in range(len(messages) - len(usable)):
                self._context.failed()
                self._unusable.found("", InvalidEvent("it has no id or no receipt"), "left on the queue")
            if usable:
                await self._work(usable)

    async def _work(self, messages: list[Message]) -> None:
        """Handle and delete them, or give them back."""
        seconds = self._settings.visibility
        batch = _Batch(time.monotonic() + seconds, seconds / 6, {message.receipt: message for message in messages})
        try:
            async with asyncio.TaskGroup() as tasks:
                keeper = tasks.create_task(self._keep(batch))
                await asyncio.wait(
                    [tasks.create_task(self._in_order(group, batch)) for group in self._groups(messages)]
                )
                keeper.cancel()
            await self._delete(batch)
        except BaseException:
            await self._settle(batch)
            raise

    def _groups(self, messages: Iterable[Message]) -> Iterable[list[Message]]:
        """What must be handled in its order; a standard queue has none."""
        if not self._is_fifo:
            return ([message] for message in messages)
        groups: dict[str, list[Message]] = {}
        for message in messages:
            groups.setdefault(message.group, []).append(message)
        return groups.values()

    async def _in_order(self, messages: list[Message], batch: _Batch) -> None:
        """Handle what is one group. One that stays on the queue holds up those behind it, as the queue itself does."""
        for message in messages:
            if not await self._is_done(message, batch):
                batch.leave(messages)
                return
            batch.finish(message)

    async def _is_done(self, message: Message, batch: _Batch) -> bool:
        """Whether the message may be deleted; waits while the bus is away."""
        pauses = Endless(0.1, 10)
        while batch.has(message):
            try:
                await self._handle(message)
            except InvalidEvent as error:
                self._context.failed()
                fate = "left to the queue's dead-letter policy" if self._settings.keeps_unusable else "deleted"
                self._unusable.found(message.id, error, fate)
                return not self._settings.keeps_unusable
            except TooLarge as error:  # a larger limit of the bus would make an event of it, so it is not deleted
                self._unusable.found(message.id, error, "left on the queue")
                return False
            except BusError as error:
                self._outage.note(error)
                await asyncio.sleep(pauses.next())
            else:
                self._outage.note(None)
                return True
        return False

    async def _keep(self, batch: _Batch) -> None:
        """While some of the batch wait: keep them from others, and delete those that have been handled."""
        seconds = self._settings.visibility
        pauses, pause = Endless(0.2, seconds / 3), seconds / 3
        while True:
            await asyncio.sleep(pause)
            began, waiting = time.monotonic(), list(batch.waiting.values())
            try:
                lost = await self._queue.hide(waiting, seconds)
                batch.until = began + seconds
                batch.leave(lost)
                await self._delete(batch)
                pause = seconds / 3
                pauses.reset()
            except KeryxError as error:
                # Said by the next poll or delete; what is not kept is not handled any more, and comes again.
                self._context.log.debug("Messages cannot be kept from others", reason=error)
                pause = pauses.next()

    async def _delete(self, batch: _Batch) -> None:
        """Delete what has been handled. What is not deleted in the end comes again, and is stored once."""
        pauses = Endless(0.2, 2)
        while batch.done:
            chosen = batch.done[:_BATCH]
            try:
                left = await self._queue.delete(chosen)
            except ActionError as error:
                if not aws.is_passing(error) or pauses.count >= _TRIES:
                    raise
                left = chosen
            gone = {message.receipt for message in chosen} - {message.receipt for message in left}
            batch.done = [message for message in batch.done if message.receipt not in gone]
            if left:
                if pauses.count >= _TRIES:
                    raise ActionError(f"sqs: messages of {self._settings.name} are not deleted")
                await asyncio.sleep(pauses.next())

    async def _settle(self, batch: _Batch) -> None:
        """At the end: delete what has been handled, give back the rest, so that nobody waits for it."""
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                await self._queue.delete(batch.done)
                await self._queue.hide(list(batch.waiting.values()), 0)
        except (TimeoutError, KeryxError) as error:
            self._context.log.debug("Messages are not given back; they come again later", reason=error)
