"""What Argo Events' own sensor left, made our first checkpoint; and the floors in it. Contract: sensors E.3, B.5."""

from __future__ import annotations

from typing import Any

import pytest
from support.spine import delivery, dependency, event, pipeline

from eventbus.base import Position
from eventbus.former import Former, FormerPending, Taken
from sensors.checkpoint import Checkpoint, Floor, decode_head, encode_head, identity
from sensors.decision import Outcome
from sensors.former import Upstream, adopted, as_upstream
from sensors.former_hashes import dependency_hash
from sensors.pipeline import Pipeline, Step
from sensors.types import EventDependency

A, B = dependency("a"), dependency("b")
TOPIC_A, TOPIC_B = ("hooks", "a"), ("hooks", "b")
SIGNATURES = {"a": "sig-a", "b": "sig-b", "a2": "sig-a2"}


def upstream(expression: str | None = "a && b", *specs: EventDependency) -> Upstream:
    specs = specs or (A, B)
    return as_upstream(expression, pipeline(expression, *specs).condition, {spec.name: spec for spec in specs})


def waiting(sequence: int = 4, name: str = "a") -> FormerPending:
    return FormerPending(event(f"{name}{sequence}", name=name), sequence, 1000 + sequence)


def left(**more: Any) -> Former:
    known = {"expression": "a && b", "hashes": {one.name: dependency_hash(one) for one in (A, B)}, "pending": {}}
    usual = {"after": Position("s1", 2, 1002), "taken": {TOPIC_A: Taken(9), TOPIC_B: Taken(2)}}
    return Former(**(usual | known | more))


# ---- the checkpoint


def test_it_starts_before_the_first_event_that_was_left_and_knows_what_is_done_after_it() -> None:
    checkpoint, ends = adopted(left(), upstream(), SIGNATURES)
    assert (checkpoint.applied, ends) == (Position("s1", 2, 1002), [])
    assert checkpoint.floors == {TOPIC_A: Floor(9)}, "the other floor is not above the position"


def test_a_waiting_event_is_adopted_with_its_place_and_time() -> None:
    checkpoint, ends = adopted(left(pending={"a": waiting()}), upstream(), SIGNATURES)
    (kept,) = checkpoint.pending.values()
    assert (kept.event, kept.sequence, kept.stored_ns, kept.signature) == (event("a4", name="a"), 4, 1004, "sig-a")
    assert checkpoint.recent.get(identity(kept.event)) == 4
    assert ends == []


@pytest.mark.parametrize(
    ("former", "mine", "why"),
    [
        ({}, upstream("a && b", dependency("a", filters={"script": "return true"}), B), "its dependency was edited"),
        ({}, upstream("a && b", dependency("a", filters={"jmespath": "x"}), B), "its dependency was edited"),
        ({}, upstream("b && a"), "the conditions were edited"),
        ({}, upstream("a || b"), "the conditions were edited"),
        ({}, upstream(None), "the conditions were edited"),
        ({"expression": None}, upstream(), "what it waited for cannot be read"),
        ({"hashes": None}, upstream(), "what it waited for cannot be read"),
        ({"hashes": {}}, upstream(), "its dependency was edited"),
        ({"expression": "a || b"}, upstream("a || b"), "the conditions were edited"),  # there nothing can wait
    ],
)
def test_what_waited_for_something_else_ends(former: dict[str, Any], mine: Upstream, why: str) -> None:
    checkpoint, (end,) = adopted(left(pending={"a": waiting()}, **former), mine, SIGNATURES)
    assert checkpoint.pending == {}
    assert (end.outcome, end.reason, end.sequence, end.event_id) == (Outcome.RESET, "edited", 4, "a4")
    assert end.detail.endswith(why)


def test_an_edit_of_one_dependency_leaves_the_event_of_the_other() -> None:
    mine = upstream("a && b", dependency("a", filters={"script": "return true"}), B)
    both = {"a": waiting(3, "a"), "b": waiting(4, "b")}
    checkpoint, ends = adopted(left(pending=both), mine, SIGNATURES)
    assert list(checkpoint.pending) == ["b"]
    assert [end.dependency for end in ends] == ["a"]


def test_an_absent_expression_is_the_empty_text() -> None:
    checkpoint, _ = adopted(left(pending={"a": waiting()}, expression=""), upstream(None), SIGNATURES)
    assert list(checkpoint.pending) == ["a"]


def test_what_was_left_unacknowledged_is_ours_unless_its_event_waits_already() -> None:
    taken = {TOPIC_A: Taken(9, frozenset({3, 4})), TOPIC_B: Taken(2)}
    checkpoint, _ = adopted(left(pending={"a": waiting(4)}, taken=taken), upstream(), SIGNATURES)
    floor = checkpoint.floors[TOPIC_A]
    assert [at for at in range(1, 12) if not floor.has(at, "a")] == [3, 10, 11]


def test_of_two_dependencies_on_one_topic_only_the_one_that_kept_it_has_done_it() -> None:
    twins = dependency("a"), dependency("a2", "a")
    mine = upstream("a && a2", *twins)
    former = left(
        pending={"a": waiting(4)},
        taken={TOPIC_A: Taken(9, frozenset({4}))},
        expression="a && a2",
        hashes={one.name: dependency_hash(one) for one in twins},
    )
    floor = adopted(former, mine, SIGNATURES)[0].floors[TOPIC_A]
    assert floor.has(4, "a")
    assert not floor.has(4, "a2")
    assert floor.has(5, "a2")


# ---- in the pipeline


def start(**more: Any) -> tuple[Pipeline, Checkpoint]:
    pipe = pipeline("a && b", A, B)
    known = {one.name: one.signature for one in pipe._dependencies}
    return pipe, adopted(left(**more), upstream(), known)[0]


async def fold(pipe: Pipeline, checkpoint: Checkpoint, sequence: int, name: str, *, error: str = "") -> Step:
    one = None if error else event(f"{name}{sequence}", name=name)
    return pipe.fold(checkpoint, await pipe.prepare(delivery(sequence, one, error=error)))


async def test_what_is_done_leaves_no_trace_and_the_position_moves() -> None:
    pipe, checkpoint = start()
    step = await fold(pipe, checkpoint, 5, "a")
    assert (step.firings, step.decisions, step.accepted) == ([], [], None)
    assert checkpoint.applied.sequence == 5
    assert checkpoint.pending == {}


async def test_another_topic_is_not_concerned() -> None:
    pipe, checkpoint = start()
    await fold(pipe, checkpoint, 3, "b")
    assert list(checkpoint.pending) == ["b"]
    await fold(pipe, checkpoint, 9, "a")
    assert list(checkpoint.pending) == ["b"]
    (firing,) = (await fold(pipe, checkpoint, 10, "a")).firings
    assert firing.sequences == {"a": 10, "b": 3}


async def test_the_floors_go_when_the_position_has_passed_the_highest() -> None:
    pipe, checkpoint = start()
    await fold(pipe, checkpoint, 9, "a")
    assert checkpoint.floors, "needed for the event at the floor itself"
    await fold(pipe, checkpoint, 10, "b")
    assert checkpoint.floors == {}


@pytest.mark.parametrize("position", [Position("s2", 4, 9), Position("s1", 2, 9)])
def test_another_stream_and_one_that_lost_its_tail_give_the_numbers_again(position: Position) -> None:
    checkpoint = Checkpoint(Position("s1", 5, 5), floors={TOPIC_A: Floor(9)})
    checkpoint.advance(position)
    assert checkpoint.floors == {}


async def test_an_unacknowledged_event_does_not_replace_a_newer_one_that_waits() -> None:
    pipe, checkpoint = start(pending={"a": waiting(6)}, taken={TOPIC_A: Taken(9, frozenset({4})), TOPIC_B: Taken(2)})
    (end,) = (await fold(pipe, checkpoint, 4, "a")).decisions
    assert (end.outcome, end.event_id) == (Outcome.SUPERSEDED, "a4")
    assert checkpoint.pending["a"].sequence == 6


@pytest.mark.parametrize(("taken", "failed"), [({TOPIC_A: Taken(9), TOPIC_B: Taken(4)}, 0), ({TOPIC_A: Taken(9, frozenset({4})), TOPIC_B: Taken(9)}, 1)])  # fmt: skip  # noqa: E501
async def test_what_is_no_event_was_thrown_away_unless_it_may_have_been_left(taken: Any, failed: int) -> None:
    pipe, checkpoint = start(taken=taken)
    assert len((await fold(pipe, checkpoint, 4, "", error="not JSON")).decisions) == failed


async def test_the_copy_of_a_checkpoint_keeps_its_own_floors() -> None:
    pipe, checkpoint = start()
    copy = checkpoint.copy()
    await fold(pipe, copy, 10, "b")
    assert copy.floors == {}
    assert checkpoint.floors == {TOPIC_A: Floor(9)}


# ---- in the head


def encoded(checkpoint: Checkpoint) -> bytes:
    return encode_head(checkpoint, epoch=1, write_id="w", uid="u", slots={})


def test_floors_and_pins_are_read_as_they_were_written() -> None:
    floors = {TOPIC_A: Floor(9, {4: frozenset({"a", "a2"}), 5: frozenset()}), TOPIC_B: Floor(3)}
    before = Checkpoint(Position("s1", 2, 2), floors=floors, pins=("group-1", "group-2"))
    after = decode_head(encoded(before)).checkpoint
    assert (after.floors, after.pins) == (before.floors, before.pins)


def test_the_head_of_a_trigger_that_took_nothing_over_says_nothing_of_it() -> None:
    head = encoded(Checkpoint(Position("s1", 2, 2)))
    assert b"floors" not in head
    assert b"pins" not in head
