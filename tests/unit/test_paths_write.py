"""Writing at dotted paths: what sjson 1.2.5 gives, as a table, and that the rest of the document stays as it was."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.errors import InvalidPath
from events.paths import read, write, write_raw

# document, path, what it becomes with "v" written there (None: refused); recorded from sjson 1.2.5.
RECORDED = [
    ("", "a.b", '{"a":{"b":"v"}}'),
    ("", "0", '["v"]'),
    ("", "2", '[null,null,"v"]'),
    ("", "-1", '{"-1":"v"}'),
    ("", "a.0.b", '{"a":[{"b":"v"}]}'),
    ("", "a.2", '{"a":[null,null,"v"]}'),
    ("", "a.-1", '{"a":["v"]}'),
    ("", "a.:1", '{"a":{"1":"v"}}'),
    (" ", "a", '{"a":"v"}'),
    ("null", "a", '{"a":"v"}'),
    ('"s"', "a", '{"a":"v"}'),
    ("7", "0", '["v"]'),
    ('{"a":[1]}', "a.-1", '{"a":[1,"v"]}'),
    ('{"a":[1]}', "a.3", '{"a":[1,null,null,"v"]}'),
    ('{"a":[1]}', "a.0", '{"a":["v"]}'),
    ('{"a":[1]}', "a.b", None),
    ('{"a":[1]}', "a.:1", None),
    ('{"a":[1]}', "a.:-1", None),
    ('{"a":[]}', "a.2", '{"a":[null,null,"v"]}'),
    ('{"a":[ ]}', "a.-1", '{"a":[ "v"]}'),
    ('{"a":[ 1 , 2 ]}', "a.-1", '{"a":[ 1 , 2 ,"v"]}'),
    ('{"a":[ 1 , 2 ]}', "a.4", '{"a":[1,2,null,null,"v"]}'),
    ('{"a":"s"}', "a.b", '{"a":{"b":"v"}}'),
    ('{"a":"s"}', "a.0", '{"a":["v"]}'),
    ('{"a":"s"}', "a", '{"a":"v"}'),
    ("{}", ":0.x", '{"0":{"x":"v"}}'),
    ("{}", "a\\.b", '{"a.b":"v"}'),
    ('{"a.b":1}', "a\\.b", '{"a.b":"v"}'),
    ('{"a*b":1}', "a\\*b", '{"a*b":"v"}'),
    ("{}", "a\\*b", '{"a*b":"v"}'),
    ("{}", "a\\\\b", '{"a\\\\b":"v"}'),
    ('{"a":[{"k":"1"},{"k":"2"}]}', 'a.#(k=="2").k', '{"a":[{"k":"1"},{"k":"v"}]}'),
    ('{"a":[{"k":"1"},{"k":"2"}]}', "a.#.k", '{"a":[{"k":"v"},{"k":"v"}]}'),
    ('{"a":[{"k":"1"},{"k":"2"}]}', 'a.#(k>"0")#.k', '{"a":[{"k":"v"},{"k":"v"}]}'),
    ('{"a":[{"k":"1"},{"k":"2"}]}', 'a.#(k=="2")', '{"a":[{"k":"1"},"v"]}'),
    ('{"a":[{"k":"1"},{"k":"2"}]}', "a.#", '{"a":[{"k":"1"},{"k":"2"}]}'),
    ('{"a":[{"k":"1"}]}', 'a.#(k=="9").k', '{"a":[{"k":"1"}]}'),
    ('{"abc":1}', "a*", '{"abc":"v"}'),
    ('{"abc":1}', "z*", '{"abc":1}'),
    ('{"abc":1}', "a|b", '{"abc":1}'),
    ('{"abc":1}', "@this", '{"abc":1}'),
    ('{"abc":1}', "abc.@reverse", '{"abc":1}'),
    ('{"abc":1}', "a?c", '{"abc":"v"}'),
    ('{"a":1}', "", None),
    ('{"a":1}', ".", '{"a":1,"":["v"]}'),
    ('{"a":1}', "a.", '{"a":["v"]}'),
    ('{"a":1}', "a..b", '{"a":[{"b":"v"}]}'),
    ('{ "a" : 1.50 , "b" : 1 }', "b", '{ "a" : 1.50 , "b" : "v" }'),
    ('{ "a" : 1.50 }', "c", '{ "a" : 1.50 ,"c":"v"}'),
    ('{"a":1,"a":2}', "a", '{"a":"v","a":2}'),
    ("[1,2]", "1", '[1,"v"]'),
    ("[1,2]", "-1", '[1,2,"v"]'),
    ("[1,2]", "x", None),
    ("[1,2]", "01", '[1,"v"]'),
    ('{"a":{"b":{"c":[1,{"d":2}]}}}', "a.b.c.1.d", '{"a":{"b":{"c":[1,{"d":"v"}]}}}'),
    ('{"a":1e3}', "b<c", '{"a":1e3,"b<c":"v"}'),
    ("{}", 'q"x', '{"q\\"x":"v"}'),
    ('{"a":1}  ', "b", '{"a":1,"b":"v"}'),
]


@pytest.mark.parametrize(("document", "path", "expected"), RECORDED)
def test_a_write_gives_what_sjson_gives(document, path, expected):
    if expected is None:
        with pytest.raises(InvalidPath):
            write(document, path, "v")
    else:
        assert write(document, path, "v") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v", '"v"'),
        ("<b>", '"<b>"'),
        ('a"<', '"a\\"\\u003c"'),
        ("é<", '"é\\u003c"'),
        ("\x7f<", '"\x7f<"'),
        ("\t\b\f\x01", '"\\t\\b\\f\\u0001"'),
        ("\u2028&", '"\\u2028\\u0026"'),
        ("\ud800", '"\\ufffd"'),
    ],
)
def test_text_is_escaped_for_html_only_when_it_needs_escaping_anyway(text, expected):
    assert write("", "a", text) == f'{{"a":{expected}}}'


def test_raw_text_is_written_as_it_is():
    assert write_raw('{"a":1}', "a", '{"n":1.50}') == '{"a":{"n":1.50}}'


def test_everything_around_the_place_stays_as_it_was():
    document = '{ "z":1.50, "a" : [ 1e3,\t{"b":"\\u00e9"} ], "z":2 }\n'
    assert write_raw(document, "a.1.b", "0") == document.replace('"\\u00e9"', "0")


def test_a_collected_path_whose_places_are_not_known_changes_nothing():
    document = '{"a":[{"b":[{"c":1},{"c":2}]}]}'  # sjson writes into the middle of other values here
    assert write(document, "a.#.b.#.c", "v") == document
    assert write(document, "a.#.b.@values", "v") == document


@pytest.mark.parametrize("path", ["99999999", "a.99999999", "a.b.99999999", ".".join(["a"] * 20_000), "9" * 40])
def test_a_path_that_would_blow_up_the_document_is_refused(path):
    with pytest.raises(InvalidPath):
        write('{"a":[]}' if path[0] == "a" else "[]", path, "v")


keys = st.text(alphabet='ab.|*#@?:\\\\é<" 01', min_size=1, max_size=4).filter(lambda key: not key.startswith(":"))


def escaped(key):
    return "".join(f"\\{character}" if character in ".|#@*?\\" else character for character in key)


@given(key=keys, text=st.text(max_size=20))
def test_what_is_written_can_be_read_back(key, text):
    document = write('{"before":1.50}', f"x.{escaped(key)}", text)
    assert read(document, "before").raw == "1.50"
    index = 0 if key == "-1" else int(key) if key.isascii() and key.isdecimal() else key
    stored = orjson.loads(document.encode(errors="replace"))["x"][index]
    assert stored == "".join(c if not "\ud800" <= c <= "\udfff" else "\ufffd" for c in text)
