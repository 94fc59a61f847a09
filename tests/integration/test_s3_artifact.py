"""The s3 artifact against moto's S3 on a loopback port. Contract: sensors D.16; P5, R8."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.aws import Aws, aws
from support.triggers import context, secret

from events.backoff import Backoff
from events.errors import ActionError, CredentialError
from sensors import artifacts
from sensors.artifacts import s3
from sensors.artifacts.locations import ArtifactLocation, S3Artifact
from sensors.artifacts.reading import Refused

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
POD = {"kind": "Pod"}


@pytest.fixture(scope="module")
def server() -> Iterator[Aws]:
    with aws() as running:
        yield running


@pytest.fixture
def bucket(server: Aws) -> Any:
    server.reset()
    client = server.client("s3")
    client.create_bucket(Bucket="flows", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    client.put_object(Bucket="flows", Key="a/pod.yaml", Body=b"kind: Pod\n")
    return client


def location(endpoint: str, key: str = "a/pod.yaml", name: str = "flows", **more: Any) -> dict[str, Any]:
    return {
        "endpoint": endpoint,
        "bucket": {"name": name, "key": key},
        "insecure": True,
        "accessKey": secret("user"),
        "secretKey": secret("password"),
        **more,
    }


def artifact(root: Path, raw: dict[str, Any], **options: Any) -> artifacts.Artifact:
    where = ArtifactLocation.parse({"s3": raw})
    return artifacts.Artifact(where, context(root), **({"backoff": Backoff(duration="1ms", steps=2)} | options))


async def test_an_object_is_read_and_read_again_when_it_has_changed(server: Aws, bucket: Any, tmp_path: Path) -> None:
    one = artifact(tmp_path, location(server.host))
    assert json.loads(await one.load()) == POD
    assert json.loads(await one.load()) == POD
    bucket.put_object(Bucket="flows", Key="a/pod.yaml", Body=b'{"kind":"Job"}')
    assert json.loads(await one.load()) == {"kind": "Job"}


async def test_an_unchanged_object_is_not_sent_again(server: Aws, bucket: Any, tmp_path: Path) -> None:  # P5
    reader = s3.S3Reader(S3Artifact.parse(location(server.host)), context(tmp_path).secrets)
    first = await reader.read()
    assert await reader.read() is first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": "nope"}, "NoSuchKey"),
        ({"name": "nope"}, "NoSuchBucket"),
        ({"endpoint": "http://h"}, "is not a host and a port"),
        ({"key": ""}, "are required"),
    ],
)
async def test_what_is_not_there_is_refused_at_once(
    server: Aws, bucket: Any, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    reader = s3.S3Reader(S3Artifact.parse(location(**({"endpoint": server.host} | change))), context(tmp_path).secrets)
    with pytest.raises(Refused, match=message):
        await reader.read()


async def test_an_object_has_a_limit(server: Aws, bucket: Any, tmp_path: Path) -> None:
    limit = s3.LIMIT
    bucket.put_object(Bucket="flows", Key="full", Body=b"a: " + b"x" * (limit - 3))
    bucket.put_object(Bucket="flows", Key="more", Body=b"a: " + b"x" * (limit - 2))
    assert len(json.loads(await artifact(tmp_path, location(server.host, "full")).load())["a"]) == limit - 3
    with pytest.raises(ActionError, match="more than 1224 KiB"):
        await artifact(tmp_path, location(server.host, "more")).load()


async def test_keys_are_read_anew(server: Aws, bucket: Any, tmp_path: Path) -> None:
    one = artifact(tmp_path, location(server.host))
    await one.load()
    (tmp_path / "secrets" / "creds" / "user").write_text(" other \n")
    assert json.loads(await one.load()) == POD
    (tmp_path / "secrets" / "creds" / "user").unlink()
    with pytest.raises(CredentialError, match="no key 'user'"):
        await one.load()


async def test_a_server_that_is_away_is_an_error(tmp_path: Path, unused_tcp_port: int) -> None:
    with pytest.raises(ActionError, match=r"artifact 's3': s3 object 'a/pod\.yaml' of bucket 'flows'.*connect"):
        await artifact(tmp_path, location(f"127.0.0.1:{unused_tcp_port}")).load()


async def _raw(answer: bytes, *, hangs: bool) -> tuple[asyncio.Server, str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if hangs:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_server_that_hangs_holds_up_nobody(tmp_path: Path) -> None:  # R8
    server, host = await _raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nkind", hangs=True)
    reader = s3.S3Reader(S3Artifact.parse(location(host)), context(tmp_path).secrets, seconds=0.3)
    started = asyncio.get_running_loop().time()
    with pytest.raises(ActionError, match=r"no answer within 0\.3 s|timed out"):
        await reader.read()
    assert asyncio.get_running_loop().time() - started < 20
    server.close()


async def test_half_an_object_is_none(tmp_path: Path) -> None:
    server, host = await _raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nkind: Pod", hangs=False)
    with pytest.raises(ActionError, match=r"(?i)broke|incomplete"):
        await s3.S3Reader(S3Artifact.parse(location(host)), context(tmp_path).secrets).read()
    server.close()
