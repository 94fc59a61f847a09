"""The fast ways and the slow way give the same; hostile documents and paths are bounded; validity."""

import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.errors import InvalidPath
from events.paths import MISSING, Document, Kind, compile_path, is_valid, read, write
from events.paths.syntax import expression
from events.paths.walk import evaluate

N = 20_000

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
names = st.text(alphabet="abé01 <", min_size=1, max_size=2)
trees = st.recursive(
    scalars | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=30,
)


def places(tree, path=()):
    """Every path of a tree with its value."""
    yield path, tree
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inside:
        yield from places(value, (*path, str(key)))


@given(tree=trees, option=st.sampled_from([0, orjson.OPT_INDENT_2]))
def test_every_place_of_a_document_is_found_in_every_way(tree, option):
    text = orjson.dumps(tree, option=option).decode()
    document = Document(text)
    for parts, value in list(places(tree))[1:20]:
        path = compile_path(".".join(parts))
        walked = evaluate(text, expression(path.text))
        assert orjson.loads(walked.raw) == value
        assert path.get(text) == walked == path.get(text)
        assert path.lookup(tree) == value
        result = document.get(path)
        assert (result.kind, result.text, result.exists) == (walked.kind, walked.text, True)


@given(tree=trees, parts=st.lists(names, min_size=1, max_size=3))
def test_every_way_agrees_on_what_is_not_there(tree, parts):
    text, path = orjson.dumps(tree).decode(), compile_path(".".join(parts))
    walked = evaluate(text, expression(path.text))
    path.get(text)
    assert path.get(text) == walked
    assert Document(text).get(path).text == walked.text
    assert (path.lookup(tree) is MISSING) is not walked.exists


@pytest.mark.parametrize("text", ["a", "a.b.0", "a b.é", r"a\.b.c", r"a\|b"])
def test_keys_and_indexes_are_plain(text):
    assert compile_path(text).is_plain


@pytest.mark.parametrize(
    "text", ["", ".", "a.", "a..b", "a*", "a?b", "#", "a.#", "@this", "a|b", "[a]", "{a}", "!1", "a\\"]
)
def test_everything_else_is_not_plain(text):
    path = compile_path(text)
    assert not path.is_plain
    assert path.lookup({"a": 1}) is MISSING


def test_a_plain_path_with_an_escaped_dot_finds_the_key_in_a_tree():
    assert compile_path(r"a\.b.1").lookup({"a.b": [1, 2]}) == 2


@pytest.mark.parametrize(
    ("text", "path", "raw"),
    [
        ('{"a":1,"a":2}', "a", "1"),
        ('{"a":1.50}', "a", "1.50"),
        ('{"a":1e3}', "a", "1e3"),
        ('{"a":123456789012345678901}', "a", "123456789012345678901"),
        ('{"a":[ 1 ]}', "a", "[ 1 ]"),
        ('{"a":"\\ud800"}', "a", '"\\ud800"'),
        ('{"a":"\ud800"}', "a", '"\ud800"'),
        ('{"a":"\\u0041"}', "a", '"\\u0041"'),
    ],
)
def test_a_document_keeps_the_text_where_a_tree_would_lose_it(text, path, raw):
    assert Document(text).get(compile_path(path)).raw == raw


@pytest.mark.parametrize(
    ("raw", "kind"),
    [("1", Kind.NUMBER), ('"x"', Kind.STRING), ("true", Kind.TRUE), ("false", Kind.FALSE), ("null", Kind.NULL)],
)
def test_a_document_answers_from_its_tree_as_from_its_text(raw, kind):
    result = Document(f'{{"a":[{raw}]}}').get(compile_path("a.0"))
    assert (result.kind, result.raw, result.exists) == (kind, raw, True)
    assert not Document("[1]").get(compile_path("a")).exists


@pytest.mark.parametrize(
    "text",
    [
        "1",
        " null\n",
        '"x"',
        '"\\ud800"',
        "[]",
        "{}",
        '{"a":[1,{"b":-0.5e+1}]}',
        "[" * N + "]" * N,
        '{"a":' * N + "1" + "}" * N,
    ],
)
def test_one_json_value_at_any_depth_is_valid(text):
    assert is_valid(text)


NOT_JSON = [
    *(
        "",
        "  ",
        "1 2",
        "{",
        "[",
        "]",
        "[1,]",
        '{"a":}',
        '{"a"}',
        "{,}",
        "[1 2]",
        '{"a":1,}',
        '"\\x"',
        '"\\u12"',
        '"\n"',
    ),
    *("01", "1.", ".5", "+1", "1e", "NaN", "tru", "'a'", "{1:2}", "[1}", '{"a":1]', "\ufeff1", "[" * N, "[" * N + "}"),
]


@pytest.mark.parametrize("text", NOT_JSON)
def test_anything_else_is_not_valid(text):
    assert not is_valid(text)


DEEP = 4_000
HOSTILE_DOCUMENTS = {
    "arrays": "[" * DEEP + "]" * DEEP,
    "objects": '{"a":' * DEEP + "1" + "}" * DEEP,
    "never closed": '{"a":[' * DEEP,
    "strings": '{"' + "ab" * N + '":"' + "\\\\" * N + '"}',
}
HOSTILE_PATHS = [
    ".".join(["a"] * N),
    ".".join("a" * 300),
    ".".join("0" * 300),
    ".".join("#" * 300),
    ".".join("*" * 300),
    "a*b*" * 2_000 + "z",
    "*a" * 2_000 + "zz",
    "#(" * 300 + ")" * 300,
    "[" * 300 + "]" * 300,
    "|".join(["@this"] * 300),
    "|".join(["[@this,@this]"] * 100),
    '@flatten:{"deep":true}',
    "\\" * 3_000,
    '#(a%"' + "*a" * 500 + 'b")',
]


@pytest.mark.parametrize("document", HOSTILE_DOCUMENTS)
@pytest.mark.parametrize("path", HOSTILE_PATHS, ids=range(len(HOSTILE_PATHS)))
def test_hostile_input_ends_soon_and_in_an_answer_or_invalid_path(document, path):
    started = time.perf_counter()
    for action in (read, lambda text, path: write(text, path, "v")):
        try:
            action(HOSTILE_DOCUMENTS[document], path)
        except InvalidPath:
            continue
    assert time.perf_counter() - started < 20  # not a speed test: what goes wrong here takes hours


def test_many_stars_do_not_multiply():
    key = "a" * 5_000
    assert read(f'{{"{key}b":1}}', "*a" * 100 + "*b").raw == "1"
    assert not read(f'{{"{key}":1}}', "*a" * 100 + "*b").exists


@pytest.mark.parametrize(
    ("path", "exists"),
    [("*", True), ("ab*", True), ("*cab", True), ("a*a*", True), ("ab*ab", True), ("abc*ab?", False), ("?", False)],
)
def test_a_star_at_the_end_does_not_use_a_character_twice(path, exists):
    assert read('{"abcab":1}', path).exists is exists
