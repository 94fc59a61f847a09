"""What S3 says of an object: records of notifications in all their envelopes. Contract: eventsources 3.6, and ours.

A record stays as it was sent. Where S3 sends none (EventBridge, a list), one of the same shape is made, its key encoded
as in S3's own, so that whoever reads records reads them all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote_plus

import orjson

from events.errors import InvalidEvent
from events.problems import Problems, did_you_mean

PREFIX = "s3:"
CREATED, REMOVED = "s3:ObjectCreated:Put", "s3:ObjectRemoved:Delete"
SEEN = (CREATED, REMOVED)
"""What lists show: an object is there that was not, or another one; and one is there no more."""
TEST_EVENT = "s3:TestEvent"
_KINDS = {
    "ObjectAccessed": "Get Head Attributes GetRetention GetLegalHold",
    "ObjectCreated": "Put Post Copy CompleteMultipartUpload PutRetention PutLegalHold PutTagging DeleteTagging",
    "ObjectRemoved": "Delete DeleteMarkerCreated DeleteAllVersions NoOP",
    "ObjectRestore": "Post Completed Delete",
    "ObjectTransition": "Failed Complete",
    "ObjectTagging": "Put Delete",
    "LifecycleExpiration": "Delete DeleteMarkerCreated",
    "Replication": "OperationFailedReplication OperationCompletedReplication OperationMissedThreshold "
    "OperationReplicatedAfterThreshold OperationNotTracked",
    "Scanner": "ManyVersions LargeVersions BigPrefix",
}
_SINGLE = ("ReducedRedundancyLostObject", "LifecycleTransition", "IntelligentTiering", "ObjectAcl:Put")
_MINIO_ONLY = ("BucketCreated", "BucketRemoved")
NAMES = tuple(
    f"{PREFIX}{name}"
    for name in (
        *_SINGLE,
        *_MINIO_ONLY,
        *(f"{name}:*" for name in (*_KINDS, *_MINIO_ONLY)),
        *(f"{kind}:{action}" for kind, actions in _KINDS.items() for action in actions.split()),
    )
)
"""What S3 and MinIO know."""
_BRIDGED = {
    "Object Created": {
        "": "ObjectCreated:Put",
        "POST Object": "ObjectCreated:Post",
        "CopyObject": "ObjectCreated:Copy",
        "CompleteMultipartUpload": "ObjectCreated:CompleteMultipartUpload",
    },
    "Object Deleted": {"": "ObjectRemoved:Delete", "Delete Marker Created": "ObjectRemoved:DeleteMarkerCreated"},
    "Object Restore Initiated": {"": "ObjectRestore:Post"},
    "Object Restore Completed": {"": "ObjectRestore:Completed"},
    "Object Restore Expired": {"": "ObjectRestore:Delete"},
    "Object Storage Class Changed": {"": "LifecycleTransition"},
    "Object Access Tier Changed": {"": "IntelligentTiering"},
    "Object ACL Updated": {"": "ObjectAcl:Put"},
    "Object Tags Added": {"": "ObjectTagging:Put"},
    "Object Tags Deleted": {"": "ObjectTagging:Delete"},
}
"""EventBridge's detail type -> what made it happen -> S3's name."""


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened to one object."""

    raw: dict[str, Any]
    """As S3 says it."""
    event: str
    """With `s3:` in front, however it was sent."""
    bucket: str
    key: str
    """Decoded."""
    version: str = ""
    """Id of the object's version; empty without versioning."""
    etag: str = ""
    size: int | None = None
    sequencer: str = ""
    time: str = ""

    @property
    def id(self) -> str:
        """The same for every repeat of this record, and for no other; of 32 hexadecimal digits."""
        return digest(self.bucket, self.key, self.version or self.etag, self.sequencer or self.time, self.event)

    @property
    def is_there(self) -> bool:
        """Whether there is an object after it."""
        return not self.event.startswith(("s3:ObjectRemoved:", "s3:LifecycleExpiration:", "s3:ReducedRedundancy"))

    def described(self) -> dict[str, Any]:
        """What most people want of it."""
        found: dict[str, Any] = {"event": self.event, "bucket": self.bucket, "key": self.key, "size": self.size}
        found |= {"eTag": self.etag, "versionId": self.version, "sequencer": self.sequencer, "time": self.time}
        return {name: value for name, value in found.items() if value not in ("", None)}


def digest(*parts: str) -> str:
    """An id that follows from these parts."""
    return hashlib.blake2b(orjson.dumps(parts), digest_size=16).hexdigest()


def named(event: str) -> str:
    """The name of an event with `s3:` in front: AWS leaves it out in records, MinIO does not."""
    return event if event.startswith(PREFIX) else f"{PREFIX}{event}"


def record(raw: Any) -> Record:
    """A record as S3 and MinIO send it; InvalidEvent when it is none."""
    try:
        bucket, about = raw["s3"]["bucket"]["name"], raw["s3"]["object"]
        found = Record(
            raw,
            named(raw["eventName"]),
            bucket,
            unquote_plus(about["key"], errors="replace"),
            _text(about.get("versionId")),
            _text(about.get("eTag")).strip('"'),
            about.get("size"),
            _text(about.get("sequencer")),
            _text(raw.get("eventTime")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidEvent(f"a record without {error}") from error
    if not (isinstance(bucket, str) and bucket and found.key):
        raise InvalidEvent("a record without bucket or key")
    if not isinstance(found.size, int | None):
        raise InvalidEvent(f"a record of an object with the size {found.size!r}")
    return found


def made(
    event: str, bucket: str, key: str, *, region: str = "", etag: str = "", version: str = "", **more: Any
) -> Record:
    """A record in S3's shape where S3 sent none; `more`: size, sequencer, time and what made it."""
    about = {"key": quote(key, safe="/-_.*").replace("%20", "+"), "size": more.get("size"), "eTag": etag}
    about |= {"versionId": version, "sequencer": more.get("sequencer", "")}
    raw = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": more.get("time", ""),
        "eventName": event.removeprefix(PREFIX),
        "userIdentity": {"principalId": more.get("principal", "")},
        "requestParameters": {"sourceIPAddress": more.get("address", "")},
        "responseElements": {"x-amz-request-id": more.get("request", "")},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": more.get("configuration", ""),
            "bucket": {"name": bucket, "ownerIdentity": {"principalId": ""}, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {name: value for name, value in about.items() if value not in ("", None)},
        },
    }
    return record(raw)


def notifications(body: str) -> tuple[list[Record], InvalidEvent | None]:
    """The records in a message of a queue, and what is wrong with those that are missing; none for a test event.

    Straight from S3, out of an SNS notification, or of EventBridge's. InvalidEvent when it is none of them.
    """
    document = _document(body)
    if document.get("Type") == "Notification" and isinstance(document.get("Message"), str):
        document = _document(document["Message"])
    if document.get("Event") == TEST_EVENT:
        return [], None
    if "detail-type" in document:
        return [_bridged(document)], None
    raws = document.get("Records")
    if not isinstance(raws, list):
        raise InvalidEvent("it is no notification of S3")
    found, wrong = list[Record](), None
    for raw in raws:
        try:
            found.append(record(raw))
        except InvalidEvent as error:
            wrong = error
    return found, wrong


def _document(body: str) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidEvent(f"it is no notification of S3: {error}") from error
    if not isinstance(found, dict):
        raise InvalidEvent("it is no notification of S3")
    return found


def _bridged(document: dict[str, Any]) -> Record:
    """EventBridge's event as a record; its key is not encoded."""
    names = _BRIDGED.get(document["detail-type"]) if isinstance(document["detail-type"], str) else None
    if names is None:
        raise InvalidEvent(f"{document['detail-type']!r} of EventBridge says nothing of an object")
    try:
        detail = document["detail"]
        about, cause = detail["object"], detail.get("deletion-type") or detail.get("reason", "")
        return made(
            names.get(cause, names[""]),
            detail["bucket"]["name"],
            about["key"],
            region=_text(document.get("region")),
            etag=_text(about.get("etag")),
            version=_text(about.get("version-id")),
            size=about.get("size"),
            sequencer=_text(about.get("sequencer")),
            time=_text(document.get("time")),
            principal=_text(detail.get("requester")),
            address=_text(detail.get("source-ip-address")),
            request=_text(detail.get("request-id")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidEvent(f"an event of EventBridge without {error}") from error


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


class Events:
    """Which events are wanted: names, a `*` at the end stands for the rest."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(named(name) for name in names)
        self._whole = frozenset(name for name in self.names if not name.endswith("*"))
        self._begin = tuple(name[:-1] for name in self.names if name.endswith("*"))

    def has(self, event: str) -> bool:
        """Whether this one is."""
        return event in self._whole or event.startswith(self._begin) or f"{event}:*" in self.names


def unknown_events(names: Iterable[str]) -> Iterator[tuple[int, str, str]]:
    """Of names that neither S3 nor MinIO knows: number, name, cure."""
    known = (*NAMES, "s3:*")
    for index, name in enumerate(names):
        if name not in known:
            yield index, name, did_you_mean(named(name), known) or "such as s3:ObjectCreated:*"


def check_events(names: Iterable[str], problems: Problems) -> None:
    """Empty names are refused; unknown ones are warned of (N14): servers learn new ones."""
    names = list(names)
    for index, name in enumerate(names):
        if not name:
            problems.error(f"events[{index}]", "must not be empty", "such as s3:ObjectCreated:*")
    for index, name, cure in unknown_events(names):
        if name:
            problems.warn(f"events[{index}]", f"{name!r} is an event that no server is known to have", cure)
