"""JSON as Go reads and writes it, and the frames between Keryx and its script worker."""

from __future__ import annotations

from typing import Any

import pytest

from events.scripting import frames
from events.scripting.documents import InvalidDocument, number, read, write


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1"),
        (-0.5, "-0.5"),
        (1.5, "1.5"),
        (1 / 3, "0.3333333333333333"),
        (9007199254740992, "9007199254740992"),
        (2**63, "9223372036854775808"),
        (10**20, "100000000000000000000"),
        (1e20, "100000000000000000000"),
        (1.5e20, "150000000000000000000"),
        (10**21, "1e+21"),
        (1e21, "1e+21"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (0.00001, "0.00001"),
        (0.000001, "0.000001"),
        (1.25e-6, "0.00000125"),
        (1e-7, "1e-7"),
        (-1.5e-10, "-1.5e-10"),
    ],
)
def test_numbers_are_written_as_go_writes_them(value: float, text: str) -> None:
    assert number(value) == text
    assert write({"n": [value]}) == f'{{"n":[{text}]}}'.encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"z": 1, "a": {"c": None, "b": True}}, '{"a":{"b":true,"c":null},"z":1}'),
        ({"a": "1e5", "b": "1.0 <&> ż\n"}, '{"a":"1e5","b":"1.0 <&> ż\\n"}'),
        ({"a": [1e-9, "ż", [], {}, False]}, '{"a":[1e-9,"ż",[],{},false]}'),
    ],
)
def test_keys_come_sorted(value: Any, text: str) -> None:
    assert write(value).decode() == text


def test_what_is_deep_is_written_or_refused() -> None:
    def nested(levels: int) -> Any:
        value: Any = 1
        for _ in range(levels):
            value = [value]
        return value

    assert write(nested(300)) == b"[" * 300 + b"1" + b"]" * 300
    with pytest.raises(InvalidDocument, match="too deep"):
        write(nested(5000))


@pytest.mark.parametrize(
    ("data", "document"),
    [
        (b'{"a":1}', {"a": 1}),
        (b" null ", {}),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"a":1.0}', {"a": 1}),
        (b'{"a":9007199254740993}', {"a": 9007199254740992}),
        (b'{"a":123456789012345678901234}', {"a": 1.2345678901234568e23}),
        (b'{"a":1e3,"b":1.5}', {"a": 1000, "b": 1.5}),
        (b'{"a":"\xff"}', {"a": "\ufffd"}),
        (b'{"a":"\\ud800x","b":1.50}', {"a": "\ufffdx", "b": 1.5}),
        (b'{"a":"\\ud83d\\udc22"}', {"a": "🐢"}),
    ],
)
def test_data_is_read_as_go_reads_it(data: bytes, document: Any) -> None:
    found = read(data)
    assert found == document
    assert [type(value) for value in found.values()] == [type(value) for value in document.values()]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"zz",
        b"[1]",
        b'"x"',
        b"5",
        b"true",
        b'{"a":1e1000}',
        b'{"a":NaN}',
        b'{"a":1.0',
        b"[" * 100_000,
        b'{"a":01}',
    ],
)
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidDocument, match="the event's data is"):
        read(data)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_frames_are_found_however_the_bytes_come(size: int) -> None:
    sent = [(frames.Operation.RUN, 7, b"x" * length) for length in (0, 1, 300)]
    stream = b"".join(frames.request(*one) for one in sent)
    incoming, found = frames.Frames(frames.REQUEST), []
    for at in range(0, len(stream), size):
        found += [(*fields, payload) for fields, payload in incoming.feed(stream[at : at + size])]
    assert found == sent
