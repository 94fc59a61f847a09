"""URI references as Go writes them; the expected texts are Go's."""

from __future__ import annotations

import pytest

from events import uris
from events.errors import UserError


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("", ""),
        ("orders", "orders"),
        ("a b", "a%20b"),
        ("a%20b", "a%20b"),
        ("%41", "%41"),
        ("źródło", "%C5%BAr%C3%B3d%C5%82o"),
        ("é%C3%A9", "%C3%A9%C3%A9"),
        ("a%2Fb", "a%2Fb"),
        ("a;b!$&'()*+,=@", "a;b!$&'()*+,=@"),
        ("<&>", "%3C&%3E"),
        ("/a/b", "/a/b"),
        ("*", "*"),
        ("a?b c#d e", "a?b c#d%20e"),
        ("HTTP://Ab:80/x y?q= 1", "http://Ab:80/x%20y?q= 1"),
        ("http://u:p@h/", "http://u:p@h/"),
        ("http://", "http:"),
        ("//h/p", "//h/p"),
        ("///p", "///p"),
        ("urn:x:y", "urn:x:y"),
        ("mailto:a@b", "mailto:a@b"),
        ("http://[::1]:8/x", "http://[::1]:8/x"),
    ],
)
def test_a_reference_in_its_normal_form(text: str, normal: str) -> None:
    assert uris.reference(text) == normal


@pytest.mark.parametrize("text", ["%zz", "1:2", ":a", "a\tb", "http://h:x/", "http://[::1/", "//a b/", "//%20"])
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(UserError, match="is no URI reference"):
        uris.reference(text)
