"""What is asked of an object and added to its event: metadata, tags, the beginning of its content.

They are an addition, so an event never fails for what S3 refuses to say: it says that it was refused. What S3 is too
busy to say is waited for.
"""

from __future__ import annotations

import asyncio
import base64
import codecs
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import orjson

from events import aws
from events.backoff import Endless
from events.errors import ActionError
from events.logs import Log
from eventsources.s3_fields import DetailFields
from eventsources.s3_records import Record
from eventsources.unusable import Unusable

_READ_SECONDS = 15.0
_CALL_SECONDS = 30.0
_TRIES = 5
_GONE = ("404", "NoSuchKey", "NoSuchVersion", "NoSuchBucket", "PreconditionFailed", "412", "MethodNotAllowed", "405")


class Details:
    """Asks for what a source wants to know of each object."""

    def __init__(self, wanted: DetailFields | None, access: Callable[[], aws.Access], log: Log) -> None:
        self._wanted = wanted if wanted is not None and wanted.is_wanted else None
        self._access, self._clients = access, aws.Latest(_READ_SECONDS)
        self._refused = Unusable(log, text="S3 does not say what an event is to have; it goes without")

    async def of(self, record: Record) -> dict[str, Any]:
        """Nothing for an object that is gone for good; ActionError when S3 stays away."""
        wanted = self._wanted
        if wanted is None or not record.is_there:
            return {}
        pauses = Endless(0.2, 5)
        while True:
            try:
                client = self._clients.of(self._access())
                return await client.run(lambda one: _fetch(one, record, wanted), seconds=_CALL_SECONDS)
            except aws.Refused as error:
                if error.code in _GONE:
                    return {"gone": True}
                if not aws.is_passing(error):
                    self._refused.found(record.id, error, "published without")
                    return {"unavailable": error.code or str(error.status)}
                failure: ActionError = error
            except ActionError as error:
                failure = error
            if pauses.count >= _TRIES:
                raise failure
            await asyncio.sleep(pauses.next())


def _fetch(client: Any, record: Record, wanted: DetailFields) -> dict[str, Any]:
    """In a thread."""
    which = {"Bucket": record.bucket, "Key": record.key}
    if record.version and record.version != "null":
        which["VersionId"] = record.version
    head = client.head_object(**which)
    etag = head.get("ETag", "").strip('"')
    if "VersionId" not in which and record.etag and etag and etag != record.etag:
        return {"gone": True}  # another one has its key: that one's event comes by itself
    found: dict[str, Any] = {}
    content_type = head.get("ContentType", "")
    if wanted.metadata:
        found |= {"contentType": content_type, "userMetadata": head.get("Metadata") or {}}
        if (stored := head.get("LastModified")) is not None:
            found["lastModified"] = stored.strftime("%Y-%m-%dT%H:%M:%SZ")
    if wanted.tags:
        tags = client.get_object_tagging(**which).get("TagSet", ())
        found["tags"] = {tag["Key"]: tag["Value"] for tag in tags}
    limit, size = wanted.content.max_bytes if wanted.content else 0, head.get("ContentLength", 0)
    if wanted.content and _is_of(content_type, wanted.content.types):
        begin = b""
        if size:
            same = {"IfMatch": head["ETag"]} if etag else {}
            answer = client.get_object(**which, Range=f"bytes=0-{limit - 1}", **same)
            with answer["Body"] as body:
                begin = body.read(limit)
        found["content"] = preview(begin, head, is_whole=len(begin) >= size)
    return found


def _is_of(content_type: str, types: list[str] | None) -> bool:
    plain = content_type.partition(";")[0].strip().lower()
    return types is None or any(fnmatchcase(plain, one.strip().lower()) for one in types)


def preview(begin: bytes, head: Mapping[str, Any], *, is_whole: bool) -> dict[str, Any]:
    """The beginning of an object: `json` when it is all and JSON, `text` when it is text, else `base64`."""
    kind, _, parameters = head.get("ContentType", "").lower().partition(";")
    found = _json(begin, kind) if is_whole else None
    if found is None and head.get("ContentEncoding", "") in ("", "identity", "aws-chunked") and b"\0" not in begin:
        text = _text(begin, parameters, is_whole=is_whole)
        found = None if text is None else {"text": text}
    if found is None:
        found = {"base64": base64.b64encode(begin).decode()}
    return found if is_whole else {**found, "truncated": True}


def _json(begin: bytes, kind: str) -> dict[str, Any] | None:
    if not kind.strip().endswith(("/json", "+json")):
        return None
    try:
        return {"json": orjson.loads(begin)}
    except orjson.JSONDecodeError:
        return None


def _text(begin: bytes, parameters: str, *, is_whole: bool) -> str | None:
    """None for what is none; half a character at the end is left out."""
    charset = parameters.partition("charset=")[2].partition(";")[0].strip(" \"'") or "utf-8"
    try:
        text = codecs.getincrementaldecoder(charset)().decode(begin, final=is_whole)
        text.encode()  # a charset may make surrogates
    except (LookupError, UnicodeError, ValueError):
        return None
    return text
