"""SDKs of single triggers: said when they are missing; a call that hangs keeps no process from ending."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.nats_server import NatsServer
from support.triggers import context, fire, secret

from events.errors import MissingExtra
from sensors.registry import TRIGGERS

AWS: dict[str, Any] = {
    "functionName": "f",
    "region": "r",
    "accessKey": secret("user"),
    "secretKey": secret("password"),
    "payload": [],
}
EMAIL: dict[str, Any] = {"host": "h", "from": "a@example.com", "to": ["b@example.com"], "subject": "s", "body": "b"}


@pytest.mark.parametrize(
    ("kind", "spec", "sdk", "cure"),
    [
        ("awsLambda", AWS, "botocore.exceptions", r"keryx\[aws\]"),
        ("email", EMAIL, "aiosmtplib", r"keryx\[email\]"),
    ],
)
async def test_a_missing_sdk_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, spec: dict[str, Any], sdk: str, cure: str
) -> None:
    monkeypatch.setitem(sys.modules, sdk, None)
    adapter: Any = TRIGGERS.load(kind)
    with pytest.raises(MissingExtra, match=cure):
        await fire(adapter(adapter.Spec.parse(spec), context(tmp_path)))


async def test_a_missing_sdk_for_nkeys_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nkeys", None)
    server = NatsServer(tmp_path / "nats")
    await server.start()
    adapter: Any = TRIGGERS.load("nats")
    spec = {"url": server.url, "subject": "s", "payload": [], "auth": {"nkey": secret("token")}}
    try:
        with pytest.raises(MissingExtra, match=r"keryx\[nats\]"):
            await fire(adapter(adapter.Spec.parse(spec), context(tmp_path)))
    finally:
        server.kill()


async def test_a_call_of_aws_that_hangs_keeps_no_process_from_ending() -> None:  # R6
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    code = (
        "import asyncio; from events import aws\n"
        f"client = aws.Client(aws.Access('s3', 'r', 'a', 'b', endpoint={url!r}), 60)\n"
        "async def main():\n"
        "    call = asyncio.create_task(client.run(lambda s3: s3.list_buckets(), seconds=60))\n"
        "    await asyncio.sleep(1.5)\n"
        "    call.cancel()\n"
        "    await asyncio.wait({call})\n"
        "    print(call.cancelled())\n"
        "asyncio.run(main())\n"
    )
    started = time.monotonic()
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "True", "")
    assert time.monotonic() - started < 10
    server.close()


def test_validating_every_kind_of_source_loads_no_sdk() -> None:
    code = (
        "import sys; from eventsources.registry import SOURCES;"
        "[SOURCES.load(key).Spec for key in SOURCES];"
        "sdks = ('asyncinotify', 'boto3', 'google.cloud', 'google.protobuf', 'grpc', 'kubernetes');"
        "print([name for name in sdks if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
