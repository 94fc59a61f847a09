"""Messages of a Google Cloud Pub/Sub subscription. Contract: eventsources 3.9."""

from __future__ import annotations

from pydantic import Field

from events.credentials import SecretRef
from events.problems import Problems
from eventsources.base import Kind
from eventsources.fields import Message


class PubSubSpec(Message):
    """Contract: eventsources 3.9."""

    project_id: str = Field("", alias="projectID", description="Project of the subscription; the machine's own.")
    topic_project_id: str = Field("", alias="topicProjectID", description="Project of the topic; projectID.")
    topic: str = Field("", description="Topic to subscribe to.")
    subscription_id: str = Field("", alias="subscriptionID", description="Subscription; made up when absent.")
    credential_secret: SecretRef | None = Field(None, description="Secret with a service account's key (JSON).")
    delete_subscription_on_finish: bool | None = Field(None, description="Delete the subscription at the end.")

    def check(self, problems: Problems) -> None:
        """Contract 3.9."""
        if not (self.topic or self.subscription_id):
            problems.error("topic", "topic or subscriptionID is required")
        if self.topic_project_id and not self.topic:
            problems.error("topicProjectID", "means nothing without a topic", "name the topic")


class PubSubSource(Kind[PubSubSpec]):
    """Described; this version does not run it."""

    Spec, event_type, active_passive = PubSubSpec, "pubsub", True

    @classmethod
    def validate(cls, spec: PubSubSpec, problems: Problems) -> None:
        spec.check(problems)
