"""Google's Pub/Sub emulator on a free loopback port, and what a test does there with the SDK."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.ports import free_port

PROJECT = "keryx-test"
_PLACES = (
    "/usr/lib/google-cloud-sdk/platform/pubsub-emulator",
    "/usr/share/google-cloud-sdk/platform/pubsub-emulator",
    "/opt/google-cloud-sdk/platform/pubsub-emulator",
    "~/google-cloud-sdk/platform/pubsub-emulator",
)


def _jar() -> str:
    """The emulator, where it is found."""
    gcloud = shutil.which("gcloud")
    beside = [str(Path(gcloud).resolve().parents[1] / "platform/pubsub-emulator")] if gcloud else []
    for place in (*beside, *_PLACES):
        if found := glob.glob(f"{os.path.expanduser(place)}/lib/cloud-pubsub-emulator-*-all.jar"):
            return found[0]
    return ""


class Emulator:
    """A running emulator."""

    def __init__(self, port: int) -> None:
        from google.cloud.pubsub_v1 import SubscriberClient
        from google.pubsub_v1.services.publisher import PublisherClient
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
        from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

        self.address = f"127.0.0.1:{port}"
        self._channel = grpc.insecure_channel(self.address)
        self.publisher = PublisherClient(transport=PublisherGrpcTransport(channel=self._channel))
        self.subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=self._channel))

    def topic(self, name: str, project: str = PROJECT) -> str:
        path = f"projects/{project}/topics/{name}"
        self.publisher.create_topic(name=path)
        return path

    def subscription(self, name: str, topic: str, **settings: Any) -> str:
        path = f"projects/{PROJECT}/subscriptions/{name}"
        self.subscriber.create_subscription(request={"name": path, "topic": topic, **settings})
        return path

    def publish(self, topic: str, *bodies: bytes, **attributes: Any) -> list[str]:
        """The ids."""
        ids: list[str] = []
        for begin in range(0, len(bodies), 500):
            messages = [{"data": body, **attributes} for body in bodies[begin : begin + 500]]
            ids += self.publisher.publish(topic=topic, messages=messages).message_ids
        return ids

    def waiting(self, subscription: str, seconds: float = 1.0) -> list[Any]:
        """Messages that may be received now; they are given back."""
        from google.api_core.exceptions import DeadlineExceeded

        try:
            found = self.subscriber.pull(
                subscription=subscription, max_messages=1000, timeout=seconds, retry=None
            ).received_messages
        except DeadlineExceeded:
            return []
        if found:
            ids = [one.ack_id for one in found]
            self.subscriber.modify_ack_deadline(subscription=subscription, ack_ids=ids, ack_deadline_seconds=0)
        return list(found)

    def subscriptions(self) -> set[str]:
        return {one.name for one in self.subscriber.list_subscriptions(project=f"projects/{PROJECT}")}

    def close(self) -> None:
        self._channel.close()


@contextmanager
def emulator() -> Iterator[Emulator]:
    """Skips where there is none."""
    jar, java = _jar(), shutil.which("java")
    if not jar or not java:
        pytest.skip("Google's Pub/Sub emulator is not installed (gcloud components install pubsub-emulator)")
    port = free_port()
    command = [java, "-Xmx512m", "-XX:TieredStopAtLevel=1", "-jar", jar, "--host=127.0.0.1", f"--port={port}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        running = Emulator(port)
        deadline = time.monotonic() + 30
        while True:
            try:
                running.subscriptions()
                break
            except Exception:  # noqa: BLE001 - not up yet
                assert process.poll() is None, "the emulator has ended"
                assert time.monotonic() < deadline, "the emulator does not answer"
                time.sleep(0.1)
        yield running
        running.close()
    finally:
        process.kill()
        process.wait(10)
