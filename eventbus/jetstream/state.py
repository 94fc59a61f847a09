"""Small durable values in a bucket: a stream that keeps the last message of every key.

A confirmed write survives the death of any process, the broker's too (an ack of a consumer does not). Values are read
from the stream's leader.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

from nats.aio.msg import Msg

from eventbus.base import Entry
from eventbus.jetstream import api
from eventbus.jetstream.link import Link
from events.errors import Unavailable, Unknown

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_READ_SECONDS = 5.0


class JetStreamState:
    """One bucket. Keys are made by `subjects.key`."""

    def __init__(self, bucket: str, link: Callable[[], Awaitable[Link]], *, write_seconds: float = 5.0) -> None:
        self._bucket, self._link, self._write_seconds = bucket, link, write_seconds

    def _subject(self, key: str) -> str:
        return f"$KV.{self._bucket}.{key}"

    async def get(self, key: str) -> Entry | None:
        try:
            got = await self._call("STREAM.MSG.GET", {"last_by_subj": self._subject(key)})
        except api.ApiError as error:
            if error.code == api.NO_MESSAGE:
                return None
            raise
        message = got["message"]
        if b"KV-Operation:" in base64.b64decode(message.get("hdrs") or ""):  # another client's removal
            return None
        return Entry(key, base64.b64decode(message.get("data", "")), int(message["seq"]))

    async def create(self, key: str, value: bytes) -> int:
        return await self.update(key, value, 0)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        link = await self._link()
        try:
            message = await self._publish(link, key, value, {_EXPECTED: str(revision)})
        except Unavailable as error:
            raise Unknown(f"{key}: {error}") from error
        return int(api.answer(message.data)["seq"])

    async def put(self, key: str, value: bytes) -> int:
        message = await self._publish(await self._link(), key, value, None)
        return int(api.answer(message.data)["seq"])

    async def _publish(self, link: Link, key: str, value: bytes, headers: dict[str, str] | None) -> Msg:
        return await link.request(self._subject(key), value, self._write_seconds, headers)

    async def purge(self, key: str) -> None:
        await self._call("STREAM.PURGE", {"filter": self._subject(key)})

    async def keys(self, prefix: str = "") -> list[str]:
        """One request for up to 100,000 keys, then further pages."""
        start = len(self._subject(""))
        found: list[str] = []
        while True:
            body = {"subjects_filter": self._subject(">"), "offset": len(found)}
            info = await self._call("STREAM.INFO", body)
            page = list((info["state"].get("subjects") or {}).keys())
            found += page
            if not page or len(found) >= int(info.get("total", 0)):
                break
        return sorted(key for subject in found if (key := subject[start:]).startswith(prefix))

    async def _call(self, verb: str, body: Any) -> dict[str, Any]:
        return await api.call(await self._link(), f"{verb}.KV_{self._bucket}", body, seconds=_READ_SECONDS)
