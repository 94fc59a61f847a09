"""Our entry in the notification configurations of buckets: made, mended and removed, beside those of others.

S3 knows the whole configuration only, so a write may undo one that somebody else made at the same moment: ours is read
back, and written again. That S3 may send to the queue is the queue's policy, and its owner's to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from events import aws
from events.backoff import Endless
from events.errors import ActionError
from eventsources.aws_queue import QueueSettings

_SECONDS = 15.0
_TRIES = 4
_QUEUES = "QueueConfigurations"


@dataclass(frozen=True, slots=True)
class Entry:
    """What buckets are to send to the queue."""

    id: str
    events: Sequence[str]
    prefix: str = ""
    suffix: str = ""

    def document(self, queue: str) -> dict[str, Any]:
        """As S3 has it; `queue` is the queue's ARN."""
        found: dict[str, Any] = {"Id": self.id, "QueueArn": queue, "Events": sorted(self.events)}
        rules = [{"Name": name, "Value": value} for name, value in (("prefix", self.prefix), ("suffix", self.suffix))]
        if chosen := [rule for rule in rules if rule["Value"]]:
            found["Filter"] = {"Key": {"FilterRules": chosen}}
        return found


class Notification:
    """The entry, in some buckets."""

    def __init__(
        self,
        buckets: Sequence[str],
        entry: Entry,
        settings: QueueSettings,
        access: Callable[[], aws.Access],
        queue_access: Callable[[], aws.Access],
    ) -> None:
        self._buckets, self._entry, self._settings = buckets, entry, settings
        self._access, self._queue_access = access, queue_access
        self._buckets_client, self._queue_client = aws.Latest(_SECONDS), aws.Latest(_SECONDS)

    async def ensure(self) -> int:
        """Add or mend it where it is not as it should be; in how many buckets. ActionError for what S3 says."""
        wanted = self._entry.document(await self._queue())
        return sum([await self._write(bucket, wanted) for bucket in self._buckets])

    async def remove(self) -> None:
        """Remove it; others' entries stay. ActionError for what S3 says."""
        for bucket in self._buckets:
            await self._write(bucket, None)

    async def _queue(self) -> str:
        """The queue's ARN."""
        wanted = {"QueueName": self._settings.name}
        if self._settings.account:
            wanted["QueueOwnerAWSAccountId"] = self._settings.account

        def ask(client: Any) -> str:
            url = client.get_queue_url(**wanted)["QueueUrl"]
            found = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
            return str(found["Attributes"]["QueueArn"])

        return await self._queue_client.of(self._queue_access()).run(ask, seconds=_SECONDS)

    async def _write(self, bucket: str, wanted: dict[str, Any] | None) -> bool:
        """Whether anything had to be written."""
        pauses = Endless(0.2, 2)
        while True:
            now = await self._read(bucket)
            ours = [one for one in now.get(_QUEUES, ()) if one.get("Id") == self._entry.id]
            if (wanted is None and not ours) or (len(ours) == 1 and wanted is not None and _same(ours[0], wanted)):
                return pauses.count > 0
            if pauses.count >= _TRIES:
                raise ActionError(f"s3: somebody else goes on writing the notification configuration of {bucket}")
            others = [one for one in now.get(_QUEUES, ()) if one.get("Id") != self._entry.id]
            now[_QUEUES] = others + ([wanted] if wanted is not None else [])
            if not now[_QUEUES]:
                del now[_QUEUES]
            await self._put(bucket, now)
            await asyncio.sleep(pauses.next())

    async def _read(self, bucket: str) -> dict[str, Any]:
        client = self._buckets_client.of(self._access())
        found = await client.run(lambda one: one.get_bucket_notification_configuration(Bucket=bucket), seconds=_SECONDS)
        return {name: value for name, value in found.items() if name != "ResponseMetadata"}

    async def _put(self, bucket: str, document: dict[str, Any]) -> None:
        given = {"Bucket": bucket, "NotificationConfiguration": document}
        client = self._buckets_client.of(self._access())
        await client.run(lambda one: one.put_bucket_notification_configuration(**given), seconds=_SECONDS)


def _same(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return _shape(found) == _shape(wanted)


def _shape(document: dict[str, Any]) -> tuple[Any, ...]:
    rules = document.get("Filter", {}).get("Key", {}).get("FilterRules", ())
    chosen = sorted((rule["Name"].lower(), rule["Value"]) for rule in rules if rule.get("Value"))
    return document["QueueArn"], sorted(document.get("Events", ())), chosen
