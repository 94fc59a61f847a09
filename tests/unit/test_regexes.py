"""RE2, as Go has it."""

from __future__ import annotations

import pytest

from events import regexes


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("a$", "a\n", False),  # Python's $ would match
        (r"^\w+$", "é", False),  # \w is ASCII
        (r"\Qa.C\E", "xa.Cx", True),  # \C inside a quotation is no escape
        ("(?i)MAIN", "main", True),
        (r"\p{Greek}", "κ", True),
    ],
)
def test_patterns_mean_what_they_mean_in_go(pattern: str, text: str, found: bool) -> None:
    assert (regexes.compile(pattern).search(text.encode()) is not None) is found


@pytest.mark.parametrize("pattern", ["(", "a**", r"\C", r"(?=x)", r"\1", "[z-a]", "x{1001}"])
def test_what_is_no_pattern_is_refused_with_the_reason(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        regexes.compile(pattern)


def test_an_escaped_text_matches_itself_alone() -> None:
    text = "a.b*(c)[d]{2}/é $^|\\"
    assert regexes.compile(f"^{regexes.escape(text)}$").search(text.encode())
    assert not regexes.compile(f"^{regexes.escape('a.b')}$").search(b"axb")
