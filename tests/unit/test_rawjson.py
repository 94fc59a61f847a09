"""Raw JSON: what is valid, what stays, and Go's words for what is wrong."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.errors import InvalidEvent
from events.rawjson import compact, dumps, escape


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"{}", b"{}"),
        (b' { "a" : [ 1 , 2 ] }\r\n\t', b'{"a":[1,2]}'),
        (b'{"b":1,"a":2,"b":3}', b'{"b":1,"a":2,"b":3}'),
        (b"[1.50,1E+2,-0,12345678901234567890,1e999]", b"[1.50,1E+2,-0,12345678901234567890,1e999]"),
        (rb'"\u0041\/\n"', rb'"\u0041\/\n"'),
        (rb'{ " \" \\" : " \\\" , : " }', rb'{" \" \\":" \\\" , : "}'),
        (b'[ "\\\\" , "a b" ]', b'["\\\\","a b"]'),
        (b'"<&>"', rb'"\u003c\u0026\u003e"'),
        ('"\u2028\u2029 \u2027"'.encode(), b'"\\u2028\\u2029 \xe2\x80\xa7"'),
        (rb'"\ud800"', rb'"\ud800"'),
        (b'["\xff", 1]', b'["\xff",1]'),
        (b'"\x7f"', b'"\x7f"'),
        (b" null ", b"null"),
        (b"[" * 900 + b"]" * 900, b"[" * 900 + b"]" * 900),
    ],
)
def test_only_white_space_and_html_change(text: bytes, expected: bytes) -> None:
    assert compact(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "unexpected end of JSON input"),
        (b" \n", "unexpected end of JSON input"),
        (b"-", "unexpected end of JSON input"),
        (b"1e+", "unexpected end of JSON input"),
        (b"tru", "unexpected end of JSON input"),
        (b'"abc', "unexpected end of JSON input"),
        (b'["a\\', "unexpected end of JSON input"),
        (b"nul1", "invalid character '1' in literal null (expecting 'l')"),
        (b"fAlse", "invalid character 'A' in literal false (expecting 'a')"),
        (b"NaN", "invalid character 'N' looking for beginning of value"),
        (b"-Infinity", "invalid character 'I' in numeric literal"),
        (b"01", "invalid character '1' after top-level value"),
        (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
        (b"1ex", "invalid character 'x' in exponent of numeric literal"),
        (b"[1e+]", "invalid character ']' in exponent of numeric literal"),
        (b"{}{}", "invalid character '{' after top-level value"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b"[1}", "invalid character '}' after array element"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b"{'a':1}", r"invalid character '\'' looking for beginning of object key string"),
        (b'"\\x"', "invalid character 'x' in string escape code"),
        (b'"\\u12g4"', r"invalid character 'g' in \u hexadecimal character escape"),
        (b'"\\u12"', "invalid character '\"' in \\u hexadecimal character escape"),
        (b'"\t"', r"invalid character '\t' in string literal"),
        (b'"\x01"', r"invalid character '\x01' in string literal"),
        (b"\xef\xbb\xbf{}", "invalid character 'ï' looking for beginning of value"),
        ("²".encode("latin-1"), "invalid character '²' looking for beginning of value"),
        (b"\x80", r"invalid character '\u0080' looking for beginning of value"),
        (b"[" * 200_000, "exceeded max depth"),
        (b"[" + b"1," * 100_000 + b"x]", "invalid JSON"),  # too far in to be explained
    ],
)
def test_what_is_not_one_value_is_refused_in_gos_words(text: bytes, words: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        compact(text)
    assert str(caught.value) == words


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON, st.sampled_from([None, 1, "\t", " \r\n"]), st.booleans())
def test_compacting_changes_no_value(value: object, indent: int | str | None, ascii_only: bool) -> None:
    pretty = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    tight = json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert compact(pretty) == escape(tight)


@given(st.binary(max_size=40) | st.text('[]{},:"\\u0123eE+-. truefalsn\n', max_size=30).map(str.encode))
def test_validity_is_the_standard_librarys(text: bytes) -> None:
    try:
        json.loads(text.decode("latin-1"), parse_constant=lambda name: json.loads("!"))
    except ValueError:
        with pytest.raises(InvalidEvent):
            compact(text)
    else:
        compact(text)


def test_values_are_written_as_go_writes_them() -> None:
    assert dumps({"b": ["<"], "a": "ż"}) == '{"a":"ż","b":["\\u003c"]}'.encode()
    with pytest.raises(TypeError):
        dumps("\udcff")
