"""The objects of a bucket, page by page, in the order of their keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from events import aws
from events.backoff import Endless
from events.errors import ActionError, UserError

_READ_SECONDS = 30.0
_CALL_SECONDS = 60.0
_TRIES = 5
"""In a row, of what may succeed a moment later; then it is the source's failure."""


class Listed(NamedTuple):
    """An object as a list shows it."""

    key: str
    etag: str
    modified: int
    """Unix seconds, by the server's clock."""
    size: int


@dataclass(frozen=True, slots=True)
class Page:
    """Some of them."""

    objects: list[Listed]
    at: int
    """Unix seconds at which it was answered, by the server's clock: ours may differ."""


class Lister:
    """Lists buckets."""

    def __init__(self, access: Callable[[], aws.Access]) -> None:
        """`access` is asked before every call, so that keys may be rotated."""
        self._access, self._clients = access, aws.Latest(_READ_SECONDS)

    async def pages(self, bucket: str, prefix: str) -> AsyncGenerator[Page]:
        """All of them. aws.Refused, ActionError; UserError when they are not in order."""
        wanted: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        last = ""
        while True:
            answer = await self._ask(wanted)
            page = _page(answer)
            for one in page.objects:
                if one.key <= last:
                    what = f"lists {bucket} out of order: {one.key!r} after {last!r}"
                    raise UserError(f"the server {what}", path="mode", cure="use mode: sqs or mode: listen")
                last = one.key
            yield page
            if not answer.get("IsTruncated"):
                return
            wanted["ContinuationToken"] = answer["NextContinuationToken"]

    async def _ask(self, wanted: dict[str, Any]) -> dict[str, Any]:
        pauses = Endless(0.5, 10)
        while True:
            client = self._clients.of(self._access())
            try:
                return await client.run(lambda one: one.list_objects_v2(**wanted), seconds=_CALL_SECONDS)
            except ActionError as error:
                if not aws.is_passing(error) or pauses.count >= _TRIES:
                    raise
            await asyncio.sleep(pauses.next())


def _page(answer: dict[str, Any]) -> Page:
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        at = parsedate_to_datetime(date)
    except ValueError:
        at = datetime.now(UTC)
    rows = [
        Listed(one["Key"], one.get("ETag", "").strip('"'), int(one["LastModified"].timestamp()), one.get("Size", 0))
        for one in answer.get("Contents", ())
    ]
    return Page(rows, int(at.timestamp()))
