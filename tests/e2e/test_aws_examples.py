"""The examples of AWS as processes; moto is AWS."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.aws import REGION, Aws, aws
from support.keryx import Keryx, Line, keryx, until
from support.ports import free_port
from support.tls_proxy import tls_proxy

EXAMPLES = Path(__file__).parents[2] / "examples/aws"
ENVIRON = {"AWS_ACCESS_KEY_ID": "ada", "AWS_SECRET_ACCESS_KEY": "pass"}


@pytest.fixture(scope="module")
def moto() -> Iterator[Aws]:
    with aws() as running:
        running.reset()
        yield running


def told(run: Keryx, text: str) -> list[Line]:
    return [line for line in run.lines if line.get("triggerType") == "Log" and text in str(line)]


async def test_sqs(tmp_path: Path, moto: Aws) -> None:
    sqs = moto.client("sqs")
    url = sqs.create_queue(QueueName="orders")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody='{"total":50}')
    manifest, environ = EXAMPLES / "sqs.yaml", {**ENVIRON, "AWS_ENDPOINT_URL_SQS": moto.url}
    async with keryx(tmp_path / "run", "run", manifest, "--data", tmp_path / "data", environ=environ) as run:
        await until(lambda: told(run, "total"), 30, what=lambda: run.err)
        assert await run.stop(20) == 0


async def test_sns(tmp_path: Path, moto: Aws) -> None:
    """Signed by moto; its certificate is where AWS has it."""
    sns, port = moto.client("sns"), free_port()
    topic = sns.create_topic(Name="alarms")["TopicArn"]
    manifest = tmp_path / "sns.yaml"
    text = (EXAMPLES / "sns.yaml").read_text().replace("12000", str(port))
    manifest.write_text(text.replace("https://hooks.example.com", f"http://127.0.0.1:{port}"))
    # Moto's one port takes what is not signed for S3's.
    signed = f"AWS4-HMAC-SHA256 Credential=ada/20261121/{REGION}/sns/aws4_request"
    async with tls_proxy(f"sns.{REGION}.amazonaws.com", moto.url, tmp_path, Authorization=signed) as proxy:
        environ = {**ENVIRON, "AWS_ENDPOINT_URL_SNS": moto.url, **proxy.environ}
        async with keryx(tmp_path / "run", "run", manifest, "--data", tmp_path / "data", environ=environ) as run:

            def subscribed() -> list[str]:
                return [one["Endpoint"] for one in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]]

            await run.says("Eventing server started", 30)
            async with asyncio.timeout(60):
                while not await asyncio.to_thread(subscribed):
                    await asyncio.sleep(0.05)
            for text in ("the disk is full", "so is the other"):
                await asyncio.to_thread(sns.publish, TopicArn=topic, Message=text)
                await until(lambda text=text: told(run, text), 5, what=lambda: (proxy, run.err))
            assert len(proxy.fetched) == 2, "moto signs each message with another key"
            assert not proxy.refused
            assert await run.stop(20) == 0
        assert await asyncio.to_thread(subscribed) == [f"http://127.0.0.1:{port}/alarms"]
