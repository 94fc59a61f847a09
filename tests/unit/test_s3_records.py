"""Records of S3 in all their envelopes, names of events, and what is wrong with a spec of `s3`. Pure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from events.errors import InvalidEvent
from events.problems import Problems
from eventsources import s3_records
from eventsources.s3_fields import Chosen, ObjectFilter
from eventsources.s3_records import Events, made, notifications, record
from eventsources.sources.minio import MinioSource
from eventsources.sources.s3 import S3Source

RAW: dict[str, Any] = {
    "eventName": "ObjectCreated:Put",
    "eventTime": "2026-11-21T10:00:00.000Z",
    "s3": {"bucket": {"name": "b"}, "object": {"key": "a%2Fb+c%2B", "size": 3, "eTag": '"e"', "sequencer": "1"}},
}


def test_a_record_is_read_and_its_key_decoded() -> None:
    found = record(RAW)
    assert (found.event, found.bucket, found.key, found.size) == ("s3:ObjectCreated:Put", "b", "a/b c+", 3)
    assert found.described() == {
        "event": "s3:ObjectCreated:Put",
        "bucket": "b",
        "key": "a/b c+",
        "size": 3,
        "eTag": "e",
        "sequencer": "1",
        "time": "2026-11-21T10:00:00.000Z",
    }
    assert found.raw is RAW


@pytest.mark.parametrize(
    "change",
    [{"sequencer": "2"}, {"versionId": "v"}, {"key": "other"}, {"eTag": "f", "sequencer": "1"}],
)
def test_ids_differ_where_the_records_do(change: dict[str, Any]) -> None:
    other = RAW | {"s3": {"bucket": {"name": "b"}, "object": RAW["s3"]["object"] | change}}
    assert record(other).id != record(RAW).id
    assert record(json.loads(json.dumps(RAW))).id == record(RAW).id
    assert record(RAW | {"eventName": "s3:ObjectCreated:Put"}).id == record(RAW).id
    assert record(RAW | {"eventName": "ObjectTagging:Put"}).id != record(RAW).id


@pytest.mark.parametrize("key", ["a b", "a+b", "ü/ö", "%41", "a&b=c?d#e", "🎈", "x" * 1024, ".", "a\nb"])
def test_a_record_that_is_made_has_the_key_as_s3_would_write_it(key: str) -> None:
    found = made(s3_records.CREATED, "b", key, etag="e", size=1)
    assert found.key == key
    assert found.raw["s3"]["object"]["key"].isascii()
    assert record(found.raw).key == key


@pytest.mark.parametrize(
    "raw",
    [None, 5, {}, {"s3": {}}, RAW | {"eventName": None}, RAW | {"s3": {"bucket": {"name": ""}, "object": {"key": "a"}}}]
    + [RAW | {"s3": {"bucket": {"name": "b"}, "object": {"key": key}}} for key in ("", None, 5)]
    + [RAW | {"s3": {"bucket": {"name": "b"}, "object": {"key": "a", "size": "5"}}}],
)
def test_what_is_no_record_is_refused(raw: Any) -> None:
    with pytest.raises(InvalidEvent):
        record(raw)


def test_one_bad_record_does_not_hide_the_good_ones() -> None:
    found, wrong = notifications(json.dumps({"Records": [RAW, 5, RAW]}))
    assert len(found) == 2
    assert isinstance(wrong, InvalidEvent)


@pytest.mark.parametrize(
    ("detail_type", "detail", "event"),
    [
        ("Object Created", {"reason": "PutObject"}, "s3:ObjectCreated:Put"),
        ("Object Created", {"reason": "POST Object"}, "s3:ObjectCreated:Post"),
        ("Object Created", {"reason": "CompleteMultipartUpload"}, "s3:ObjectCreated:CompleteMultipartUpload"),
        ("Object Deleted", {"deletion-type": "Permanently Deleted"}, "s3:ObjectRemoved:Delete"),
        ("Object Deleted", {"deletion-type": "Delete Marker Created"}, "s3:ObjectRemoved:DeleteMarkerCreated"),
        ("Object Tags Added", {}, "s3:ObjectTagging:Put"),
        ("Object ACL Updated", {}, "s3:ObjectAcl:Put"),
    ],
)
def test_names_of_eventbridge_become_those_of_s3(detail_type: str, detail: dict[str, Any], event: str) -> None:
    document = {"detail-type": detail_type, "detail": {"bucket": {"name": "b"}, "object": {"key": "a+b"}} | detail}
    [found], wrong = notifications(json.dumps(document))
    assert (found.event, found.key, wrong) == (event, "a+b", None)


@pytest.mark.parametrize(
    "body", ["", "x", "[]", "{}", '{"Type":"Notification","Message":5}', '{"detail-type":[]}', "\ud800"]
)
def test_what_is_no_notification_is_refused(body: str) -> None:
    with pytest.raises(InvalidEvent):
        notifications(body)


@pytest.mark.parametrize(
    ("wanted", "event", "passes"),
    [
        ("s3:ObjectCreated:*", "s3:ObjectCreated:Put", True),
        ("ObjectCreated:*", "s3:ObjectCreated:Copy", True),
        ("s3:*", "s3:ObjectRemoved:Delete", True),
        ("s3:ObjectCreated:Put", "s3:ObjectCreated:Copy", False),
        ("s3:BucketCreated:*", "s3:BucketCreated", True),
        ("s3:ObjectRemoved:*", "s3:ObjectCreated:Put", False),
    ],
)
def test_events_are_chosen_by_name(wanted: str, event: str, passes: bool) -> None:
    assert Events([wanted]).has(event) is passes


def test_keys_are_chosen_decoded() -> None:
    chosen = Chosen(
        ["b"], Events(["s3:*"]), ObjectFilter.parse({"prefix": "a/b c", "suffix": "+", "regex": "^a/b .[+]$"})
    )
    assert chosen.has(record(RAW))
    assert not Chosen(["other"], Events(["s3:*"]), None).has(record(RAW))


QUEUE = {"mode": "sqs", "region": "eu", "queue": {"name": "q"}}
POLL = {"mode": "poll", "region": "eu", "buckets": ["b"]}


@pytest.mark.parametrize(
    ("spec", "path", "text"),
    [
        ({}, "mode", "required"),
        ({**QUEUE, "mode": "pol"}, "mode", "poll"),
        ({"mode": "sqs", "region": "eu"}, "queue", "required"),
        ({**QUEUE, "queue": {}}, "queue.name", "required"),
        ({**QUEUE, "queue": {"name": "q", "receivers": 99}}, "queue.receivers", "1 to 32"),
        ({**QUEUE, "notification": {"create": True}}, "buckets", "required"),
        ({"mode": "poll", "region": "eu"}, "buckets", "required"),
        ({**POLL, "buckets": ["a/b"]}, "buckets[0]", "name alone"),
        ({**POLL, "poll": {"interval": "10ms"}}, "poll.interval", "shorter"),
        ({**POLL, "poll": {"interval": "soon"}}, "poll.interval", "soon"),
        ({**POLL, "events": ["s3:ObjectCreated:Copy"]}, "events", "a list shows none"),
        ({**POLL, "events": [""]}, "events[0]", "empty"),
        ({**POLL, "events": ["s3:ObjectCreatd:*"]}, "events[0]", "s3:ObjectCreated:*"),
        ({**POLL, "filter": {"regex": "("}}, "filter.regex", "RE2"),
        ({**POLL, "object": {"content": {"maxBytes": 1 << 20}}}, "object.content.maxBytes", "must fit"),
        ({**POLL, "queue": {"name": "q"}}, "queue", "no effect"),
        ({**POLL, "mode": "listen"}, "endpoint", "required"),
        ({**POLL, "mode": "listen", "endpoint": "http://m", "buckets": ["a", "b"]}, "buckets", "one bucket"),
        ({**POLL, "region": ""}, "region", "required"),
    ],
)
def test_what_is_wrong_with_a_spec_is_said(spec: dict[str, Any], path: str, text: str) -> None:
    problems = Problems()
    S3Source.validate(S3Source.Spec.parse(spec), problems)
    assert [str(one) for one in problems if one.path == path and text in str(one)], [str(one) for one in problems]


@pytest.mark.parametrize("spec", [QUEUE, POLL, {**POLL, "mode": "listen", "endpoint": "http://m"}])
def test_what_is_right_is_not_complained_about(spec: dict[str, Any]) -> None:
    problems = Problems()
    S3Source.validate(S3Source.Spec.parse(spec), problems)
    assert list(problems) == []


def test_a_name_that_no_server_knows_is_a_warning_of_minio() -> None:
    keys = {"accessKey": {"name": "n", "key": "k"}, "secretKey": {"name": "n", "key": "k"}}
    spec = {"endpoint": "m:9000", "bucket": {"name": "b"}, "events": ["s3:ObjectCreated:Putt"], **keys}
    problems = Problems()
    MinioSource.validate(MinioSource.Spec.parse(spec), problems)
    [one] = list(problems)
    assert (one.path, problems.errors) == ("events[0]", [])
    assert "s3:ObjectCreated:Put" in str(one)
