"""Messages of a Google Cloud Pub/Sub subscription. Contract: eventsources 3.9.

Ours: what is received and not settled is bounded in count and bytes, messages are held while the bus is away, what can
never become an event is left to Pub/Sub without a hot loop, a key that is rotated is used without a restart, and a
subscription whose name is made up keeps it when the object changes. The message's id is the event's.
"""

from __future__ import annotations

import asyncio
import base64
from contextlib import suppress
from typing import Any

import orjson
from pydantic import Field

from events import rawjson
from events.credentials import SecretRef
from events.errors import ActionError, KeryxError
from events.problems import Problems
from eventsources.base import Source, SourceContext
from eventsources.calendar_times import go_time
from eventsources.fields import Message
from eventsources.pubsub_client import DELETED_TOPIC, Access, Refused, Subscriber, is_passing
from eventsources.pubsub_pull import Pull

KEY = "subscription"
MESSAGES = 1000
MOST_MESSAGES = 10_000
_LOOK_SECONDS = 5.0
"""Between two looks at the secret."""
_PROBE_SECONDS = 30.0
"""Between two questions whether the subscription is still there and ours to read."""
_DELETE_SECONDS = 2.0
_OFFSET, _PRIME, _MASK = 2166136261, 16777619, 0xFFFFFFFF


class PubSubSpec(Message):
    """Messages of a Google Cloud Pub/Sub subscription. Contract: eventsources 3.9."""

    project_id: str = Field("", alias="projectID", description="Project of the subscription; the machine's own.")
    topic_project_id: str = Field("", alias="topicProjectID", description="Project of the topic; projectID.")
    topic: str = Field("", description="Topic to subscribe to.")
    subscription_id: str = Field("", alias="subscriptionID", description="Subscription; made up when absent.")
    credential_secret: SecretRef | None = Field(None, description="Secret with a service account's key (JSON).")
    delete_subscription_on_finish: bool | None = Field(None, description="Delete the subscription at the end.")
    endpoint: str = Field(
        "", description="Not in Argo Events: host and port of a regional or private server of Pub/Sub's API."
    )
    max_outstanding_messages: int | None = Field(
        None,
        description="Not in Argo Events: messages that are received and not yet acknowledged, 1 to 10000; "
        "1000 when absent. In bytes they are 64 MiB at most.",
    )

    def check(self, problems: Problems) -> None:
        """Contract 3.9."""
        if not (self.topic or self.subscription_id):
            problems.error("topic", "topic or subscriptionID is required")
        if self.topic_project_id and not self.topic:
            problems.error("topicProjectID", "means nothing without a topic", "name the topic")
        most = self.max_outstanding_messages
        if most is not None and not 1 <= most <= MOST_MESSAGES:
            cure = f"write 1 to {MOST_MESSAGES}"
            problems.error("maxOutstandingMessages", f"{most} is not a number of messages", cure)
        if "://" in self.endpoint:
            problems.error("endpoint", f"{self.endpoint!r} is a URL", "write host:port")


class PubSubSource(Source[PubSubSpec]):
    """One subscription."""

    Spec, event_type, active_passive = PubSubSpec, "pubsub", True

    def __init__(self, spec: PubSubSpec) -> None:
        super().__init__(spec)
        self._end = b',"metadata":%b}' % rawjson.dumps(spec.metadata) if spec.metadata else b"}"

    @classmethod
    def validate(cls, spec: PubSubSpec, problems: Problems) -> None:
        spec.check(problems)

    async def listen(self, context: SourceContext) -> None:
        while True:  # once per key
            await _Listening(self.spec, context).run(self._data)

    def _data(self, message: Any) -> bytes:
        """The event's data; InvalidEvent for a body that should be JSON, and is not."""
        body: bytes = message.data
        return b'{"id":%b,"body":%b,"attributes":%b,"publishTime":%b%b' % (
            rawjson.dumps(message.message_id),
            rawjson.compact(body) if self.spec.json_body else b'"%b"' % base64.b64encode(body),
            rawjson.dumps(dict(message.attributes) or None),
            rawjson.dumps(go_time(message.publish_time)),
            self._end,
        )


class _Listening:
    """One client and one stream."""

    def __init__(self, spec: PubSubSpec, context: SourceContext) -> None:
        self._spec, self._context = spec, context
        self._client = Subscriber(self._access())
        self._subscription = self._topic = ""
        self._is_away = False

    def _access(self) -> Access:
        secret = self._spec.credential_secret
        return Access(self._context.secrets.value(secret) if secret else "", self._spec.endpoint)

    async def run(self, parse: Any) -> None:
        """Until the key is another one, or cancelled. ActionError for what Pub/Sub says, CredentialError."""
        try:
            await self._client.open()
            await self._find()
            most = self._spec.max_outstanding_messages or MESSAGES
            pull = Pull(self._client, self._subscription, self._context, parse, most)
            self._context.started()
            await pull.run(self._watch)
        except asyncio.CancelledError:
            await self._finish()
            raise
        finally:
            await self._client.close()

    async def _find(self) -> None:
        """Name the subscription, and see to it that it is there: the table of contract 3.9."""
        spec = self._spec
        project = spec.project_id or await self._client.project()
        topic_project = spec.topic_project_id or (project if spec.topic else "")
        name = spec.subscription_id or await self._name(project, topic_project)
        self._subscription = f"projects/{project}/subscriptions/{name}"
        self._topic = f"projects/{topic_project}/topics/{spec.topic}" if spec.topic else ""
        await self._client.authenticate()
        if await self._client.exists(self._subscription):
            await self._check_topic()
        elif self._topic:
            await self._create()
        else:
            raise Refused(f"pubsub: there is no {self._subscription}, and no topic to make one of", "NOT_FOUND")

    async def _create(self) -> None:
        try:
            await self._client.create(self._subscription, self._topic)
        except Refused as error:
            if error.code != "ALREADY_EXISTS":
                raise
            await self._check_topic()  # somebody was faster
        else:
            self._context.log.info("A subscription is created", subscription=self._subscription, topic=self._topic)

    async def _check_topic(self) -> None:
        """ActionError when the subscription is not one of the topic that is wanted."""
        if not self._topic:
            return
        found = await self._client.topic(self._subscription)
        if found == DELETED_TOPIC:
            raise Refused(f"pubsub: the topic of {self._subscription} is deleted", "NOT_FOUND")
        if found != self._topic:
            what = f"pubsub: {self._subscription} belongs to {found}, not to {self._topic}"
            raise Refused(what, "FAILED_PRECONDITION")

    async def _name(self, project: str, topic_project: str) -> str:
        """The name that is made up: the one it had before, while project and topic are the same; else upstream's."""
        state, of = self._context.state, [project, topic_project, self._spec.topic]
        entry = await state.get(KEY)
        with suppress(ValueError, TypeError, KeyError):
            kept = orjson.loads(entry.value) if entry else {}
            if kept["of"] == of and isinstance(kept["name"], str):
                return str(kept["name"])
        name = made_up(self._context.event_name, self._spec, project, topic_project)
        await state.put(KEY, orjson.dumps({"of": of, "name": name}))
        return name

    async def _watch(self) -> None:
        """Returns when the key is another one; ActionError when the subscription is gone or not ours any more."""
        loop = asyncio.get_running_loop()
        probe = loop.time() + _PROBE_SECONDS
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            with suppress(KeryxError):  # a secret that is not there now is no reason to stop
                if self._access() != self._client.access:
                    self._context.log.info("The key is another one; the stream is opened with it")
                    return
            if loop.time() >= probe:
                await self._probe()
                probe = loop.time() + _PROBE_SECONDS

    async def _probe(self) -> None:
        """The stream itself takes some refusals for a bad connection, and is silent about both."""
        try:
            await self._client.authenticate()
            if not await self._client.exists(self._subscription):
                raise Refused(f"pubsub: {self._subscription} is gone", "NOT_FOUND")
            await self._check_topic()
        except ActionError as error:
            if not is_passing(error):
                raise
            if not self._is_away:
                self._context.log.warning("Pub/Sub does not answer; tried until it does", reason=error)
            self._is_away = True
            self._context.trouble(error)
        else:
            if self._is_away:
                self._context.log.info("Pub/Sub answers again")
                self._context.trouble(None)
            self._is_away = False

    async def _finish(self) -> None:
        """At a stop. Not when another replica has taken over: the subscription is the event source's, not ours."""
        if not self._spec.delete_subscription_on_finish or not self._subscription or not self._context.owns():
            return
        try:
            async with asyncio.timeout(_DELETE_SECONDS):
                await self._client.delete(self._subscription)
        except (TimeoutError, KeryxError) as error:
            self._context.log.warning("The subscription is not deleted", subscription=self._subscription, reason=error)
        else:
            self._context.log.info("The subscription is deleted", subscription=self._subscription)


def made_up(event: str, spec: PubSubSpec, project: str, topic_project: str) -> str:
    """Upstream's name for a subscription without one: FNV-1a (32 bits) of the event's name and the spec as JSON."""
    fields: dict[str, Any] = {
        "projectID": project,
        "topicProjectID": topic_project,
        "topic": spec.topic,
        "subscriptionID": "",
    }
    if secret := spec.credential_secret:
        named = {"name": secret.name} if secret.name else {}
        optional = {} if secret.optional is None else {"optional": secret.optional}
        fields["credentialSecret"] = {**named, "key": secret.key, **optional}
    if spec.delete_subscription_on_finish:
        fields["deleteSubscriptionOnFinish"] = True
    if spec.json_body:
        fields["jsonBody"] = True
    if spec.metadata:
        fields["metadata"] = dict(sorted(spec.metadata.items()))
    if spec.filter is not None:
        fields["filter"] = {"expression": spec.filter.expression} if spec.filter.expression else {}
    number = _OFFSET
    for byte in event.encode() + rawjson.escape(orjson.dumps(fields)):
        number = ((number ^ byte) * _PRIME) & _MASK
    return f"{event}-{number}"
