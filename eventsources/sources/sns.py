"""Notifications of an AWS SNS topic, by HTTP. Contract: eventsources 3.7.

Departures, each against a lost or forged message: signatures are verified as AWS documents it, a message of another
topic is refused, the subscription outlives the process unless the object says otherwise, and is looked after while it
runs. SNS tries again after a 5xx only, so what may pass is never a 4xx.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, suppress
from typing import Any

from pydantic import Field

from events import aws, rawjson
from events.backoff import Endless
from events.errors import ActionError, CredentialError, InvalidEvent, KeryxError, UserError
from events.problems import Problems
from eventsources import sns_messages
from eventsources.aws_fields import AwsFields
from eventsources.base import Source, SourceContext
from eventsources.fields import Hook, require
from eventsources.sns_messages import Forged, Places, Signatures, text
from eventsources.unusable import Unusable
from eventsources.webhooks import Answer, Refused, Request, decode, document, header_json

NO_NOTIFICATION = Answer(400, "bad request, not a valid SNS notification")
EMPTY = Answer(200, "")
_CALL_SECONDS = 10.0
_STOP_SECONDS = 5.0
_CHECK_SECONDS = 600.0
"""How often it is made sure that the subscription is still there."""


class SnsSpec(AwsFields, Hook):
    """Messages of an AWS SNS topic. Contract: eventsources 3.7."""

    topic_arn: str = Field("", description="ARN of the topic.")
    validate_signature: bool | None = Field(None, description="Refuse messages without a valid signature.")
    raw_message_delivery: bool | None = Field(
        None,
        description="Not in Argo Events: subscribe for messages without an envelope; the event's body is the message, "
        "as JSON or else as text. They carry no signature.",
    )
    delete_subscription_on_finish: bool | None = Field(
        None,
        description="Not in Argo Events, which always does: unsubscribe when the source stops. What is sent to the "
        "topic until it runs again is not received.",
    )

    def check(self, problems: Problems) -> None:
        """Contract 3.7; warnings are about what upstream accepts."""
        self.check_webhook(problems)
        require(problems, topicArn=self.topic_arn)
        self.check_access(problems)
        if self.raw_message_delivery and self.validate_signature:
            what = "messages without an envelope carry no signature: every one is refused"
            problems.error("rawMessageDelivery", what, "remove it, or validateSignature")
        elif not self.validate_signature:
            what = "messages are not verified: whoever reaches the endpoint can publish events"
            problems.warn("validateSignature", what, "set it to true")
        if self.webhook is None:
            return
        if not (self.webhook.url or "").startswith(("http://", "https://")):
            what = "SNS is not told where to send: the source never starts"
            problems.warn("webhook.url", what, "the URL under which SNS reaches the endpoint, without its path")
        if self.webhook.auth_secret is not None:
            what = "SNS sends no bearer token: every message is refused"
            problems.warn("webhook.authSecret", what, "remove it, and set validateSignature to true")


class SnsSource(Source[SnsSpec]):
    """One subscription of one topic."""

    Spec, event_type, active_passive = SnsSpec, "sns", False

    @classmethod
    def validate(cls, spec: SnsSpec, problems: Problems) -> None:
        spec.check(problems)

    async def listen(self, context: SourceContext) -> None:
        webhook = self.spec.webhook
        if webhook is None or not (webhook.url or "").startswith(("http://", "https://")):
            raise UserError("is no URL: SNS must be told where to send", path="webhook.url", cure="such as https://…")
        topic = _Topic(self.spec, context)
        async with AsyncExitStack() as stack:
            if topic.signatures is not None:
                await stack.enter_async_context(topic.signatures)
            await stack.enter_async_context(context.http.route(webhook, context, topic.receive))
            # Before it is subscribed: the confirmation must reach us, through a Service that sends to who is ready.
            context.started()
            await topic.stay_subscribed(webhook.callback)


class _Topic:
    """What one start of the source knows."""

    def __init__(self, spec: SnsSpec, context: SourceContext) -> None:
        self._spec, self._context = spec, context
        self._metadata = rawjson.dumps(spec.metadata) if spec.metadata else b""
        self._clients = aws.Latest(_CALL_SECONDS)
        self._places = Places(spec.endpoint or "")
        self.signatures = Signatures(self._places) if spec.validate_signature else None
        self._confirming = asyncio.Lock()
        self._unusable = Unusable(context.log)

    async def _call(self, name: str, **wanted: Any) -> dict[str, Any]:
        """The answer of SNS; ActionError."""
        client = self._clients.of(self._spec.access("sns", self._context.secrets))
        found: dict[str, Any] = await client.run(lambda sns: getattr(sns, name)(**wanted), seconds=_CALL_SECONDS)
        return found

    # ---- what SNS sends

    async def receive(self, request: Request) -> Answer | None:
        """Answer one request. SNS sends what gets a 4xx never again, so that is said."""
        try:
            return await self._answer(request)
        except (Refused, InvalidEvent) as error:
            if isinstance(error, InvalidEvent) or error.answer.status < 500:
                self._unusable.found(request.header("X-Amz-Sns-Message-Id"), error, "refused")
            raise

    async def _answer(self, request: Request) -> Answer | None:
        raw = await request.body()
        if request.header("X-Amz-Sns-Rawdelivery") == "true":
            await self._publish_raw(request, raw)
            return None
        message = sns_messages.parse(raw)
        if message is None or not text(message, "Type"):
            raise Refused(NO_NOTIFICATION)
        self._check_topic(text(message, "TopicArn"))
        await self._verify(message)
        if message["Type"] == sns_messages.SUBSCRIPTION:
            return await self._confirm(message)
        if message["Type"] != sns_messages.NOTIFICATION:
            return EMPTY
        data = document(header_json(request.headers), rawjson.compact(raw), self._metadata)
        await request.emit(data, id=text(message, "MessageId"))
        return None

    async def _publish_raw(self, request: Request, raw: bytes) -> None:
        """A message without an envelope; what the envelope says otherwise is in headers."""
        if self.signatures is not None:
            raise Refused(Answer(400, "a message without an envelope carries no signature"))
        self._check_topic(request.header("X-Amz-Sns-Topic-Arn"))
        try:
            body = rawjson.compact(raw)
        except InvalidEvent:
            body = rawjson.dumps(decode(raw))
        data = document(header_json(request.headers), body, self._metadata)
        await request.emit(data, id=request.header("X-Amz-Sns-Message-Id"))

    def _check_topic(self, topic: str) -> None:
        if topic != self._spec.topic_arn:
            raise Refused(Answer(400, "the message is not of the configured topic"))

    async def _verify(self, message: dict[str, Any]) -> None:
        try:
            if self.signatures is not None:
                await self.signatures.verify(message)
        except Forged as error:
            raise Refused(Answer(400, str(error))) from error
        except ActionError as error:
            raise Refused(_later(error)) from error

    async def _confirm(self, message: dict[str, Any]) -> Answer:
        """By a call with the token: its URL is checked, and not visited."""
        try:
            self._places.check(text(message, "SubscribeURL"), "SubscribeURL")
            async with self._confirming:
                await self._call(
                    "confirm_subscription",
                    TopicArn=self._spec.topic_arn,
                    Token=text(message, "Token"),
                    # Else whoever reads an event could unsubscribe us by the URL in it.
                    AuthenticateOnUnsubscribe="true",
                )
        except aws.Refused as error:
            raise Refused(_later(error) if aws.is_passing(error) else Answer(400, str(error))) from error
        except Forged as error:
            raise Refused(Answer(400, str(error))) from error
        except (ActionError, CredentialError) as error:
            raise Refused(_later(error)) from error
        self._context.log.info("Subscription confirmed", topicArn=self._spec.topic_arn)
        return EMPTY

    # ---- the subscription

    async def stay_subscribed(self, url: str) -> None:
        """Subscribe, and look from time to time whether that holds. ActionError when there is no such topic.

        For other failures the endpoint stays open: a subscription that was confirmed delivers without us, and a
        message that finds nobody is tried a few times only.
        """
        pauses, is_failing, subscription = Endless(1, 60), False, ""
        try:
            while True:
                try:
                    subscription = await self._subscribe(url)
                except (ActionError, CredentialError) as error:
                    if isinstance(error, aws.Refused) and error.code.startswith("NotFound"):
                        raise
                    if not is_failing:
                        warning = "Cannot subscribe to the topic; tried until it works, what is sent meanwhile is taken"
                        self._context.log.warning(warning, topicArn=self._spec.topic_arn, reason=error)
                    is_failing = True
                    await asyncio.sleep(pauses.next())
                    continue
                if is_failing:
                    self._context.log.info("Subscribed to the topic", topicArn=self._spec.topic_arn)
                is_failing = False
                pauses.reset()
                await asyncio.sleep(_CHECK_SECONDS * random.uniform(0.75, 1.25))
        finally:
            if self._spec.delete_subscription_on_finish and subscription:
                await self._unsubscribe(subscription)

    async def _subscribe(self, url: str) -> str:
        """The ARN of the subscription: a new one, or the one that is there."""
        wanted = {
            "TopicArn": self._spec.topic_arn,
            "Protocol": "https" if url.startswith("https://") else "http",
            "Endpoint": url,
            "ReturnSubscriptionArn": True,
        }
        is_raw = self._spec.raw_message_delivery
        if is_raw is None:
            return str((await self._call("subscribe", **wanted))["SubscriptionArn"])
        raw = {"RawMessageDelivery": str(is_raw).lower()}
        try:
            return str((await self._call("subscribe", **wanted, Attributes=raw))["SubscriptionArn"])
        except aws.Refused as error:
            if not error.code.startswith("InvalidParameter"):
                raise
        # It is there with other attributes.
        subscription = str((await self._call("subscribe", **wanted))["SubscriptionArn"])
        (name, value) = next(iter(raw.items()))
        await self._call(
            "set_subscription_attributes", SubscriptionArn=subscription, AttributeName=name, AttributeValue=value
        )
        return subscription

    async def _unsubscribe(self, subscription: str) -> None:
        with suppress(TimeoutError, KeryxError):
            async with asyncio.timeout(_STOP_SECONDS):
                await self._call("unsubscribe", SubscriptionArn=subscription)
                return
        self._context.log.warning("Cannot unsubscribe", subscriptionArn=subscription)


def _later(error: KeryxError) -> Answer:
    """SNS sends it again."""
    return Answer(503, str(error), headers=(("Retry-After", "5"),))
