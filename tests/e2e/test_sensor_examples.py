"""The examples of single triggers and artifacts, run as they are (but for ports) against their counterparts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.parser import BytesParser
from email.policy import default
from pathlib import Path
from typing import Any

import aiohttp
import nats
import pytest
import yaml
from aiosmtpd.controller import Controller
from support import git_server
from support.aws import aws
from support.git_server import Repository
from support.keryx import Keryx, keryx, until
from support.nats_server import NatsServer
from support.ports import free_port

EXAMPLES = Path(__file__).parents[2] / "examples/sensors"
TEMPLATE = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  generateName: order-\ndata: {}\n"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


class Run:
    def __init__(self, process: Keryx, port: int, event: str) -> None:
        self.process, self._url = process, f"http://127.0.0.1:{port}/{event}"

    async def post(self, body: Any) -> None:
        async with aiohttp.ClientSession() as session:
            answer = await session.post(self._url, json=body)
            assert answer.status == 200, await answer.text()

    async def created(self) -> dict[str, Any]:
        """The one object that a dry run printed."""
        await until(lambda: self.process.out.count("---") >= 1, what=lambda: self.process.err)
        assert await self.process.stop() == 0
        [made] = yaml.safe_load_all(self.process.out)
        return dict(made)


@asynccontextmanager
async def running(
    tmp_path: Path, name: str, *replaced: tuple[str, str], options: tuple[str, ...] = (), **environ: str
) -> AsyncIterator[Run]:
    text = (EXAMPLES / name).read_text()
    source = next(yaml.safe_load_all(text))
    [(event, spec)] = source["spec"]["webhook"].items()
    port = free_port()
    for old, new in ((f'"{spec["port"]}"', f'"{port}"'), *replaced):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / name).write_text(text)
    arguments = ("run", tmp_path / name, "--data", tmp_path / "data", *options)
    async with keryx(tmp_path / "life", *arguments, environ=environ) as process:
        await process.says("Listening")
        yield Run(process, port, event)


async def test_aws_lambda(tmp_path: Path) -> None:
    with aws() as server:
        server.reset()
        server.make_function("ship-order")
        async with running(tmp_path, "aws-lambda.yaml", AWS_ENDPOINT_URL=server.url, LOG_LEVEL="debug") as run:
            await run.post({"number": 7})
            await until(
                lambda: "Successfully processed trigger 'aws-lambda'" in run.process.err, what=lambda: run.process.err
            )


async def test_email(tmp_path: Path) -> None:
    mails: list[tuple[list[str], str]] = []

    class Mailbox:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
            message = BytesParser(policy=default).parsebytes(envelope.content)
            mails.append((envelope.rcpt_tos, message.get_content().strip()))
            return "250 OK"

    server = Controller(Mailbox(), "127.0.0.1", free_port(), server_hostname="mx")
    server.start()
    try:
        async with running(tmp_path, "email.yaml", ("port: 2525", f"port: {server.port}")) as run:
            await run.post({"service": "shop", "text": "disk full"})
            await until(lambda: len(mails) == 2, what=lambda: run.process.err)
    finally:
        server.stop()
    assert mails == [
        (["on-call@example.com"], "shop says: disk full"),
        (["archive@example.com"], "shop says: disk full"),
    ]


async def test_nats(tmp_path: Path) -> None:
    server = NatsServer(tmp_path / "nats", 'authorization { token: "let-me-in" }')
    await server.start()
    try:
        client = await nats.connect(server.url, token="let-me-in")
        heard = await client.subscribe("orders.*")
        async with running(tmp_path, "nats.yaml", ("nats://127.0.0.1:4222", server.url)) as run:
            await run.post({"country": "pl", "number": 7})
            message = await heard.next_msg(timeout=15)
        assert (message.subject, message.data) == ("orders.pl", b'{"order":"{\\"country\\":\\"pl\\",\\"number\\":7}"}')
        await client.close()
    finally:
        server.kill()


async def test_artifact_s3(tmp_path: Path) -> None:
    with aws() as server:
        server.reset()
        client = server.client("s3")
        client.create_bucket(Bucket="templates", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        client.put_object(Bucket="templates", Key="order.yaml", Body=TEMPLATE.encode())
        replaced = ("127.0.0.1:9000", server.host)
        async with running(tmp_path, "artifact-s3.yaml", replaced, options=("--dry-run",)) as run:
            await run.post({"number": 7})
            made = await run.created()
    assert made["data"] == {"number": "7"}
    assert made["metadata"]["name"].startswith("order-")


async def test_artifact_git(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    repository.commit("orders/order.yaml", TEMPLATE, ref="refs/heads/main")
    async with git_server.http(repository.root, "keryx", "let-me-in") as server:
        replaced = ("http://127.0.0.1:9418/templates.git", f"{server.url}/flows.git")
        async with running(tmp_path, "artifact-git.yaml", replaced, options=("--dry-run",)) as run:
            await run.post({"number": 7})
            made = await run.created()
    assert made["data"] == {"number": "7"}
