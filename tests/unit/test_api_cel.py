"""CEL: values, types, errors, bounds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from events.local.apiserver import cel
from events.local.apiserver.cel import costs, types

SCHEMA = {
    "type": "object",
    "properties": {
        "min": {"type": "integer"},
        "n": {"type": "number"},
        "name": {"type": "string"},
        "when": {"type": "string", "format": "date-time"},
        "list": {"type": "array", "items": {"type": "integer"}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "a-b": {"type": "string"},
        "any": {"x-kubernetes-int-or-string": True},
    },
}
SELF = types.of_schema(SCHEMA)
VARIABLES = {"self": SELF, "oldSelf": SELF}
VALUE: dict[str, Any] = {
    "min": 1,
    "n": 2,
    "name": "abc",
    "when": "2021-06-01T00:00:00Z",
    "list": [1, 2, 3],
    "map": {"aa": "1"},
    "a-b": "q",
    "any": "5%",
}


def run(source: str, steps: int = 100_000) -> Any:
    return cel.compile_expression(source, VARIABLES).run({"self": VALUE, "oldSelf": VALUE}, cel.Budget(steps))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("self.min + 2 * 3 == 7", True),
        ("7 / 2 == 3 && -7 / 2 == -3 && -7 % 2 == -1", True),
        ("self.n / 4.0", 0.5),
        ("self.n == 2 && 1 < 1.5", True),
        ("self.name.startsWith('a') ? 'yes' : 'no'", "yes"),
        ("'x' in ['x', 'y'] && 'aa' in self.map && !('bb' in self.map)", True),
        ("self.list.all(i, i > 0) && self.list.exists(i, i == 2) && self.list.exists_one(i, i == 3)", True),
        ("self.list.filter(i, i > 1).map(i, i * 10)", [20, 30]),
        ("self.list.map(i, i > 1, i + 1)", [3, 4]),
        ("self.map.all(k, k.size() == 2 && self.map[k] != '')", True),
        ("self.list.all(i, v, i < v)", True),
        ("has(self.name) && !has(self.map.zz)", True),
        ("self.a__dash__b", "q"),
        ("self.?name.orValue('none')", "abc"),
        ("self.map[?'zz'].orValue('none')", "none"),
        ("size('äöü') == 3 && 'äöü'.upperAscii() == 'äöü'", True),
        ("'a,b,c'.split(',', 2)", ["a", "b,c"]),
        ("['a', 'b'].join('-') + 'abc'.substring(1, 2)", "a-bb"),
        ("'a1b22'.findAll('[0-9]+')", ["1", "22"]),
        ("self.name.matches('^[a-z]+$')", True),
        ("self.when > timestamp('2021-01-01T00:00:00Z') && self.when.getMonth() == 5", True),
        ("duration('1h30m').getMinutes()", 90),
        ("timestamp('2021-01-02T00:00:00Z') - timestamp('2021-01-01T00:00:00Z') == duration('24h')", True),
        (
            "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('500m').add(quantity('0.5')).asInteger() == 1",
            True,
        ),
        ("isIP('1.2.3.4') && ip('::1').isLoopback() && cidr('10.0.0.0/8').containsIP('10.1.1.1')", True),
        ("url('https://a.b:8/c?x=1').getHost()", "a.b:8"),
        ("sets.equivalent([1, 2], [2, 1]) && math.greatest(1, 3, 2) == 3 && self.list.sum() == 6", True),
        ("dyn(1) == dyn('1')", False),
        ("true == dyn(1)", False),
        ("type(self.any) == string", True),
        ("string(1.5) + string(true) + string(3)", "1.5true3"),
        (r"'\x41\u00e4\n' == 'Aä' + '\n' && r'\n' == '\\n'", True),
        ("{'a': 1}['a'] == 1 && [1, 2][1] == 2", True),
        ("1 / 0 == 1 || true", True),
        ("false && self.list[10] == 1", False),
    ],
)
def test_an_expression_has_a_value(source: str, expected: Any) -> None:
    found = run(source)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("self.map.zz == ''", "no such key: zz"),
        ("self.list[10] == 1", "index out of bounds: 10"),
        ("1 / (self.min - 1) == 1", "division by zero"),
        ("9223372036854775807 + self.min == 0", "integer overflow"),
        ("self.any + 1 == 2", "no such overload"),
        ("int(self.name) == 1", "type conversion error from 'string' to 'int'"),
        ("self.name.matches('[')", "error parsing regexp: missing ]: ["),
    ],
)
def test_an_evaluation_that_fails_says_why(source: str, says: str) -> None:
    with pytest.raises(cel.CelError) as failed:
        run(source)
    assert str(failed.value) == says


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            "self >",
            "ERROR: <input>:1:7: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', "
            "'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | self >\n | ......^",
        ),
        ("self.b > 1", "ERROR: <input>:1:5: undefined field 'b'\n | self.b > 1\n | ....^"),
        ("nope", "ERROR: <input>:1:1: undeclared reference to 'nope' (in container '')\n | nope\n | ^"),
        (
            "1 + 'a'",
            "ERROR: <input>:1:3: found no matching overload for '_+_' applied to '(int, string)'\n | 1 + 'a'\n | ..^",
        ),
    ],
)
def test_an_expression_that_fits_nothing_is_refused_with_its_place(source: str, says: str) -> None:
    with pytest.raises(cel.CompileError) as refused:
        cel.compile_expression(source, VARIABLES)
    assert str(refused.value) == says


def test_steps_are_counted() -> None:
    source = "self.list.all(a, self.list.all(b, self.list.all(c, a + b + c > 0)))"
    assert run(source) is True
    with pytest.raises(cel.CostExceeded):
        run(source, steps=50)


def test_the_cost_of_nested_loops_is_seen_before() -> None:
    nested = cel.compile_expression("self.list.all(a, self.list.all(b, a + b > 0))", VARIABLES)
    single = cel.compile_expression("self.list.all(a, a > 0)", VARIABLES)
    assert costs.estimated(nested, VARIABLES) > costs.LIMIT_OF_A_RULE * costs.TOLERANCE
    assert costs.estimated(single, VARIABLES) < costs.LIMIT_OF_A_RULE


def test_deep_nesting_is_refused() -> None:
    for source in ("(" * 500 + "1" + ")" * 500, "!" * 500 + "true", "[" * 500):
        with pytest.raises(cel.CompileError, match="recursion limit"):
            cel.compile_expression(source, VARIABLES)


WORDS = """self . name list [ ] ( ) 1 2.5 'a' "b" + - * / % == < && || ! ? : , in has all x { } map size true null"""


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(WORDS.split()),
        max_size=14,
    ).map(" ".join)
)
def test_any_text_is_an_expression_or_refused(source: str) -> None:
    try:
        program = cel.compile_expression(source, VARIABLES)
        program.run({"self": VALUE, "oldSelf": VALUE}, cel.Budget(1000))
    except (cel.CelError, cel.CompileError):
        pass
