"""An object in S3, or in anything that speaks its protocol, as an artifact. Contract: sensors D.16.

Upstream cuts a longer object short without a word; here it is an error. Every attempt asks the server, with the ETag of
the last answer, so an unchanged object is not sent again (P5).
"""

from __future__ import annotations

from typing import Any

from events import aws
from events.credentials import Credentials
from events.errors import ActionError
from events.problems import Problems
from sensors.artifacts.locations import S3Artifact
from sensors.artifacts.reading import Refused, decoded, too_large

LIMIT = 1_253_376
"""Bytes."""
SECONDS = 10.0
"""Until the whole object must be there."""
_REGION = "us-east-1"
_NOT_MODIFIED = 304
_PASSING = (408, 429)


class S3Reader:
    """One object; keeps the last version of it."""

    def __init__(self, location: S3Artifact, credentials: Credentials, seconds: float = SECONDS) -> None:
        self._location, self._credentials, self._seconds = location, credentials, seconds
        self._name = f"s3 object {location.bucket.key!r} of bucket {location.bucket.name!r}"
        self._access: aws.Access | None = None
        self._client: aws.Client | None = None
        self._etag, self._text = "", ""

    async def read(self) -> str:
        """The text of the object."""
        bucket, client = self._location.bucket, self._connected()
        if not bucket.name or not bucket.key:
            raise Refused("s3.bucket.name and s3.bucket.key are required")
        wanted = {"Bucket": bucket.name, "Key": bucket.key}
        if self._etag:
            wanted["IfNoneMatch"] = self._etag
        try:
            content, etag = await client.run(lambda s3: _get(s3, wanted), seconds=self._seconds)
        except aws.Refused as error:
            if error.status == _NOT_MODIFIED and self._etag:
                return self._text
            is_passing = error.status >= 500 or error.status in _PASSING
            raise (ActionError if is_passing else Refused)(f"{self._name}: {error}") from error
        except ActionError as error:
            raise ActionError(f"{self._name}: {error}") from error
        if len(content) > LIMIT:
            raise too_large(self._name, LIMIT)
        text = decoded(content, self._name)
        self._etag, self._text = etag, text if etag else ""
        return text

    def _connected(self) -> aws.Client:
        """A client with the keys as they are now."""
        location = self._location
        scheme = "http" if location.insecure else "https"
        if problem := _endpoint_problem(location.endpoint):
            raise Refused(problem)
        access = aws.Access(
            "s3",
            location.region or _REGION,
            self._credentials.value(location.access_key).strip(),
            self._credentials.value(location.secret_key).strip(),
            endpoint=f"{scheme}://{location.endpoint}",
        )
        if self._client is None or access != self._access:
            self._client, self._access = aws.Client(access, self._seconds), access
            self._etag = ""
        return self._client


def validate(location: S3Artifact, problems: Problems) -> None:
    """As upstream, only warned about: the trigger's parameters may put it right."""
    if problem := _endpoint_problem(location.endpoint):
        problems.warn("endpoint", problem, "write host:port, and insecure: true for plain HTTP")
    for field in ("name", "key"):
        if not getattr(location.bucket, field):
            problems.warn(f"bucket.{field}", "is empty: every attempt fails")


def _endpoint_problem(endpoint: str) -> str:
    if not endpoint:
        return "s3.endpoint is empty"
    is_host = "/" not in endpoint and not any(char.isspace() for char in endpoint)
    return "" if is_host else f"{endpoint!r} is not a host and a port"


def _get(s3: Any, wanted: dict[str, str]) -> tuple[bytes, str]:
    """The object, up to one byte over the limit, and its ETag; OSError when the connection broke."""
    answer = s3.get_object(**wanted)
    with answer["Body"] as body:
        content = body.read(LIMIT + 1)
    if len(content) < min(answer.get("ContentLength", 0), LIMIT + 1):
        raise OSError("the connection broke before the end")
    return content, answer.get("ETag", "")
