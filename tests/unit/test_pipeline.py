"""The spine as a table: what prepared events lead to. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.spine import delivery, dependency, event, only, pipeline

from eventbus.base import Delivery, Position
from events.event import Event
from sensors.base import Firing
from sensors.checkpoint import Checkpoint, Pending
from sensors.decision import Decision, Outcome
from sensors.pipeline import Pipeline
from sensors.resets import Resets
from sensors.types import ConditionsReset

START = Position("s1", 0, 0)


def fresh() -> Checkpoint:
    return Checkpoint(START)


async def run(
    pipe: Pipeline, deliveries: list[Delivery], checkpoint: Checkpoint
) -> tuple[list[Firing], list[Decision]]:
    firings, decisions = [], []
    for one in deliveries:
        step = pipe.fold(checkpoint, await pipe.prepare(one))
        firings += step.firings
        decisions += step.decisions
    return firings, decisions


def arriving(*names: str, start: int = 1) -> list[Delivery]:
    """Events of these names, each with an id of its own: its sequence."""
    return [delivery(n, event(f"e{n}", name=name)) for n, name in enumerate(names, start)]


def sets(firings: list[Firing]) -> list[dict[str, int]]:
    return [dict(firing.sequences) for firing in firings]


def outcomes(decisions: list[Decision]) -> list[tuple[str, int, str]]:
    return [(one.outcome.value, one.sequence, one.dependency) for one in decisions]


@pytest.mark.parametrize(
    ("expression", "arrive", "fired"),
    [
        (None, "a b", [{"a": 1, "b": 2}]),
        ("a", "a a", [{"a": 1}, {"a": 2}]),
        ("a || b", "a b a", [{"a": 1}, {"b": 2}, {"a": 3}]),
        ("a && b", "a", []),
        ("a && b", "a b", [{"a": 1, "b": 2}]),
        ("a && b", "b a", [{"a": 2, "b": 1}]),
        ("a && b", "a a b", [{"a": 2, "b": 3}]),
        ("a && b", "a b b a", [{"a": 1, "b": 2}, {"a": 4, "b": 3}]),
        ("(a && b) || c", "c", [{"c": 1}]),
        ("(a && b) || c", "a c b a", [{"a": 1, "c": 2}, {"a": 4, "b": 3}]),  # all that waits goes with it
        ("a && (b || c)", "b c a", [{"a": 3, "b": 1, "c": 2}]),
        ("a", "b c", []),
    ],
)
async def test_complete_sets_fire(expression: str | None, arrive: str, fired: list[dict[str, int]]) -> None:
    names = ("a", "b") if expression is None else ("a", "b", "c")
    pipe = pipeline(expression, *map(dependency, names))
    firings, _ = await run(pipe, arriving(*arrive.split()), fresh())
    assert sets(firings) == fired


async def test_while_a_set_is_not_complete_the_newest_event_of_a_dependency_waits() -> None:
    pipe = pipeline("a && b", dependency("a"), dependency("b"))
    checkpoint = fresh()
    _, decisions = await run(pipe, arriving("a", "a"), checkpoint)
    assert outcomes(decisions) == [("waiting", 1, "a"), ("superseded", 1, "a"), ("waiting", 2, "a")]
    assert decisions[-1].detail == "not there yet: b"
    assert {name: one.sequence for name, one in checkpoint.pending.items()} == {"a": 2}
    firings, decisions = await run(pipe, arriving("b", start=3), checkpoint)
    assert sets(firings) == [{"a": 2, "b": 3}]
    assert decisions == []
    assert checkpoint.pending == {}


@pytest.mark.parametrize(
    ("second", "is_duplicate"),
    [
        (delivery(2, event("e1", name="a")), True),  # stored twice, outside the publisher's window
        (delivery(2, event("e1", name="b")), False),  # the same id of another event
        (delivery(1, event("e1", name="a"), stream="s2"), True),  # again in a stream made anew
        (delivery(1, event("e1", name="a")), True),  # again where the stream lost its tail
    ],
)
async def test_the_same_event_again_is_a_duplicate(second: Delivery, is_duplicate: bool) -> None:
    pipe = pipeline("a || b", dependency("a"), dependency("b"))
    firings, decisions = await run(pipe, [delivery(1, event("e1", name="a")), second], fresh())
    assert len(firings) == (1 if is_duplicate else 2)
    assert [one.outcome for one in decisions] == ([Outcome.DUPLICATE] if is_duplicate else [])


async def test_an_event_that_was_refused_may_come_again() -> None:
    pipe = pipeline("a", dependency("a", **only("kind", "good")))
    again = [
        delivery(n, event("e1", name="a", data=b'{"kind":"%b"}' % kind)) for n, kind in ((1, b"bad"), (2, b"good"))
    ]
    firings, decisions = await run(pipe, again, fresh())
    assert sets(firings) == [{"a": 2}]
    assert outcomes(decisions) == [("filtered", 1, "a")]


async def test_what_a_filter_refuses_has_a_reason() -> None:
    pipe = pipeline("a && b", dependency("a", **only("kind", "good")), dependency("b"))
    checkpoint = fresh()
    firings, decisions = await run(pipe, [delivery(1, event("e1", name="a", data=b'{"kind":"bad"}'))], checkpoint)
    (one,) = decisions
    assert not firings
    assert (one.outcome, one.sequence, one.event_id, one.dependency) == (Outcome.FILTERED, 1, "e1", "a")
    assert one.reason
    assert one.detail
    assert checkpoint.pending == {}
    assert checkpoint.applied.sequence == 1


async def test_bytes_that_are_no_event_fail_with_the_reason_and_are_passed() -> None:
    pipe = pipeline("a", dependency("a"))
    checkpoint = fresh()
    firings, decisions = await run(pipe, [delivery(1, None, error="not JSON"), *arriving("a", start=2)], checkpoint)
    assert sets(firings) == [{"a": 2}]
    assert [(one.outcome, one.sequence, one.detail) for one in decisions] == [(Outcome.FAILED, 1, "not JSON")]
    assert checkpoint.applied.sequence == 2


async def test_an_event_whose_own_source_and_name_nobody_waits_for_is_explained() -> None:
    pipe = pipeline("a", dependency("a"))
    _, decisions = await run(pipe, [delivery(1, event("e1", name="elsewhere"))], fresh())
    assert [(one.outcome, one.event_id, one.reason) for one in decisions] == [(Outcome.FILTERED, "e1", "unmatched")]


async def test_a_filter_with_a_defect_refuses_its_event_and_holds_up_nothing() -> None:
    class Broken:
        def accepts(self, _event: Event) -> Any:
            raise RecursionError("too deep")

    pipe = pipeline("a", dependency("a"))
    (one,) = pipe._dependencies
    object.__setattr__(one, "filter", Broken())
    firings, decisions = await run(pipe, arriving("a"), fresh())
    assert not firings
    assert [(one.outcome, one.reason) for one in decisions] == [(Outcome.FILTERED, "defect")]


@pytest.mark.parametrize(
    ("expression", "fired"), [("a || b", [{"a": 1}, {"b": 1}]), ("a && b", [{"a": 1, "b": 1}]), ("a", [{"a": 1}])]
)
async def test_one_event_may_be_for_two_dependencies(expression: str, fired: list[dict[str, int]]) -> None:
    pipe = pipeline(expression, dependency("a", "orders"), dependency("b", "orders"))
    firings, _ = await run(pipe, arriving("orders"), fresh())
    assert sets(firings) == fired
    assert len({firing.id for firing in firings}) == len(fired)


async def test_one_dependency_may_take_an_event_that_another_refuses() -> None:
    pipe = pipeline("a || b", dependency("a", "orders"), dependency("b", "orders", **only("kind", "good")))
    twice = [delivery(n, event("e1", data=b'{"kind":"bad"}')) for n in (1, 2)]
    firings, decisions = await run(pipe, twice, fresh())
    assert sets(firings) == [{"a": 1}]
    assert outcomes(decisions) == [("filtered", 1, "b"), ("duplicate", 2, "a"), ("filtered", 2, "b")]


async def test_a_replay_makes_the_same_firings_with_the_same_ids() -> None:
    pipe = pipeline("a && b", dependency("a"), dependency("b"))
    log = arriving("a", "b", "b", "a", "a", "b")
    whole, _ = await run(pipe, log, fresh())
    for cut in range(len(log)):
        checkpoint = fresh()
        before, _ = await run(pipe, log[:cut], checkpoint)
        again, _ = await run(pipe, log[cut:], checkpoint.copy())
        assert [one.id for one in before + again] == [one.id for one in whole]
    assert len({one.id for one in whole}) == len(whole) == 3


@pytest.mark.parametrize(
    "other",
    [
        (pipeline("a", dependency("a"), scope=("ns", "s", "u")), delivery(1, event("e1", name="a"))),
        (pipeline("a", dependency("a")), delivery(2, event("e1", name="a"))),
        (pipeline("a", dependency("a")), delivery(1, event("e2", name="a"))),
        (pipeline("a", dependency("a")), delivery(1, event("e1", name="a"), stream="s2")),
        (pipeline("b", dependency("b", "a")), delivery(1, event("e1", name="a"))),
    ],
)
async def test_other_triggers_events_and_streams_make_other_ids(other: tuple[Pipeline, Delivery]) -> None:
    first, _ = await run(pipeline("a", dependency("a")), [delivery(1, event("e1", name="a"))], fresh())
    second, _ = await run(other[0], [other[1]], fresh())
    assert first[0].id != second[0].id


async def test_a_fold_on_a_copy_changes_nothing_in_the_original() -> None:
    pipe = pipeline("a && b", dependency("a"), dependency("b"))
    checkpoint = fresh()
    await run(pipe, arriving("a"), checkpoint)
    applied, pending, seen = checkpoint.applied, dict(checkpoint.pending), checkpoint.recent.pack()
    copy = checkpoint.copy()
    firings, _ = await run(pipe, [*arriving("a", "b", start=2), delivery(1, event("z", name="a"), stream="s2")], copy)
    assert len(firings) == 1
    assert (checkpoint.applied, checkpoint.pending, checkpoint.recent.pack()) == (applied, pending, seen)


async def test_preparing_changes_nothing_and_gives_the_same_again() -> None:
    pipe = pipeline("a && b", dependency("a", **only("kind", "good")), dependency("b"))
    one = delivery(1, event("e1", name="a", data=b'{"kind":"good"}'))
    assert await pipe.prepare(one) == await pipe.prepare(one)


EXPRESSIONS = ("a", "a && b", "a || b", "a && b && c", "(a && b) || c", "a && (b || c)")
ARRIVALS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "ab", "elsewhere", ""]),  # "": bytes that are no event
        st.integers(0, 6),  # few ids: many repeats
        st.booleans(),  # whether the filter lets it pass
    ),
    max_size=40,
)


@given(st.sampled_from(EXPRESSIONS), ARRIVALS, st.sets(st.integers(1, 40)))
@settings(deadline=None, max_examples=300)
async def test_every_event_ends_in_exactly_one_decision(  # P6
    expression: str, arrivals: list[tuple[str, int, bool]], restarts: set[int]
) -> None:
    """Of each event at each dependency that it is for: one final decision, or it is in a firing, or it still waits."""
    good = only("kind", "good")
    specs = [
        dependency("a", **good),
        dependency("b", **good),
        dependency("c"),
        dependency("d", "ab"),
        dependency("e", "ab"),
    ]
    pipe = pipeline(f"({expression}) || d || e", *specs)
    checkpoint, ended, expected = fresh(), Counter[tuple[int, str]](), Counter[tuple[int, str]]()
    ids: list[str] = []
    for sequence, (name, identity, passes) in enumerate(arrivals, 1):
        data = b'{"kind":"good"}' if passes else b'{"kind":"bad"}'
        one = delivery(sequence, event(identity, name=name, data=data) if name else None)
        prepared = await pipe.prepare(one)
        if sequence in restarts:  # a successor takes over here, from the same checkpoint
            checkpoint = checkpoint.copy()
        step = pipe.fold(checkpoint, prepared)
        expected.update((sequence, match.dependency) for match in prepared.matches)
        if not prepared.matches:
            expected[sequence, ""] += 1
        ended.update((one.sequence, one.dependency) for one in step.decisions if one.outcome is not Outcome.WAITING)
        for firing in step.firings:
            ids.append(firing.id)
            ended.update((number, name) for name, number in firing.sequences.items())
    ended.update((waiting.sequence, name) for name, waiting in checkpoint.pending.items())
    assert ended == expected
    assert set(expected.values()) <= {1}
    assert len(set(ids)) == len(ids)
    assert all(isinstance(waiting, Pending) for waiting in checkpoint.pending.values())


@pytest.mark.parametrize(("seconds", "drops"), [(60, False), (86_400, True)])
async def test_what_waits_is_dropped_by_a_tick_between_it_and_the_next_event(seconds: int, drops: bool) -> None:
    daily = Resets([ConditionsReset.parse({"byTime": {"cron": "0 0 * * *"}})])
    base = pipeline("a && b", dependency("a"), dependency("b"))
    folding = Pipeline(base._dependencies, base.condition, ("ns", "sensor", "trigger"), daily)
    checkpoint, noon = fresh(), 12 * 3600
    steps = []
    for sequence, name, at in ((1, "a", noon), (2, "b", noon + seconds)):
        one = delivery(sequence, event(sequence, name=name))
        stored = replace(one, position=replace(one.position, stored_ns=at * 1_000_000_000))
        steps.append(folding.fold(checkpoint, await folding.prepare(stored)))
    assert [one.outcome for one in steps[0].decisions] == [Outcome.WAITING]
    assert len(steps[1].firings) == (0 if drops else 1)
    assert [one.outcome for one in steps[1].decisions] == ([Outcome.RESET, Outcome.WAITING] if drops else [])
