"""YAML as Kubernetes reads it. Expected values are kubectl 1.32's: `kubectl label --local -f FILE a=b -o json`."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from events import yamls
from events.errors import UserError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[(word, True) for word in ("y", "yes", "On", "true", "TRUE")],
        *[(word, False) for word in ("n", "NO", "off", "False")],
        *[(word, None) for word in ("~", "null", "NULL", "")],
        *[(word, word) for word in ("1:30", "12:30:45", "190:20:30.15", "2020-01-01", "2020-01-01T00:00:00Z", "=")],
        *[(word, word) for word in ("1e400", "0xZZ", "+", "-x", ".", "1.2.3", "tRUE", "0b2", "yEs")],
        ("1e3", 1000),
        ("12e4", 120000),
        ("0777", 511),
        ("0o777", 511),
        ("-0o17", -15),
        ("08", 8),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0b11", 3),
        ("+5", 5),
        ("-0", 0),
        ("1.", 1),
        (".5", 0.5),
        ("1.50", 1.5),
        ("685_230.15", 685230.15),
        ("123456789012345678901234567890", 1.2345678901234568e29),
        ("!!str 1", "1"),
        ("'1'", "1"),
        ('!!int "1"', 1),
        ("!!timestamp 2020-01-01", "2020-01-01"),
        ("!!binary aGVsbG8=", "hello"),
        ("!own bar", "bar"),
    ],
)
def test_a_scalar_means_what_it_means_to_kubectl(text: str, value: Any) -> None:
    found = yamls.load_one(f"a: {text}")["a"]
    assert (found, type(found)) == (value, type(value))


def test_keys_are_text() -> None:
    text = "{1: a, yes: b, 1.5: c, 2020-01-01: d, 1_0: e, 0x10: f}"
    assert yamls.load_one(text) == {"1": "a", "true": "b", "1.5": "c", "2020-01-01": "d", "10": "e", "16": "f"}


def test_anchors_are_copied_and_merged() -> None:
    found = yamls.load_one("x: &x {a: b, l: &l [1]}\nz: {<<: *x, a: c}\nw: {<<: [{a: 1}, *x]}\nl: *l")
    assert found["z"] == {"a": "c", "l": [1]}
    assert found["w"] == {"a": 1, "l": [1]}
    found["l"].append(2)
    assert found["x"] == {"a": "b", "l": [1]}


def test_documents_that_are_empty_do_not_count() -> None:
    assert yamls.load_all("---\n---\na: 1\n---\n# only a comment\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]


def test_an_anchor_ends_with_its_document() -> None:
    with pytest.raises(UserError, match="no anchor 'x' before this"):
        yamls.load_all("a: &x 1\n---\nb: *x\n")


def test_a_key_given_twice_is_told_and_the_last_one_counts() -> None:
    told: list[str] = []
    assert yamls.load_one("a: 1\nb:\n  c: 1\n  c: 2\n", on_duplicate=told.append) == {"a": 1, "b": {"c": 2}}
    assert told == ["line 4, column 3: 'c' is given twice, the last one counts"]


BOMB = "a: &a [xxxxxxxxxx]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)
MERGE_BOMB = "a: &a {k: v}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 10)}]}}\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)
DEEP = "a0: &a0 1\n" + "".join(f"a{n}: &a{n} {'[' * 100}*a{n - 1}{']' * 100}\n" for n in range(1, 9))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: [b", "line 2, column 1: while parsing a flow sequence, did not find expected"),
        ("a: b\n  c: d", "line 2, column 4: mapping values are not allowed"),
        ("a: b\n\tc: d", "line 2, column 1: .*found a tab character"),
        ("a: &a [*a]", "line 1, column 8: anchor 'a' contains itself"),
        ("a: .nan", "line 1, column 4: .nan is not a JSON number"),
        ("~: b", "line 1, column 1: None cannot be a key"),
        ("? [a]\n: b", "line 1, column 5: .* cannot be a key"),
        ("a: !!binary '?'", "line 1, column 4: !!binary is not base64"),
        ("<<: 1", "<< takes a mapping"),
        ("a: \x00", "control characters"),
        ("a: \ud800", "not text"),
        ("[" * 100_000, "more than 200 levels deep"),
        ("- " * 100_000, "more than 200 levels deep"),
        (BOMB, "the aliases make this larger than"),
        (MERGE_BOMB, "the aliases make this larger than"),
        (DEEP, "more than 200 levels deep"),
        ("", "is empty"),
        ("# nothing", "is empty"),
        ("a: 1\n---\nb: 1", "2 documents, one is expected"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text: str, error: str) -> None:
    with pytest.raises(UserError, match=error):
        yamls.load_one(text)


def test_what_is_written_is_read_alike_by_everybody() -> None:
    words = [
        "y",
        "1e3",
        "12:30",
        "0o17",
        "2020-01-01",
        "=",
        "",
        "~",
        "null",
        " lead",
        "a: b",
        "#c",
        "- x",
        "<<",
        "08",
        "é",
    ]
    obj = {
        "words": words,
        "y": 1,
        "values": [1, 1.5, None, True, {}, []],
        "script": "one\n  two\n",
        "odd": "a \n\tb",
        "same": [words, words],
        "long": "word " * 200,
    }
    text = yamls.dump(obj)
    assert yamls.load_one(text) == obj
    assert yaml.safe_load(text) == obj
    assert "script: |\n  one\n    two\n" in text
    assert "*" not in text
