"""Messages of an AWS SQS queue. Contract: eventsources 3.8.

Ours: several receivers, messages hidden for as long as they wait for the bus, order kept within the groups of a FIFO
queue, keys and tokens read anew before every call, and the queue's id of a message as the id of its event.
"""

from __future__ import annotations

import base64
from functools import partial
from typing import Any

from pydantic import Field

from events import rawjson
from events.credentials import SecretRef
from events.problems import Problems
from eventsources.aws_fields import AwsFields
from eventsources.aws_queue import VISIBILITY_SECONDS, WAIT_SECONDS, Message, QueueReader, QueueSettings
from eventsources.base import Source, SourceContext
from eventsources.fields import Message as MessageFields
from eventsources.fields import require

MOST_RECEIVERS = 32
_LONGEST_WAIT = 20
_LONGEST_VISIBILITY = 43200


class SqsSpec(AwsFields, MessageFields):
    """Messages of an AWS SQS queue. Contract: eventsources 3.8."""

    queue: str = Field("", description="Name of the queue.")
    queue_account_id: str | None = Field(None, description="Account that owns the queue.")
    wait_time_seconds: int | None = Field(None, description="Seconds that a request waits for messages, 1 to 20; 3.")
    session_token: SecretRef | None = Field(None, description="Secret with the session token of temporary keys.")
    dlq: bool | None = Field(None, description="Leave what cannot be parsed to the queue's dead-letter policy.")
    receivers: int | None = Field(
        None,
        description="Not in Argo Events: how many requests wait for messages at the same time, 1 to 32; 1 when absent.",
    )
    visibility_timeout_seconds: int | None = Field(
        None,
        description="Not in Argo Events: a message of a process that died is received again after so many seconds; "
        "120 when absent. A message that waits for the bus stays hidden however long it takes.",
    )

    @property
    def settings(self) -> QueueSettings:
        """What the queue is read with."""
        return QueueSettings(
            self.queue,
            self.queue_account_id or "",
            self.wait_time_seconds or WAIT_SECONDS,
            self.visibility_timeout_seconds or VISIBILITY_SECONDS,
            self.receivers or 1,
            keeps_unusable=bool(self.dlq),
        )

    def check(self, problems: Problems) -> None:
        """Contract 3.8; what is a warning is refused by AWS, not by upstream."""
        self.check_access(problems)
        require(problems, queue=self.queue)
        if self.queue.startswith(("http://", "https://", "arn:")):
            problems.warn("queue", f"{self.queue!r} is no name: the source never starts", "write the part at its end")
        if self.wait_time_seconds is not None and not 0 <= self.wait_time_seconds <= _LONGEST_WAIT:
            what = f"{self.wait_time_seconds} is refused by AWS: nothing is ever received"
            problems.warn("waitTimeSeconds", what, f"a number of seconds from 1 to {_LONGEST_WAIT}")
        if self.session_token is not None and self.access_key is None:
            problems.warn("sessionToken", "has no effect without keys", "set accessKey and secretKey, too")
        if self.receivers is not None and not 1 <= self.receivers <= MOST_RECEIVERS:
            problems.error("receivers", f"{self.receivers} is not a number of requests", f"write 1 to {MOST_RECEIVERS}")
        hidden = self.visibility_timeout_seconds
        if hidden is not None and not 1 <= hidden <= _LONGEST_VISIBILITY:
            cure = f"write 1 to {_LONGEST_VISIBILITY}; 30 or more, so that a slow network does no harm"
            problems.error("visibilityTimeoutSeconds", f"{hidden} is not a number of seconds", cure)


class SqsSource(Source[SqsSpec]):
    """One queue."""

    Spec, event_type, active_passive = SqsSpec, "sqs", False

    def __init__(self, spec: SqsSpec) -> None:
        super().__init__(spec)
        self._end = b',"metadata":%b}' % rawjson.dumps(spec.metadata) if spec.metadata else b"}"

    @classmethod
    def validate(cls, spec: SqsSpec, problems: Problems) -> None:
        spec.check(problems)

    async def listen(self, context: SourceContext) -> None:
        access = partial(self.spec.access, "sqs", context.secrets, self.spec.session_token)

        async def handle(message: Message) -> None:
            await context.emit(self._data(message), id=message.id)

        await QueueReader(self.spec.settings, access, context, handle).run()

    def _data(self, message: Message) -> bytes:
        """The event's data; InvalidEvent for a body that should be JSON, and is not."""
        body = message.body.encode("utf-8", "replace")
        return b'{"messageId":%b,"messageAttributes":%b,"body":%b%b' % (
            rawjson.dumps(message.id),
            rawjson.dumps({name: _attribute(value) for name, value in message.attributes.items()} or None),
            rawjson.compact(body) if self.spec.json_body else b'"%b"' % base64.b64encode(body),
            self._end,
        )


def _attribute(value: dict[str, Any]) -> dict[str, Any]:
    """An attribute as upstream's SDK writes it: every key, null where there is nothing."""
    binary = value.get("BinaryValue")
    return {
        "BinaryListValues": None,
        "BinaryValue": None if binary is None else base64.b64encode(binary).decode(),
        "DataType": value.get("DataType"),
        "StringListValues": None,
        "StringValue": value.get("StringValue"),
    }
