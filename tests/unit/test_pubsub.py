"""What of the pubSub source needs no Pub/Sub. Contract: eventsources 3.9."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from events.problems import Problems
from eventsources.sources.pub_sub import PubSubSource, PubSubSpec, made_up


def fnv(text: bytes) -> int:
    return functools.reduce(lambda number, byte: ((number ^ byte) * 0x01000193) % 2**32, text, 0x811C9DC5)


def test_fnv_as_published() -> None:
    assert (fnv(b""), fnv(b"a"), fnv(b"foobar")) == (0x811C9DC5, 0xE40C292C, 0xBF9CF968)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({}, b""),
        (
            {
                "filter": {"expression": "a < b"},
                "metadata": {"b": "2", "a": "1"},
                "jsonBody": True,
                "deleteSubscriptionOnFinish": True,
                "credentialSecret": {"name": "n", "key": "k"},
            },
            b',"credentialSecret":{"name":"n","key":"k"},"deleteSubscriptionOnFinish":true,"jsonBody":true,'
            b'"metadata":{"a":"1","b":"2"},"filter":{"expression":"a \\u003c b"}',
        ),
        ({"jsonBody": False, "endpoint": "host:1", "maxOutstandingMessages": 5}, b""),
    ],
)
def test_the_name_of_a_subscription_without_one_is_upstreams(more: dict[str, Any], text: bytes) -> None:
    spec = PubSubSpec.parse({"topic": "t", **more})
    expected = b'ev{"projectID":"p","topicProjectID":"q","topic":"t","subscriptionID":""' + text + b"}"
    assert made_up("ev", spec, "p", "q") == f"ev-{fnv(expected)}"


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ({}, "topic or subscriptionID is required"),
        ({"subscriptionID": "s", "topicProjectID": "p"}, "means nothing without a topic"),
        ({"topic": "t", "maxOutstandingMessages": 0}, "write 1 to 10000"),
        ({"topic": "t", "endpoint": "https://x"}, "write host:port"),
    ],
)
def test_validation(spec: dict[str, Any], what: str) -> None:
    problems = Problems()
    PubSubSource.validate(PubSubSpec.parse(spec), problems)
    assert [what in str(one) for one in problems.errors] == [True]
