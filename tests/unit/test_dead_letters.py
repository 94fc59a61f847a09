"""Dead letters: how they are written for a person, and what redrives one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from eventbus import dead_letters
from eventbus.dead_letters import DeadLetter, Filter, redrive_topic, redriven
from eventbus.memory import MemoryBus
from events.app import dead_letter_texts as texts
from events.app.dead_letters import Selection, discard, found, redrive, since
from events.errors import BusError, UserError
from events.event import Event

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def event(**changes: Any) -> Event:
    return Event(**{"id": "1", "source": "hooks", "type": "webhook", "subject": "orders", "data": b"{}", **changes})


def letter(identity: str = "1", **changes: Any) -> DeadLetter:
    values = {"sensor": "orders", "trigger": "tell", "events": {"posted": event()}, "failed_at": NOW, **changes}
    return DeadLetter(id=identity, namespace="test", reason="action", **values)


# ---- redriving


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nothing",
        b"null",
        b"[]",
        b"{}",
        b'{"letter": "1"}',
        b'{"letter": 1, "redrives": 1}',
        b'{"letter": "1", "redrives": "1"}',
        b'{"letter": "1", "redrives": 0}',
        b'{"letter": "1", "redrives": true}',
    ],
)
def test_an_event_that_does_not_say_what_to_redrive_redrives_nothing(data: bytes) -> None:
    assert redriven(event(source="keryx-redrive", data=data)) is None


def test_an_event_of_another_source_redrives_nothing() -> None:
    assert redriven(event(data=b'{"letter": "1", "redrives": 1}')) is None
    assert redriven(event(source="keryx-redrive", data=b'{"letter": "1", "redrives": 1}')) == ("1", 1)


def test_topics_of_different_triggers_differ() -> None:
    names = ["", "a", "b", "a-", "-a", "a=-b", "=-", "a.b", "ä" * 99, "ä" * 100, "x" * 120, "x" * 121, "x" * 300]
    topics = {redrive_topic(sensor, trigger) for sensor in names for trigger in names}
    assert len(topics) == len(names) ** 2
    assert all(len(name) < 260 and not set(name) & set(". *>") for _, name in topics)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"events": {}}, "could not be read"),
        ({"is_cut": True}, "outgrew the bus"),
        ({"sequences": {"posted": 1, "b": 2}}, "event of b was not"),
    ],
)
def test_a_letter_without_its_events_cannot_be_redriven(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(UserError, match=why):
        dead_letters.redrive_event(letter(**changes))


def test_a_body_that_is_no_event_any_more_leaves_a_letter_without_events() -> None:
    head, _ = dead_letters.encode(letter(), 10_000)
    opened = dead_letters.decode_head(head, 1).open([b"spoilt"])
    assert (opened.events, opened.raw) == ({}, b"spoilt")


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{}", b'{"format": 2}', b'{"format": 1}'])
def test_a_head_of_another_form_is_an_error_that_says_so(data: bytes) -> None:
    with pytest.raises(BusError, match="dead letter"):
        dead_letters.decode_head(data, 7)


# ---- what the commands do


async def test_a_selection_is_ids_or_a_filter_or_all() -> None:
    for one in (Selection(("1",)), Selection(where=Filter(sensor="a")), Selection(is_all=True)):
        one.require()
    for bad in (Selection(), Selection(("1",), is_all=True), Selection(("1",), Filter(reason="a"))):
        with pytest.raises(UserError, match="filter"):
            bad.require()
    with pytest.raises(UserError):
        await discard(MemoryBus(), Selection())


async def test_what_can_be_done_is_done_and_the_rest_is_told() -> None:
    bus = MemoryBus()
    store = await bus.dead_letters()
    for number in range(70):
        await store.add(letter(str(number), events={} if number == 40 else {"posted": event()}))
    done = await redrive(bus, Selection(is_all=True))
    assert len(done.ids) == 69
    assert list(done.failed) == ["40"]
    assert bus.broker.last == 69
    assert len([one async for one in found(store, Filter())]) == 70
    done = await discard(bus, Selection(("3", "never", "3", "4")))
    assert (done.ids, list(done.failed)) == (["3", "4"], ["never"])
    assert len([one async for one in found(store, Filter())]) == 68


async def test_letters_that_come_while_all_are_handled_are_not_among_them() -> None:
    store = await MemoryBus().dead_letters()
    for number in range(3):
        await store.add(letter(str(number)))
    seen = []
    async for one in found(store, Filter()):
        seen.append(one.id)
        await store.remove(one.id)
        await store.add(letter(f"{one.id}-again"))
    assert seen == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1h", NOW - timedelta(hours=1)),
        ("1000m", NOW - timedelta(minutes=1000)),
        ("1h30m", NOW - timedelta(hours=1.5)),
        ("2026-02-01T00:00:00Z", datetime(2026, 2, 1, tzinfo=UTC)),
        ("2026-02-01T02:00:00+02:00", datetime(2026, 2, 1, tzinfo=UTC)),
    ],
)
def test_since(text: str, moment: datetime) -> None:
    assert since(text, NOW) == moment


@pytest.mark.parametrize("text", ["yesterday", "1 h", "", "2026", "99999999h", "2026-02-30T00:00:00Z"])
def test_since_when_it_is_no_time(text: str) -> None:
    with pytest.raises(UserError, match="--since"):
        since(text, NOW)


# ---- what they print


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172800, "2d"), (1e7, "115d")],
)
def test_age(seconds: float, shown: str) -> None:
    assert texts.age(NOW - timedelta(seconds=seconds), NOW) == shown


def test_the_columns_of_a_table_stand_below_each_other() -> None:
    table = texts.Table(NOW)
    lines = list(table.lines([letter("long-id", detail="refused"), letter("2", trigger="x" * 99)]))
    lines += table.lines([letter("3")])
    assert lines[0].split() == ["ID", "SENSOR", "TRIGGER", "REASON", "AGE", "TRIES", "REDRIVES", "ERROR"]
    assert {line.index("orders") for line in lines[1:]} == {lines[0].index("SENSOR")}
    assert {line.index("action") for line in lines[1:]} == {lines[0].index("REASON")}
    assert lines[1].endswith("refused")


def test_nothing_that_a_terminal_obeys_is_printed() -> None:
    bad = "\x1b[2J\u202egnp\x9b\r\n\ttext"
    one = letter(bad, sensor=bad, trigger=bad, detail=bad, events={bad: event(id=bad, data=bad.encode())}, raw=b"\x1b")
    lines = [*texts.Table(NOW).lines([one]), *texts.description(one, NOW)]
    shown = "\n".join(lines)
    assert all(character.isprintable() or character in "\n\t" for character in shown)
    assert r"\x1b[2J\u202egnp" in shown


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b'{"a":1}', '    {\n      "a": 1\n    }'),
        (b'{"a":1.50}', '    {"a":1.50}'),  # the number would change
        (b"plain\ntext", "    plain\n    text"),
        (b"\xff\xfe", "    base64: //4="),
        (b"", "    "),
    ],
)
def test_data_is_shown_readably_and_unchanged(data: bytes, shown: str) -> None:
    assert "\n".join(texts.description(letter(events={"a": event(data=data)}), NOW)).endswith(f"bytes):\n{shown}")


def test_all_of_a_letter_is_shown() -> None:
    one = letter(detail="refused", sequences={"posted": 12}, redrives=1, firing_id="f1", raw=b"raw", is_cut=True)
    shown = "\n".join(texts.description(one, NOW + timedelta(hours=3)))
    for part in (
        "Failed: 2026-03-01 12:00:00 UTC, 3h ago",
        "Error: refused",
        "Redrives: 1",
        "Firing: f1",
        "Cannot be redriven: an event outgrew the bus",
        "Event of dependency posted, number 12 of the bus:",
        "no event (3 bytes):\n    raw",
    ):
        assert part in shown


def test_json_keeps_data_as_it_was_written() -> None:
    events = {"a": event(data=b'{"n": 1.50}', extensions={"rank": 7}), "b": event(data=b"text"), "c": event(data=None)}
    text = texts.document(letter(events=events, raw=b"\xff")).decode()
    assert '"data":{"n": 1.50}' in text
    shown = json.loads(text)
    assert shown["events"]["a"]["rank"] == 7
    assert shown["events"]["b"]["data_base64"] == "dGV4dA=="
    assert "data" not in shown["events"]["c"]
    assert (shown["raw"], shown["canRedrive"], shown["failedAt"]) == ("/w==", True, "2026-03-01T12:00:00Z")
    assert "events" not in json.loads(texts.document(dead_letters.Listed(**head())))


def head() -> dict[str, Any]:
    one = letter()
    return {name: getattr(one, name) for name in dead_letters.Head.__dataclass_fields__}
