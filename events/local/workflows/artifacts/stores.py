"""Buckets, URLs and the local store, read and written in one way. Contract: workflows I.6."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol, TypeVar

from events import aws
from events.errors import ActionError
from events.local.workflows.artifacts import buckets
from events.local.workflows.artifacts.locations import Bucket, Location, Secret
from events.local.workflows.artifacts.web import WebStore
from events.local.workflows.errors import WorkflowError
from events.threads import in_thread

T = TypeVar("T")
SecretValue = Callable[[str, str, str], Awaitable[str]]
"""The value at a key of a Secret: (namespace, name, key); ActionError when there is none."""


class Store(Protocol):
    """Files and folders by key. Failures are WorkflowError."""

    async def fetch(self, key: str, target: Path) -> bool:
        """Put what a key holds at `target`; False when there is nothing."""
        ...

    async def save(self, path: Path, key: str) -> None:
        """Keep a file or folder."""
        ...

    async def keys(self, prefix: str) -> list[str]:
        """The keys that begin so, in order."""
        ...

    async def delete(self, key: str) -> None:
        """Forget what a key holds, and what lies below it."""
        ...


def path_of(key: str) -> Path:
    """A key as a path below the local store."""
    parts = [part for part in Path(key).parts if part not in ("/", "..", ".")]
    return Path(*parts) if parts else Path("unnamed")


class LocalStore:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def fetch(self, key: str, target: Path) -> bool:
        source = self._folder / path_of(key)

        def copy() -> bool:
            if not source.exists():
                return False
            target.parent.mkdir(parents=True, exist_ok=True)
            _copied(source, target)
            return True

        return await _told(copy, key)

    async def save(self, path: Path, key: str) -> None:
        target = self._folder / path_of(key)

        def copy() -> None:
            target.parent.mkdir(parents=True, exist_ok=True)
            new = target.with_name(f"{target.name}.new")
            _removed(new)
            _copied(path, new)
            _removed(target)
            new.rename(target)

        await _told(copy, key)

    async def keys(self, prefix: str) -> list[str]:
        def listed() -> list[str]:
            files = [one for one in self._folder.rglob("*") if one.is_file()] if self._folder.is_dir() else []
            found = (one.relative_to(self._folder).as_posix() for one in files)
            return sorted(one for one in found if one.startswith(prefix.lstrip("/")))

        return await _told(listed, prefix)

    async def delete(self, key: str) -> None:
        def remove() -> None:
            path = self._folder / path_of(key)
            _removed(path)
            for above in path.parents:
                if above == self._folder or any(above.iterdir()):
                    break
                above.rmdir()

        await _told(remove, key)


async def _told(act: Callable[[], T], key: str) -> T:
    try:
        return await in_thread(act, "artifacts")
    except OSError as error:
        raise WorkflowError(f"the local store of artifacts, key '{key}': {error.strerror or error}") from error


def _copied(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target)


def _removed(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Stores:
    """The stores of all namespaces. `folder` has the local ones; `secret` reads what opens a bucket."""

    def __init__(self, folder: Path, secret: SecretValue) -> None:
        self._folder, self._secret = folder, secret
        self._clients: dict[Bucket, aws.Latest] = {}

    def local(self, namespace: str) -> Path:
        """The folder of a namespace's local store."""
        return (self._folder / namespace).absolute()

    async def of(self, namespace: str, location: Location) -> Store:
        """Where this lies, with keys as they are now; WorkflowError when they cannot be read."""
        if location.web is not None:
            web = location.web
            user, password = [await self._value(namespace, web.url, ref) for ref in (web.user, web.password)]
            return WebStore(web, user, password)
        bucket = location.bucket
        if bucket is None:
            return LocalStore(self.local(namespace))
        refs = (bucket.access_key, bucket.secret_key, bucket.session_token)
        values = [await self._value(namespace, bucket, ref) for ref in refs]
        roots = await self._roots(namespace, bucket)
        found = buckets.access(bucket, values[0], values[1], values[2], roots)
        client = self._clients.setdefault(bucket, aws.Latest(buckets.SILENCE)).of(found)
        return buckets.BucketStore(bucket, client)

    async def _value(self, namespace: str, bucket: Bucket | str, ref: Secret | None) -> str:
        if ref is None:
            return ""
        try:
            return await self._secret(namespace, ref.name, ref.key)
        except ActionError as error:
            where = f"Secret '{ref.name}', key '{ref.key}', of namespace '{namespace}'"
            raise WorkflowError(f"{bucket}: {where} cannot be read: {error} (create it)") from error

    async def _roots(self, namespace: str, bucket: Bucket) -> str:
        """The file that boto3 wants of an authority."""
        text = await self._value(namespace, bucket, bucket.authority)
        if not text:
            return ""
        file = self._folder / f".ca-{hashlib.sha256(text.encode()).hexdigest()[:16]}.pem"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return str(file)
