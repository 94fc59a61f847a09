"""Events on the wire, beyond what the recorded cases say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.errors import InvalidEvent
from events.event import Event, decode, from_wire, published, to_wire

ATTRIBUTES = {"specversion": "1.0", "id": "i", "source": "s", "type": "t"}


def wire(**members: Any) -> bytes:
    return json.dumps(ATTRIBUTES | members).encode()


@given(
    st.builds(
        published,
        source=st.text(),
        subject=st.text(alphabet=st.characters(codec="utf-8")),
        type=st.text(alphabet=st.characters(codec="utf-8"), min_size=1),
        data=st.none() | st.binary(),
    )
)
def test_what_is_published_is_read(event: Event) -> None:
    if event.source and event.type:
        assert from_wire(to_wire(event)) == event


def test_an_event_that_others_wrote_is_written_as_it_was() -> None:
    text = wire(datacontenttype="application/json", data={"a": "<"}, flag=True, num=5.9).decode().replace(" ", "")
    event = from_wire(text.encode())
    assert event.extensions == {"flag": True, "num": 5}
    assert to_wire(event) == text.replace("<", "\\u003c").replace("5.9", "5").encode()
    assert json.loads(to_wire(event.with_data(b"{}")))["data_base64"] == "e30="


@pytest.mark.parametrize("name", ["id", "source", "type"])
def test_an_event_that_lacks_an_attribute_can_be_told_but_is_not_taken(name: str) -> None:
    lacking = json.dumps({key: value for key, value in ATTRIBUTES.items() if key != name}).encode()
    assert getattr(decode(lacking), name) == ""
    with pytest.raises(InvalidEvent, match=f"{name} is missing"):
        from_wire(lacking)


@pytest.mark.parametrize(
    "members",
    [
        {"specversion": None},
        {"specversion": "2.0"},
        {"id": 5},
        {"source": ""},
        {"source": "1:2"},
        {"time": "2026-03-14t09:26:53z"},
        {"time": "2026-02-30T00:00:00Z"},
        {"data_base64": None},
        {"data_base64": "eyJhIjoxfQ"},
        {"datacontenttype": "text/plain", "data": 5},
        {"specversion": "0.3", "datacontentencoding": "gzip", "data": ""},
        {"my-ext": 1},
        {"ID": "x"},
        {"ext": 1e12},
        {"ext": [1]},
    ],
)
def test_what_is_no_event(members: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        decode(wire(**members))


@pytest.mark.parametrize(
    ("time", "read"),
    [
        ("2026-03-14T9:26:53Z", "2026-03-14T09:26:53Z"),
        ("2026-03-14T09:26:53,50Z", "2026-03-14T09:26:53.5Z"),
        ("2024-02-29T23:59:59.1234567891+00:30", "2024-02-29T23:29:59.123456789Z"),
        ("2026-03-31T00:00:00.1Z", "2026-03-31T00:00:00.1Z"),
        ("", ""),
        (None, ""),
    ],
)
def test_times_are_read_as_go_reads_them(time: Any, read: str) -> None:
    assert decode(wire(time=time)).time == read


def test_version_0_3_has_its_own_way_with_base64() -> None:
    event = decode(wire(specversion="0.3", datacontentencoding="base64", datacontenttype="text/plain", data="eA=="))
    assert event.data == b"x"
    assert json.loads(to_wire(event))["data"] == "eA=="
    assert from_wire(to_wire(event)) == event
