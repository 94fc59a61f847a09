"""The examples of buckets as processes; moto is S3 and SQS, a stand-in is MinIO."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.aws import REGION, Aws, aws
from support.keryx import Keryx, Line, keryx, until
from support.minio import minio, told

ROOT = Path(__file__).parents[2] / "examples"
EXAMPLES = ROOT / "eventsources"
KEYS = {"AWS_ACCESS_KEY_ID": "ada", "AWS_SECRET_ACCESS_KEY": "pass"}


@pytest.fixture
def moto() -> Iterator[Aws]:
    with aws() as running:
        running.reset()
        running.client("sqs").create_queue(QueueName="uploads-notifications")
        where = {"LocationConstraint": REGION}
        running.client("s3").create_bucket(Bucket="uploads", CreateBucketConfiguration=where)
        yield running


def environ(moto: Aws) -> dict[str, str]:
    return {**KEYS, "AWS_ENDPOINT_URL_S3": moto.url, "AWS_ENDPOINT_URL_SQS": moto.url}


def said(run: Keryx, text: str) -> list[Line]:
    return [line for line in run.lines if line.get("triggerType") == "Log" and text in str(line)]


async def test_minio(tmp_path: Path) -> None:
    manifest = tmp_path / "minio.yaml"
    async with minio() as server:
        manifest.write_text((EXAMPLES / "minio.yaml").read_text().replace("localhost:9000", server.host))
        async with keryx(tmp_path / "run", "run", manifest, "--data", tmp_path / "data") as run:
            await until(lambda: server.listeners, 30, what=lambda: run.err)
            server.tell(told("in/a.csv"))
            await until(lambda: said(run, "in%2Fa.csv"), 30, what=lambda: run.err)
            assert await run.stop(20) == 0


async def test_s3(tmp_path: Path, moto: Aws) -> None:
    arguments = ("run", EXAMPLES / "s3.yaml", "--data", tmp_path / "data")
    async with keryx(tmp_path / "run", *arguments, environ=environ(moto)) as run:
        await run.says("The buckets send their notifications to the queue", 30)
        put = moto.client("s3").put_object
        for key, body in (("in/empty.csv", b""), ("in/a b.csv", b"1,2\n"), ("in/x.png", b"x")):
            await asyncio.to_thread(put, Bucket="uploads", Key=key, Body=body, ContentType="text/csv")
        [line] = await until(lambda: said(run, "a b.csv"), 30, what=lambda: run.err)
        assert "1,2" in str(line)
        assert not said(run, "empty.csv")
        assert not said(run, "x.png")
        assert await run.stop(20) == 0


async def test_an_upload_starts_a_pipeline(tmp_path: Path, moto: Aws) -> None:
    arguments = ("run", ROOT / "tutorials/bucket-pipeline", "--dry-run", "--data", tmp_path / "data")
    async with keryx(tmp_path / "run", *arguments, environ=environ(moto)) as run:
        await run.says("The buckets send their notifications to the queue", 30)
        put = moto.client("s3").put_object
        await asyncio.to_thread(put, Bucket="uploads", Key="in/orders+1 ü.csv", Body=b"1,2\n")
        await asyncio.to_thread(put, Bucket="uploads", Key="out/orders.csv", Body=b"1,2\n")
        found: dict[str, Any] = await until(lambda: made(run), 30, what=lambda: run.err)
        assert await run.stop(20) == 0
    given = {one["name"]: one["value"] for one in found["spec"]["arguments"]["parameters"]}
    assert (given["bucket"], given["key"], given["size"]) == ("uploads", "in/orders+1 ü.csv", "4")
    assert len(given["etag"]) == 32
    assert len([one for one in yaml.safe_load_all(run.out) if one]) == 1


def made(run: Keryx) -> dict[str, Any] | None:
    """The Workflow that was printed."""
    try:
        return next((one for one in yaml.safe_load_all(run.out) if one and one.get("kind") == "Workflow"), None)
    except yaml.YAMLError:
        return None  # half of it
