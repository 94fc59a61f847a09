"""The checkpoint as a value and as bytes."""

from __future__ import annotations

import contextlib

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.spine import event

from eventbus.base import Position
from sensors.checkpoint import (
    RECENT,
    Checkpoint,
    CorruptCheckpoint,
    Pending,
    Recent,
    SlotRef,
    decode_head,
    decode_slot,
    encode_head,
    encode_slot,
    identity,
    new_write_id,
    writer_of,
)
from sensors.checkpoint_store import keep_only

NUMBERS = st.integers(0, 2**63 - 1)
NAMES = st.text(min_size=1, max_size=12)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)


def waiting(sequence: int = 3, identity: str = "x", signature: str = "sig", stored_ns: int = 30) -> Pending:
    return Pending(event(identity), sequence, stored_ns, signature)


def recent(*pairs: tuple[int, int]) -> Recent:
    made = Recent()
    for one, sequence in pairs:
        made.add(one, sequence)
    return made


@st.composite
def checkpoints(draw: st.DrawFn) -> tuple[Checkpoint, dict[str, SlotRef]]:
    pending, slots = {}, {}
    for name in draw(st.lists(TEXT, max_size=4, unique=True)):
        pending[name] = Pending(event("e"), draw(NUMBERS), draw(NUMBERS), draw(TEXT))
        slots[name] = SlotRef(pending[name].sequence, pending[name].stored_ns, draw(st.integers(0, 1)))
    claims = draw(st.dictionaries(TEXT, st.dictionaries(TEXT, NUMBERS, max_size=3), max_size=4))
    seen = recent(*draw(st.lists(st.tuples(st.integers(0, 2**64 - 1), NUMBERS), max_size=20)))
    return Checkpoint(Position(draw(TEXT), draw(NUMBERS), draw(NUMBERS)), pending, claims, seen), slots


@given(checkpoints(), st.integers(0, 2**40))
@settings(deadline=None)
def test_a_head_is_read_as_it_was_written(made: tuple[Checkpoint, dict[str, SlotRef]], epoch: int) -> None:
    checkpoint, slots = made
    head = decode_head(encode_head(checkpoint, epoch=epoch, write_id="w.1", uid="u", slots=slots))
    assert (head.epoch, head.write_id, head.uid) == (epoch, "w.1", "u")
    assert head.checkpoint.applied == checkpoint.applied
    assert head.checkpoint.claims == checkpoint.claims
    assert head.checkpoint.recent.pack() == checkpoint.recent.pack()
    assert head.slots == slots
    assert head.signatures == {name: one.signature for name, one in checkpoint.pending.items()}
    assert head.checkpoint.pending == {}  # to be read from the slots


@given(NUMBERS, NUMBERS, st.binary(max_size=50))
@settings(deadline=None)
def test_a_slot_is_read_as_it_was_written(sequence: int, stored_ns: int, data: bytes) -> None:
    one = Pending(event("é\n1", data=data), sequence, stored_ns, "sig")
    assert decode_slot(encode_slot(one)) == (sequence, stored_ns, one.event)


def head_with(**changes: object) -> bytes:
    packed = encode_head(Checkpoint(Position("s", 7, 70)), epoch=1, write_id="w.1", uid="", slots={})
    line, _, rest = packed.partition(b"\n")
    return orjson.dumps(orjson.loads(line) | changes) + b"\n" + rest


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}\n",
        b"not json\n",
        head_with(format=99),
        head_with(epoch="many"),
        head_with(appliedSeq=None),
        head_with(appliedSeq="x"),
        head_with(claims=[]),
        head_with(claims={"f": 3}),
        head_with(claims={"f": {"a": "x"}}),
        head_with(pending={"a": [1, 2]}),
        head_with(pending={"a": [1, 2, 0]}),  # no signature
        head_with(pending={"a": [1, 2, 5, "sig"]}),  # there are two slots
        head_with(pending={"a": 3}),
        head_with() + b"1234567",  # not a whole number of recent events
        head_with() + b"12345678",
    ],
)
def test_a_head_that_cannot_be_read_says_so(data: bytes) -> None:
    with pytest.raises(CorruptCheckpoint):
        decode_head(data)


@given(st.binary(max_size=200), NUMBERS)
@settings(deadline=None, max_examples=300)
def test_any_bytes_are_a_head_or_corrupt(noise: bytes, at: int) -> None:
    whole = encode_head(
        Checkpoint(Position("s", 7, 70), {"a": waiting()}, {"f": {"a": 1}}, recent((1, 2), (3, 4))),
        epoch=1,
        write_id="w.1",
        uid="u",
        slots={"a": SlotRef(3, 30, 1)},
    )
    at %= len(whole)
    for data in (noise, whole[:at], whole[:at] + noise + whole[at:]):
        with contextlib.suppress(CorruptCheckpoint):
            decode_head(data)
        with contextlib.suppress(CorruptCheckpoint):
            decode_slot(data)


@pytest.mark.parametrize("data", [b"", b"1 2", b"1\n{}", b"1 2 3\n{}", b"a b\n{}", b"1 2\nnull", b"1 2\n{}"])
def test_a_slot_that_cannot_be_read_says_so(data: bytes) -> None:
    with pytest.raises(CorruptCheckpoint):
        decode_slot(data)


def test_the_last_512_events_are_remembered() -> None:
    seen = recent(*((number, number * 10) for number in range(RECENT + 3)))
    assert [seen.get(number) for number in range(5)] == [None, None, None, 30, 40]
    assert seen.get(RECENT + 2) == (RECENT + 2) * 10
    assert len(seen.pack()) == RECENT * 16
    assert Recent.unpack(seen.pack()).pack() == seen.pack()


def test_a_copy_of_recent_events_is_independent() -> None:
    seen = recent((1, 10))
    other = seen.copy()
    other.add(2, 20)
    other.forget_sequences()
    assert (seen.get(1), seen.get(2)) == (10, None)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (event("1"), True),
        (event("1", data=b"[]"), True),  # the data does not identify an event
        (event("2"), False),
        (event("1", name="refunds"), False),
        (event("1", source="other"), False),
        (event("s1", name="order"), False),  # parts do not run into each other
    ],
)
def test_source_name_and_id_identify_an_event(other: object, same: bool) -> None:
    assert (identity(event("1")) == identity(other)) is same  # type: ignore[arg-type]
    assert 0 <= identity(event("1")) < 2**64


def test_going_on_keeps_what_was_seen_and_what_waits() -> None:
    checkpoint = Checkpoint(Position("s", 5, 50), {"a": waiting()}, recent=recent((1, 4)))
    checkpoint.advance(Position("s", 9, 90))
    assert checkpoint.applied == Position("s", 9, 90)
    assert checkpoint.recent.get(1) == 4
    assert checkpoint.pending["a"].sequence == 3


def test_in_another_stream_sequences_mean_nothing_but_events_are_kept() -> None:
    checkpoint = Checkpoint(Position("s", 5, 50), {"a": waiting()}, {"f": {"a": 2}}, recent((1, 4)))
    checkpoint.advance(Position("other", 4, 90))
    assert checkpoint.recent.get(1) == 0
    assert checkpoint.pending["a"].event == event("x")
    assert (checkpoint.pending["a"].sequence, checkpoint.pending["a"].stored_ns) == (0, 30)
    assert checkpoint.claims == {"f": {"a": 2}}


def test_in_a_stream_that_lost_its_tail_an_event_that_comes_again_is_no_replay() -> None:
    checkpoint = Checkpoint(Position("s", 5, 50), {"a": waiting()}, recent=recent((1, 4)))
    checkpoint.advance(Position("s", 4, 90))
    assert checkpoint.recent.get(1) == 0
    assert checkpoint.pending["a"].sequence == 3


def test_a_copy_is_independent() -> None:
    checkpoint = Checkpoint(Position("s", 5, 50), {"a": waiting()}, {"f": {"a": 2}}, recent((1, 4)))
    other = checkpoint.copy()
    other.advance(Position("t", 1, 60))
    other.pending["b"] = waiting()
    del other.claims["f"]
    assert checkpoint.applied == Position("s", 5, 50)
    assert checkpoint.pending == {"a": waiting()}
    assert checkpoint.claims == {"f": {"a": 2}}
    assert checkpoint.recent.get(1) == 4


@pytest.mark.parametrize(
    ("signatures", "kept", "dropped"),
    [
        ({"a": "1", "b": "2"}, ["a", "b"], []),
        ({"a": "1", "b": "edited"}, ["a"], ["b"]),
        ({"a": "1"}, ["a"], ["b"]),  # no part of the conditions any more
        ({}, [], ["a", "b"]),
        ({"a": "1", "b": "2", "new": "3"}, ["a", "b"], []),
    ],
)
def test_an_edit_drops_what_waits_for_a_changed_dependency_alone(
    signatures: dict[str, str], kept: list[str], dropped: list[str]
) -> None:
    pending = {"a": waiting(signature="1"), "b": waiting(signature="2")}
    before = Checkpoint(Position("s", 5, 50), pending, {"f": {"a": 2}}, recent((1, 4)))
    after, gone = keep_only(before, signatures)
    assert list(after.pending) == kept
    assert [name for name, _ in gone] == dropped
    assert (after.applied, after.claims, after.recent) == (before.applied, before.claims, before.recent)
    assert before.pending == pending


def test_writes_of_one_writer_are_told_apart_and_recognised() -> None:
    one, other = new_write_id("w"), new_write_id("w")
    assert one != other
    assert writer_of(one) == writer_of(other) == "w"
