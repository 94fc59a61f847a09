"""Fields of the `s3` source, which is ours: where objects are, which of them are wanted, what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from pydantic import Field

from events import durations, regexes
from events.errors import UserError
from events.model import Model
from events.problems import Problems
from eventsources.aws_queue import VISIBILITY_SECONDS, WAIT_SECONDS, QueueSettings
from eventsources.base import EventSourceFilter
from eventsources.fields import require
from eventsources.s3_records import Events, Record

MOST_CONTENT = 256 << 10
_CONTENT = 4096
_LONGEST_WAIT, _MOST_RECEIVERS, _LONGEST_VISIBILITY = 20, 32, 43200
_INTERVAL = "1m"


class ObjectFilter(EventSourceFilter):
    """Which objects; all that is given must hold. Keys are compared decoded."""

    needs_expression: ClassVar[bool] = False

    prefix: str = Field("", description="Beginning of the key; the server looks at it, where it can.")
    suffix: str = Field("", description="End of the key.")
    regex: str = Field("", description="RE2 expression that the key has a match of.")

    def check(self, problems: Problems) -> None:
        """Paths are relative to this object."""
        try:
            regexes.compile(self.regex)
        except ValueError as error:
            problems.error("regex", str(error), "an RE2 expression")

    def keys(self) -> Callable[[str], bool]:
        """Whether a key passes; UserError for an expression that is none."""
        try:
            search = regexes.compile(self.regex).search if self.regex else None
        except ValueError as error:
            raise UserError(str(error), path="filter.regex", cure="an RE2 expression") from error
        prefix, suffix = self.prefix, self.suffix

        def passes(key: str) -> bool:
            return (
                key.startswith(prefix)
                and key.endswith(suffix)
                and (search is None or search(key.encode("utf-8", "replace")) is not None)
            )

        return passes


class Chosen:
    """Which records are wanted."""

    def __init__(self, buckets: Sequence[str], events: Events, chosen: ObjectFilter | None) -> None:
        self.buckets, self.events = tuple(buckets), events
        self.passes = chosen.keys() if chosen is not None else lambda _key: True

    def has(self, record: Record) -> bool:
        """Whether this one is."""
        is_ours = not self.buckets or record.bucket in self.buckets
        return is_ours and self.events.has(record.event) and self.passes(record.key)


class QueueFields(Model):
    """The queue that a bucket's notifications go to: straight, through SNS, or through EventBridge."""

    name: str = Field("", description="Name of the queue.")
    account_id: str | None = Field(None, description="Account that owns the queue.")
    endpoint: str | None = Field(None, description="URL of SQS, when it is neither AWS's own nor that of the buckets.")
    wait_time_seconds: int | None = Field(None, description="Seconds that a request waits for messages, 1 to 20; 3.")
    receivers: int | None = Field(None, description="How many requests wait at the same time, 1 to 32; 1 when absent.")
    visibility_timeout_seconds: int | None = Field(
        None, description="A message of a process that died is received again after so many seconds; 120 when absent."
    )
    dlq: bool | None = Field(
        None, description="Leave what is no notification to the queue's dead-letter policy; false: delete it."
    )

    @property
    def settings(self) -> QueueSettings:
        """What the queue is read with."""
        return QueueSettings(
            self.name,
            self.account_id or "",
            self.wait_time_seconds or WAIT_SECONDS,
            self.visibility_timeout_seconds or VISIBILITY_SECONDS,
            self.receivers or 1,
            keeps_unusable=self.dlq is not False,
        )

    def check(self, problems: Problems) -> None:
        """Paths are relative to this object."""
        require(problems, name=self.name)
        limits = (
            ("waitTimeSeconds", self.wait_time_seconds, _LONGEST_WAIT),
            ("receivers", self.receivers, _MOST_RECEIVERS),
            ("visibilityTimeoutSeconds", self.visibility_timeout_seconds, _LONGEST_VISIBILITY),
        )
        for field, value, most in limits:
            if value is not None and not 1 <= value <= most:
                problems.error(field, f"{value} is not between 1 and {most}", f"write 1 to {most}")


class NotificationFields(Model):
    """The entry in a bucket's notification configuration that sends its events to the queue."""

    create: bool | None = Field(None, description="Add it, or mend it, when the source starts; others' entries stay.")
    delete_on_finish: bool | None = Field(
        None, description="Remove it when the source ends: what happens while none runs is lost then."
    )


class PollFields(Model):
    """Looking at buckets again and again."""

    interval: str = Field("", description="Time from one look to the next, such as 30s; 1m when absent.")
    existing: bool | None = Field(None, description="Publish what is there before the first look, too.")

    @property
    def seconds(self) -> float:
        """Seconds from one look to the next; UserError."""
        seconds = durations.delta(self.interval or _INTERVAL).total_seconds()
        if seconds < 1:
            raise UserError(f"interval {self.interval!r} is shorter than a second", cure="use 1s or more")
        return seconds

    def check(self, problems: Problems) -> None:
        """Paths are relative to this object."""
        try:
            assert self.seconds
        except UserError as error:
            problems.error("interval", error.message, error.cure)


class ListenFields(Model):
    """MinIO's stream of notifications."""

    catch_up: bool | None = Field(
        None, description="Whenever the stream is there again, list the bucket for what was stored meanwhile."
    )


class ContentFields(Model):
    """The beginning of an object's content."""

    max_bytes: int = Field(_CONTENT, description=f"How much of it; 4096 when absent, {MOST_CONTENT} at most.")
    types: list[str] | None = Field(
        None, description="Content types to take it of, such as text/* or application/json; any when absent."
    )


class DetailFields(Model):
    """What is asked of each object and added to its event; each costs a request or two."""

    metadata: bool | None = Field(None, description="Content type, user metadata and when it was stored.")
    tags: bool | None = Field(None, description="Its tags.")
    content: ContentFields | None = Field(None, description="The beginning of its content.")

    @property
    def is_wanted(self) -> bool:
        """Whether anything is to be asked."""
        return bool(self.metadata or self.tags or self.content)

    def check(self, problems: Problems) -> None:
        """Paths are relative to this object."""
        if self.content is not None and not 1 <= self.content.max_bytes <= MOST_CONTENT:
            cure = f"write 1 to {MOST_CONTENT}: an event must fit into a message of the bus"
            problems.error("content.maxBytes", f"{self.content.max_bytes} is too much or too little", cure)
