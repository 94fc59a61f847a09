"""Buckets of S3, and of what speaks its protocol: objects in and out. Contract: workflows I.6.

Keys are read from Secrets of the Workflow's namespace by whoever carries it out; pods never see them. A call that may
succeed a moment later is made again a few times; what then still fails says bucket, key and what to do.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from events import aws
from events.errors import ActionError
from events.local.workflows.artifacts.locations import Bucket
from events.local.workflows.errors import WorkflowError

T = TypeVar("T")
SILENCE = 60.0
"""Seconds that a call waits for the next bytes."""
DEADLINE = 3600.0
"""Seconds that a whole object may take."""
_PAUSES = (1.0, 1.6, 2.5, 4.0)
_REGION = "us-east-1"
_CURES = {
    "NoSuchBucket": "create the bucket, or give createBucketIfNotPresent: {}",
    "AccessDenied": "see that the keys of accessKeySecret and secretKeySecret may do this",
    "InvalidAccessKeyId": "see what accessKeySecret holds",
    "SignatureDoesNotMatch": "see what secretKeySecret holds",
}


def access(bucket: Bucket, access_key: str, secret_key: str, token: str, roots: str) -> aws.Access:
    """The way to a bucket, with what its Secrets hold."""
    scheme = "http" if bucket.insecure else "https"
    return aws.Access(
        "s3",
        bucket.region or _REGION,
        access_key.strip(),
        secret_key.strip(),
        role=bucket.role,
        endpoint=f"{scheme}://{bucket.endpoint}" if bucket.endpoint else "",
        session_token=token.strip(),
        roots=roots,
    )


class BucketStore:
    """One bucket."""

    def __init__(self, bucket: Bucket, client: aws.Client, pauses: tuple[float, ...] = _PAUSES) -> None:
        self._bucket, self._client, self._pauses = bucket, client, pauses

    async def fetch(self, key: str, target: Path) -> bool:
        """Put the object at `target`, or the folder of all objects below the key; False when there is none."""
        try:
            await self._run(lambda s3: _download(s3, self._bucket.name, key, target), f"key '{key}'")
        except _Missing:
            found = await self.keys(f"{key.rstrip('/')}/")
            for one in found:
                place = target / _below(one, f"{key.rstrip('/')}/")
                await self._run(lambda s3, one=one, place=place: self._get(s3, one, place), f"key '{one}'")  # type: ignore[misc]  # values are bound at once
            return bool(found)
        return True

    def _get(self, s3: Any, key: str, place: Path) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        _download(s3, self._bucket.name, key, place)

    async def save(self, path: Path, key: str) -> None:
        """Store a file, or all files of a folder below the key."""
        more = self._encryption()

        def send(s3: Any) -> None:
            for file, name in _files(path, key):
                s3.upload_file(str(file), self._bucket.name, name, ExtraArgs=more)

        if self._bucket.creates:
            await self._run(self._make, "the bucket")
        await self._run(send, f"key '{key}'")

    def _encryption(self) -> dict[str, str] | None:
        if not self._bucket.encryption:
            return None
        found = {"ServerSideEncryption": self._bucket.encryption}
        return found | ({"SSEKMSKeyId": self._bucket.encryption_key} if self._bucket.encryption_key else {})

    def _make(self, s3: Any) -> None:
        from botocore.exceptions import ClientError

        try:
            s3.head_bucket(Bucket=self._bucket.name)
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 404:
                raise
            region = self._bucket.region or _REGION
            where = {} if region == _REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            s3.create_bucket(Bucket=self._bucket.name, **where)

    async def keys(self, prefix: str) -> list[str]:
        """All keys that begin so."""

        def listed(s3: Any) -> list[str]:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket.name, Prefix=prefix)
            return [str(one["Key"]) for page in pages for one in page.get("Contents") or ()]

        found: list[str] = await self._run(listed, f"keys below '{prefix}'")
        return [one for one in found if not one.endswith("/")]

    async def delete(self, key: str) -> None:
        """Delete an object, or those below the key; what is not there is as good."""
        for one in (key, *await self.keys(f"{key.rstrip('/')}/")):
            await self._run(lambda s3, one=one: s3.delete_object(Bucket=self._bucket.name, Key=one), f"key '{one}'")  # type: ignore[misc]  # as above

    async def _run(self, act: Callable[[Any], T], what: str) -> T:
        """A call, again while it may succeed; WorkflowError says what failed for good, and the cure."""
        pauses = list(self._pauses)
        while True:
            try:
                return await self._client.run(lambda s3: _translated(act, s3), seconds=DEADLINE)
            except ActionError as error:
                if isinstance(error, aws.Refused) and error.code in ("NoSuchKey", "404"):
                    raise _Missing from error
                if not aws.is_passing(error) or not pauses:
                    raise WorkflowError(f"{self._bucket}, {what}: {error}{_cure(error, self._bucket)}") from error
                pause = pauses.pop(0)
            await asyncio.sleep(pause * random.uniform(1, 1.5))


class _Missing(Exception):
    """There is no object with this key."""


def _translated(act: Callable[[Any], T], s3: Any) -> T:
    """boto3's transfers have errors of their own, around those of calls."""
    from boto3.exceptions import S3UploadFailedError

    try:
        return act(s3)
    except S3UploadFailedError as error:
        raise error.__context__ or error from error


def _cure(error: ActionError, bucket: Bucket) -> str:
    if isinstance(error, aws.Refused):
        cure = _CURES.get(error.code, "")
        if not cure and error.status == 403:
            cure = _CURES["AccessDenied"]
    elif "locate credentials" in str(error):
        cure = "give accessKeySecret and secretKeySecret"
    else:
        scheme = "" if bucket.insecure else ", and insecure: true for one without TLS"
        cure = f"see that the endpoint is right{scheme}"
    return f" ({cure})" if cure else ""


def _download(s3: Any, bucket: str, key: str, target: Path) -> None:
    """Through a name of its own: half an object is none."""
    new = target.with_name(f"{target.name}.new")
    s3.download_file(bucket, key, str(new))
    new.rename(target)


def _files(path: Path, key: str) -> Iterator[tuple[Path, str]]:
    if not path.is_dir():
        yield path, key
        return
    for folder, _, files in os.walk(path):
        for name in sorted(files):
            file = Path(folder, name)
            yield file, f"{key.rstrip('/')}/{file.relative_to(path).as_posix()}"


def _below(key: str, prefix: str) -> Path:
    """A key as a path below a folder."""
    return Path(*(part for part in key.removeprefix(prefix).split("/") if part not in ("", ".", "..")))
