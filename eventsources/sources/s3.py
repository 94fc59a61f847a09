"""Objects of buckets of any S3, as they come, change and go. Not in Argo Events.

`mode: sqs` reads the buckets' notifications from a queue: nothing is lost, whoever is down. `mode: poll` lists the
buckets and compares with what was published. `mode: listen` is MinIO's stream of notifications. Event data: S3's
record under `notification`, as `minio` has it, and under `object` what most people want of it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import Field

from events import aws, rawjson
from events.backoff import Endless
from events.credentials import Credentials, SecretRef
from events.errors import ActionError, InvalidEvent, KeryxError, UserError
from events.problems import Problems, did_you_mean
from eventsources import s3_records
from eventsources.aws_fields import AwsFields
from eventsources.aws_queue import Message, QueueReader
from eventsources.base import Source, SourceContext
from eventsources.fields import require
from eventsources.holding import Holding
from eventsources.s3_catch_up import CatchUp, Heard
from eventsources.s3_details import Details
from eventsources.s3_fields import (
    Chosen,
    DetailFields,
    ListenFields,
    NotificationFields,
    ObjectFilter,
    PollFields,
    QueueFields,
)
from eventsources.s3_list import Lister
from eventsources.s3_listen import Lanes, Raw, Selection, Stream, trusting
from eventsources.s3_notification import Entry, Notification
from eventsources.s3_poll import Poller
from eventsources.s3_records import Events, Record

MODES = ("sqs", "poll", "listen")
EVENTS = ("s3:ObjectCreated:*",)
_CHECK_SECONDS = 300.0
_REMOVE_SECONDS = 5.0


class S3Spec(AwsFields):
    """Where objects are looked for, and how."""

    mode: str = Field("", description="sqs, poll or listen.")
    buckets: list[str] | None = Field(
        None, description="Names of the buckets; with mode sqs all that the queue tells of when absent."
    )
    events: list[str] | None = Field(None, description="Kinds of event; s3:ObjectCreated:* when absent.")
    filter: ObjectFilter | None = Field(None, description="Which objects.")
    queue: QueueFields | None = Field(None, description="The queue; mode sqs only.")
    notification: NotificationFields | None = Field(None, description="The buckets' entry for it; mode sqs only.")
    poll: PollFields | None = Field(None, description="How often; mode poll only.")
    listen: ListenFields | None = Field(None, description="The stream; mode listen only.")
    object: DetailFields | None = Field(None, description="What is asked of each object and added to its event.")
    session_token: SecretRef | None = Field(None, description="Secret with the session token of temporary keys.")
    ca_certificate: SecretRef | None = Field(
        None, description="CA certificates (PEM) to trust, of the buckets' server."
    )
    metadata: dict[str, str] | None = Field(None, description="Copied into every event's data.")

    def check(self, problems: Problems) -> None:
        """What cannot work."""
        self.check_access(problems)
        if self.mode not in MODES:
            cure = did_you_mean(self.mode, MODES) or f"one of {', '.join(MODES)}"
            problems.error("mode", f"{self.mode!r} is none" if self.mode else "required", cure)
        s3_records.check_events(self.events or (), problems)
        for field in ("filter", "poll", "object"):
            if (part := getattr(self, field)) is not None:
                part.check(problems.at(field))
        for field, mode in (("queue", "sqs"), ("notification", "sqs"), ("poll", "poll"), ("listen", "listen")):
            if self.mode in MODES and getattr(self, field) is not None and self.mode != mode:
                problems.warn(field, f"has no effect with mode: {self.mode}", "remove it")
        for index, bucket in enumerate(self.buckets or ()):
            if not bucket or "/" in bucket:
                problems.error(f"buckets[{index}]", f"{bucket!r} is no name of a bucket", "write the name alone")
        self._check_mode(problems)

    def _check_mode(self, problems: Problems) -> None:
        if self.mode == "sqs":
            require(problems, queue=self.queue)
            if self.queue is not None:
                self.queue.check(problems.at("queue"))
            if self.notification is not None and self.notification.create and not self.buckets:
                problems.error("buckets", "required for notification.create", "name the buckets")
        elif self.mode in MODES:
            require(problems, buckets=self.buckets or None)
        if self.mode == "listen":
            require(problems, endpoint=self.endpoint)
            if self.buckets is not None and len(self.buckets) > 1:
                problems.error("buckets", "a stream is of one bucket", "make an event of each bucket")
        if self.mode == "poll" and not any(Events(self.wanted).has(one) for one in s3_records.SEEN):
            cure = f"one of {', '.join(s3_records.SEEN)}"
            problems.error("events", "a list shows none of them", cure)

    @property
    def wanted(self) -> tuple[str, ...]:
        """Names of the events."""
        return tuple(s3_records.named(event) for event in self.events or EVENTS)

    def s3(self, secrets: Credentials) -> aws.Access:
        """The access to the buckets as the secrets are now; CredentialError when one cannot be read."""
        found = self.access("s3", secrets, self.session_token)
        return found if self.ca_certificate is None else replace(found, roots=str(secrets.path(self.ca_certificate)))


class S3Source(Source[S3Spec]):
    """One event: what happens to the objects of some buckets."""

    Spec, event_type, active_passive = S3Spec, "s3", True

    def __init__(self, spec: S3Spec) -> None:
        super().__init__(spec)
        self._poller: Poller | None = None

    @classmethod
    def validate(cls, spec: S3Spec, problems: Problems) -> None:
        spec.check(problems)

    async def listen(self, context: SourceContext) -> None:
        spec, secrets = self.spec, context.secrets
        self._chosen = Chosen(spec.buckets or (), Events(spec.wanted), spec.filter)
        self._details = Details(spec.object, partial(spec.s3, secrets), context.log)
        match spec.mode:
            case "sqs":
                await self._read_queue(context)
            case "poll":
                await self._poll(context)
            case "listen":
                await self._hear(context)
            case _:
                raise UserError(f"{spec.mode!r} is none", path="mode", cure=f"one of {', '.join(MODES)}")

    async def _poll(self, context: SourceContext) -> None:
        holding = Holding(context)
        if self._poller is None:
            fields, prefix = self.spec.poll or PollFields.parse({}), self.spec.filter.prefix if self.spec.filter else ""
            self._poller = Poller(self.spec.buckets or (), prefix, fields.seconds, existing=bool(fields.existing))

        async def publish(record: Record, id: str) -> None:
            if self._chosen.has(record):
                await holding.emit(await self.data(record), id)

        lister = Lister(partial(self.spec.s3, context.secrets))
        await self._poller.run(lister, context, publish, self.spec.region)

    async def data(self, record: Record) -> bytes:
        """The event's data; ActionError when S3 does not say what is to be in it."""
        described = record.described() | await self._details.of(record)
        data: dict[str, Any] = {"notification": [record.raw], "object": described}
        return rawjson.dumps(data | {"metadata": self.spec.metadata} if self.spec.metadata else data)

    # ---- mode: listen

    async def _hear(self, context: SourceContext) -> None:
        spec, secrets, chosen, holding = self.spec, context.secrets, self._chosen, Holding(context)
        fields, prefix = spec.listen or ListenFields.parse({}), spec.filter.prefix if spec.filter else ""
        bucket, heard = chosen.buckets[0], Heard(context.state, chosen.buckets[0])

        async def publish(record: Record, id: str) -> None:
            if chosen.has(record):
                await holding.emit(await self.data(record), id)

        async def tell(told: tuple[Record, str]) -> None:
            record, mark = told
            pauses = Endless(1, 30)
            while True:
                try:
                    await publish(record, record.id)
                    break
                except ActionError as error:  # S3 does not say what is to be in the event; nobody would tell it again
                    if not pauses.count:
                        context.log.warning("An event waits for what S3 is to say of its object", reason=error)
                    await asyncio.sleep(pauses.next())
            heard.has(mark)

        async def take(records: list[Raw]) -> None:
            for raw in records:
                try:
                    record = s3_records.record(raw)
                except InvalidEvent as error:
                    stream.unusable(error)
                    continue
                await lanes.put(record.key, (record, heard.told(record)))
            if fields.catch_up:
                await heard.alive()

        access = partial(spec.s3, secrets)
        catch_up = CatchUp(heard, Lister(access), publish, spec.region, context.log)
        selection = Selection(bucket, spec.wanted, prefix, spec.filter.suffix if spec.filter else "")
        stream = Stream(selection, access, context, tls=self._tls(context), on_connected=catch_up.connected)
        lanes = Lanes(tell)
        async with lanes.running(), asyncio.TaskGroup() as tasks:
            if fields.catch_up:
                await catch_up.begin(bucket, prefix)
                tasks.create_task(catch_up.run(bucket, prefix))
            await stream.run(take)

    def _tls(self, context: SourceContext) -> Callable[[], ssl.SSLContext] | None:
        """Whom to trust; None: there is no TLS."""
        if not (self.spec.endpoint or "").startswith("https://"):
            return None
        ref = self.spec.ca_certificate
        return lambda: trusting(context.secrets.path(ref) if ref is not None else None)

    # ---- mode: sqs

    async def _read_queue(self, context: SourceContext) -> None:
        spec = self.spec
        if spec.queue is None:
            raise UserError("required", path="queue", cure="name the queue of the buckets' notifications")
        queue, chosen = spec.queue, self._chosen

        def access() -> aws.Access:
            found = spec.access("sqs", context.secrets, spec.session_token)
            return replace(found, endpoint=queue.endpoint) if queue.endpoint else found

        async def handle(message: Message) -> None:
            records, wrong = s3_records.notifications(message.body)
            for record in records:
                if chosen.has(record):
                    await context.emit(await self.data(record), id=record.id)
            if wrong is not None:
                raise wrong

        reader = QueueReader(queue.settings, access, context, handle)
        if spec.notification is None or not (spec.notification.create or spec.notification.delete_on_finish):
            await reader.run()
            return
        chosen_keys = spec.filter or ObjectFilter.parse({})
        entry = Entry(
            f"keryx-{context.source_name}-{context.event_name}", spec.wanted, chosen_keys.prefix, chosen_keys.suffix
        )
        notification = Notification(
            spec.buckets or (), entry, queue.settings, partial(spec.s3, context.secrets), access
        )
        await self._read_and_keep(reader, notification, context)

    async def _read_and_keep(self, reader: QueueReader, notification: Notification, context: SourceContext) -> None:
        """Read the queue, and see that the buckets go on sending to it."""
        fields = self.spec.notification or NotificationFields.parse({})

        async def keep() -> None:
            while True:
                await asyncio.sleep(_CHECK_SECONDS)
                if count := await notification.ensure():
                    context.log.warning("The notification configuration had been changed; it is mended", buckets=count)

        try:
            if fields.create and (count := await notification.ensure()):
                context.log.info("The buckets send their notifications to the queue", buckets=count)
            async with asyncio.TaskGroup() as tasks:
                if fields.create:
                    tasks.create_task(keep())
                await reader.run()
        finally:
            if fields.delete_on_finish:
                with suppress(TimeoutError, KeryxError):
                    async with asyncio.timeout(_REMOVE_SECONDS):
                        await notification.remove()
