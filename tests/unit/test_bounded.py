"""A cache bounded in count and bytes."""

from __future__ import annotations

from events.bounded import Bounded


def test_the_oldest_go_when_there_are_too_many() -> None:
    kept: Bounded[int, str] = Bounded(2, 100)
    for number in range(3):
        kept.put(number, str(number), 1)
    assert [kept.get(number) for number in range(3)] == [None, "1", "2"]


def test_the_oldest_go_when_they_are_too_large() -> None:
    kept: Bounded[int, str] = Bounded(10, 100)
    for number in range(4):
        kept.put(number, str(number), 40)
    assert [kept.get(number) for number in range(4)] == [None, None, "2", "3"]


def test_one_that_is_too_large_alone_is_kept_until_the_next() -> None:
    kept: Bounded[int, str] = Bounded(10, 100)
    kept.put(1, "large", 1000)
    assert kept.get(1) == "large"
    kept.put(2, "small", 1)
    assert (kept.get(1), kept.get(2), len(kept)) == (None, "small", 1)


def test_a_value_put_again_counts_once() -> None:
    kept: Bounded[int, str] = Bounded(10, 100)
    for _ in range(5):
        kept.put(1, "one", 60)
    kept.put(2, "two", 40)
    assert (kept.get(1), kept.get(2)) == ("one", "two")
    kept.clear()
    assert (kept.get(1), len(kept)) == (None, 0)
