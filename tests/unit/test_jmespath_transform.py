"""Step 7 with JMESPath: the result becomes the data."""

from __future__ import annotations

import pytest

from events.errors import TransformError
from events.event import Event
from events.problems import Problems
from sensors import transform
from sensors.transform import JmespathTransform
from sensors.types import EventDependencyTransformer


def event(data: bytes | None) -> Event:
    return Event(id="1", source="s", type="webhook", subject="e", data=data, datacontenttype="text/plain")


@pytest.mark.parametrize(
    ("text", "data", "result"),
    [
        ("{id: body.id}", b'{"body":{"id":1.50}}', b'{"id":1.5}'),
        ("body[].id", b'{"body":[{"id":1},{},{"id":2}]}', b"[1,2]"),
        ("@", b"[1]", b"[1]"),
    ],
)
async def test_the_result_replaces_the_data_and_nothing_else(text: str, data: bytes, result: bytes) -> None:
    before = event(data)
    after = await JmespathTransform(text).apply(before)
    assert (after.data, after.datacontenttype) == (result, "application/json")
    assert (after.id, after.source, after.type, after.subject) == (before.id, before.source, before.type, "e")


async def test_an_event_without_data_stays_as_it_is() -> None:
    assert await JmespathTransform("a").apply(event(None)) == event(None)


@pytest.mark.parametrize(
    ("text", "data", "message"),
    [
        ("a", b'{"b":1}', "the result is null"),
        ("length(a)", b'{"a":1}', "invalid type"),
        ("a", b"text", "not JSON"),
        ("a", b"", "not JSON"),
    ],
)
async def test_what_gives_no_data_is_a_transform_error(text: str, data: bytes, message: str) -> None:
    with pytest.raises(TransformError, match=message):
        await JmespathTransform(text).apply(event(data))


async def test_what_does_not_compile_is_said_at_validation_and_for_each_event() -> None:
    problems = Problems()
    transform.validate(EventDependencyTransformer(jmespath="a b"), problems)
    assert [problem.path for problem in problems.errors] == ["jmespath"]
    with pytest.raises(TransformError, match="at column 3"):
        await JmespathTransform("a b").apply(event(b"{}"))
