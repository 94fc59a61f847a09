"""A topic and a subscription of one test, and what stands before them."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from support.event_sources import until
from support.pubsub import PROJECT, Emulator
from support.pubsub_front import Front, ServiceAccount
from support.sources import Listening, listening, write_secret
from support.webhooks import Bus

from eventsources.sources.pub_sub import PubSubSource

KEY = {"name": "gcp", "key": "key"}


class World:
    """A topic and a subscription of this test alone, and what stands before them."""

    number = 0

    def __init__(self, google: Emulator, before: Front, ada: ServiceAccount, root: Path) -> None:
        World.number += 1
        self.google, self.front, self.root = google, before, root
        self.name = f"test-{World.number}"
        self.topic = google.topic(self.name)
        self.path = f"projects/{PROJECT}/subscriptions/{self.name}"
        before.accept(ada)
        write_secret(root, "key", ada.json, "gcp")

    def subscribed(self, **settings: Any) -> None:
        self.google.subscription(self.name, self.topic, **settings)

    def publish(self, *bodies: bytes, **more: Any) -> list[str]:
        return self.google.publish(self.topic, *bodies, **more)

    async def waiting(self) -> int:
        return len(await asyncio.to_thread(self.google.waiting, self.path))

    def spec(self, **more: Any) -> dict[str, Any]:
        given = {"projectID": PROJECT, "topic": self.name, "subscriptionID": self.name, "endpoint": self.front.endpoint}
        return {name: value for name, value in (given | {"credentialSecret": KEY} | more).items() if value is not None}

    def listening(
        self, bus: Bus | None = None, kind: type[PubSubSource] = PubSubSource, **more: Any
    ) -> AbstractAsyncContextManager[Listening]:
        return listening(kind, self.spec(**more), self.root, bus=bus)


async def end_of(source: Listening, seconds: float = 30) -> BaseException:
    """What ended it."""
    await asyncio.wait({source.task}, timeout=seconds)
    assert source.task.done(), "it goes on"
    error = source.task.exception()
    assert error is not None
    return error


async def said(source: Listening, text: str) -> list[str]:
    found: list[str] = []
    await until(lambda: found.extend(line for line in source.said if text in line) or found)
    return found
