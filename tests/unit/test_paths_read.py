"""Reading at dotted paths: what gjson 1.18 answers, as a table, then what it does not promise."""

import pytest

from events.paths import Kind, compile_path, read

DOCUMENT = """{"b":{"n":1.50,"big":12345678901234567890,"e":1e3,"neg":-0.0,"huge":1e400,"tiny":1e-7,
 "nul":null,"t":true,"f":false,
 "s":"za\\u017c \\ud83d\\udc22","half":"\\ud800x","pair":"\\ud800\\u0041","empty":"",
 "a.b":"dot","a|b":"pipe","a*b":"star","x y":"space","0":"zero",
 "arr":[1,2,3],"l":[{"id":"1","n":"W"},{"id":"2","n":"A","t":true},{"id":3,"n":null}],"nest":[[1,[2]],[],[[3]]],
 "o":{"k":[1,2],"j":["x"],"m":1},"str":"{\\"in\\":[5]}","<h>":"<&>"},"d":1,"d":{"x":2},"\\u0065sc":"ok"}"""

# path, kind (None: does not exist), string form; recorded from gjson 1.18.0.
RECORDED = [
    ("b.n", Kind.NUMBER, "1.5"),
    ("b.big", Kind.NUMBER, "12345678901234567890"),
    ("b.e", Kind.NUMBER, "1000"),
    ("b.neg", Kind.NUMBER, "-0"),
    ("b.huge", Kind.NUMBER, "+Inf"),
    ("b.tiny", Kind.NUMBER, "0.0000001"),
    ("b.nul", Kind.NULL, ""),
    ("b.t", Kind.TRUE, "true"),
    ("b.f", Kind.FALSE, "false"),
    ("b.s", Kind.STRING, "zaż 🐢"),
    ("b.half", Kind.STRING, "�x"),
    ("b.pair", Kind.STRING, "�"),
    ("b.empty", Kind.STRING, ""),
    ("b.a\\.b", Kind.STRING, "dot"),
    ("b.a\\|b", Kind.STRING, "pipe"),
    ("b.a\\*b", Kind.STRING, "star"),
    ("b.x y", Kind.STRING, "space"),
    ("b.0", Kind.STRING, "zero"),
    ("b.x", None, ""),
    ("b.n.x", None, ""),
    ("d", Kind.NUMBER, "1"),
    ("d.x", Kind.NUMBER, "2"),
    ("esc", Kind.STRING, "ok"),
    ("b.arr.0", Kind.NUMBER, "1"),
    ("b.arr.01", Kind.NUMBER, "2"),
    ("b.arr.-1", None, ""),
    ("b.arr.9", None, ""),
    ("b.arr.x", None, ""),
    ("b.<h>", Kind.STRING, "<&>"),
    ("", None, ""),
    ("b.a*", Kind.STRING, "dot"),
    ("b.*b", Kind.STRING, "dot"),
    ("b.?", Kind.NUMBER, "1.5"),
    ("b.??", None, ""),
    ("*.n", Kind.NUMBER, "1.5"),
    ("*.x", Kind.NUMBER, "2"),
    ("b.ar?.1", Kind.NUMBER, "2"),
    ("b.*.1", Kind.NUMBER, "2"),
    ("zz*", None, ""),
    ("b.a\\**", Kind.STRING, "dot"),
    ("b.arr.#", Kind.NUMBER, "3"),
    ("b.l.#", Kind.NUMBER, "3"),
    ("b.l.#.n", Kind.JSON, '["W","A",null]'),
    ("b.l.#.zz", Kind.JSON, "[]"),
    ("b.l.#.id", Kind.JSON, '["1","2",3]'),
    ("b.nest.#.#", Kind.JSON, "[2,0,1]"),
    ("b.nest.#.0", Kind.JSON, "[1,[3]]"),
    ("b.o.#", None, ""),
    ("b.arr.#.x", Kind.JSON, "[]"),
    ("b.#", None, ""),
    ('b.l.#(n=="A").id', Kind.STRING, "2"),
    ("b.l.#(n==A).id", Kind.STRING, "2"),
    ("b.l.#(id>1).n", Kind.STRING, "A"),
    ('b.l.#(id>"1").n', Kind.STRING, "A"),
    ('b.l.#(id!="1")#.id', Kind.JSON, '["2",3]'),
    ('b.l.#(n%"?")#.n', Kind.JSON, '["W","A"]'),
    ('b.l.#(n!%"W").n', Kind.STRING, "A"),
    ("b.l.#(t)#.n", Kind.JSON, '["A"]'),
    ("b.l.#(t==true).n", Kind.STRING, "A"),
    ("b.l.#(t==~true)#.id", Kind.JSON, '["2"]'),
    ("b.l.#(t==~false)#.id", Kind.JSON, '["1",3]'),
    ("b.l.#(n==~null)#.id", Kind.JSON, "[3]"),
    ("b.l.#(zz==~*)#.id", Kind.JSON, "[]"),
    ("b.arr.#(>1)#", Kind.JSON, "[2,3]"),
    ("b.arr.#(>1)", Kind.NUMBER, "2"),
    ("b.arr.#(>=3)", Kind.NUMBER, "3"),
    ("b.arr.#(<2)", Kind.NUMBER, "1"),
    ("b.arr.#(<=2)#", Kind.JSON, "[1,2]"),
    ("b.arr.#(!=2)#", Kind.JSON, "[1,3]"),
    ("b.arr.#(=2)", Kind.NUMBER, "2"),
    ("b.arr.#(>9)", None, ""),
    ("b.arr.#(>9)#", Kind.JSON, "[]"),
    ("b.nest.#(#>1)#", Kind.JSON, "[[1,[2]]]"),
    ("b.nest.#(#(#(>2)))#", Kind.JSON, "[[[3]]]"),
    ('b.l.#(n=="A")#.id', Kind.JSON, '["2"]'),
    ('b.l.#(n=="A"', None, ""),
    ('b.l.#[n=="A"].id', Kind.STRING, "2"),
    ("b.arr|0", Kind.NUMBER, "1"),
    ("b.l|#.n", Kind.JSON, '["W","A",null]'),
    ('b.l.#(n=="A")#|0.id', Kind.STRING, "2"),
    ("b.l.#.n|1", Kind.STRING, "A"),
    ("b.l.#.n|@reverse", Kind.JSON, '[null,"A","W"]'),
    ('b.l.#(n=="A")#|#', Kind.NUMBER, "1"),
    ("b|@keys|0", Kind.STRING, "n"),
    ("@this.b.n", Kind.NUMBER, "1.5"),
    ("b.arr.@this", Kind.JSON, "[1,2,3]"),
    ("b.arr.@reverse", Kind.JSON, "[3,2,1]"),
    ("b.o.@reverse", Kind.JSON, '{"m":1,"j":["x"],"k":[1,2]}'),
    ("b.n.@reverse", Kind.NUMBER, "1.5"),
    ("b.o.@keys", Kind.JSON, '["k","j","m"]'),
    ("b.arr.@keys", Kind.JSON, "[null,null,null]"),
    ("b.n.@keys", Kind.JSON, "[null]"),
    ("b.zz.@keys", Kind.JSON, "[]"),
    ("b.o.@values", Kind.JSON, '[[1,2],["x"],1]'),
    ("b.arr.@values", Kind.JSON, "[1,2,3]"),
    ("b.n.@values", Kind.JSON, "[1.50]"),
    ("b.zz.@values", Kind.JSON, "[]"),
    ("b.nest.@flatten", Kind.JSON, "[1,[2],[3]]"),
    ('b.nest.@flatten:{"deep":true}', Kind.JSON, "[1,2,3]"),
    ("b.o.@flatten", Kind.JSON, '{"k":[1,2],"j":["x"],"m":1}'),
    ("b.l.@join", Kind.JSON, '{"id":3,"n":null,"t":true}'),
    ('b.l.@join:{"preserve":true}', Kind.JSON, '{"id":"1","n":"W","id":"2","n":"A","t":true,"id":3,"n":null}'),
    ("b.arr.@valid", Kind.JSON, "[1,2,3]"),
    ("b.l.@ugly", Kind.JSON, '[{"id":"1","n":"W"},{"id":"2","n":"A","t":true},{"id":3,"n":null}]'),
    ("b.o.@pretty", Kind.JSON, '{\n  "k": [1, 2],\n  "j": ["x"],\n  "m": 1\n}\n'),
    ('b.o.@pretty:{"sortKeys":true}', Kind.JSON, '{\n  "j": ["x"],\n  "k": [1, 2],\n  "m": 1\n}\n'),
    (
        'b.o.@pretty:{"indent":" ","prefix":"\\t","width":5}',
        Kind.JSON,
        '{\n\t "k": [\n\t  1,\n\t  2\n\t ],\n\t "j": [\n\t  "x"\n\t ],\n\t "m": 1\n\t}\n',
    ),
    ("b.l.0.@pretty", Kind.JSON, '{\n  "id": "1",\n  "n": "W"\n}\n'),
    ("b.nest.@pretty", Kind.JSON, "[[1, [2]], [], [[3]]]\n"),
    ("b.arr.@tostr", Kind.STRING, "[1,2,3]"),
    ("b.str.@fromstr", Kind.JSON, '{"in":[5]}'),
    ("b.str.@fromstr.in.0", Kind.NUMBER, "5"),
    ("b.arr.@tostr.@fromstr.1", Kind.NUMBER, "2"),
    ("b.<h>.@tostr", Kind.STRING, '"<&>"'),
    ("b.o.@group", Kind.JSON, '[{"k":1,"j":"x"},{"k":2}]'),
    ("b.arr.@group", None, ""),
    ("@dig:id", Kind.JSON, '["1","2",3]'),
    ("b.@dig:#", Kind.JSON, "[3,3,3,2,1,0,1,1,2,1]"),
    ("b.@nope", None, ""),
    ("b.arr.@reverse:x.0", Kind.JSON, "[3,2,1]"),
    ("b.arr.@reverse:x|0", Kind.NUMBER, "3"),
    ("[b.n,b.t]", Kind.JSON, "[1.50,true]"),
    ("{b.n,b.e}", Kind.JSON, '{"n":1.50,"e":1e3}'),
    ('{"x":b.n,b.s,"y":b.zz}', Kind.JSON, '{"x":1.50,"s":"za\\u017c \\ud83d\\udc22"}'),
    ('{"<":b.n}', Kind.JSON, '{"<":1.50}'),
    ("[b.zz]", Kind.JSON, "[]"),
    ("{b.l.#.n}", Kind.JSON, '{"n":["W","A",null]}'),
    ("b.o.{m,k}", Kind.JSON, '{"m":1,"k":[1,2]}'),
    ("b.o.[m,k.0]", Kind.JSON, "[1,1]"),
    ("b.o.[m,k.0].1", Kind.NUMBER, "1"),
    ("b.n,b.e", None, ""),
    ("[b.n", None, ""),
    ("{[b.n],[b.e]}", Kind.JSON, '{"_":[1.50],"_":[1e3]}'),
    ('b.l.#.{id,"name":n}', Kind.JSON, '[{"id":"1","name":"W"},{"id":"2","name":"A"},{"id":3,"name":null}]'),
    ("b.zz.[a]", Kind.JSON, "[]"),
    ("b.zz.{a}", Kind.JSON, "{}"),
    ('!"x"', Kind.STRING, "x"),
    ("!1", Kind.NUMBER, "1"),
    ('!{"a":[1]}.a.0', Kind.NUMBER, "1"),
    ("!true", Kind.TRUE, "true"),
    ("!null", Kind.NULL, ""),
    ("!nope", None, ""),
    ('{"v":!"x","w":b.n}', Kind.JSON, '{"v":"x","w":1.50}'),
    ('b.!"x"', None, ""),
    (".", None, ""),
    ("b.", None, ""),
    ("..b", None, ""),
    ("..#", Kind.NUMBER, "1"),
    ("..0.d.x", Kind.NUMBER, "2"),
    ("#", None, ""),
    ("@", None, ""),
    ("!", None, ""),
    ("\\|[]", None, ""),
    ("{}", Kind.JSON, "{}"),
    ("b..n", None, ""),
]


@pytest.mark.parametrize(("path", "kind", "text"), RECORDED)
def test_a_path_leads_to_what_gjson_finds(path, kind, text):
    result = read(DOCUMENT, path)
    assert (result.kind if result.exists else None, result.text) == (kind, text)


@pytest.mark.parametrize("path", [path for path, *_ in RECORDED])
def test_the_second_read_of_a_compiled_path_is_the_same_as_the_first(path):
    compiled = compile_path(path)
    first = compiled.get(DOCUMENT)
    assert compiled.get(DOCUMENT) == first


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("..#", "4"),
        ("..0.a", "1"),
        ("..1.b.0", "3"),
        ("..#.a", "[1,2]"),
        ("..#(a==2).b.0", "3"),
        ("..2.0", "4"),
        ("..3", "5"),
        ("..9", ""),
    ],
)
def test_two_dots_read_json_lines(path, text):
    assert read('{"a":1}\n{"a":2,"b":[3]}\n[4]\n5\n', path).text == text


@pytest.mark.parametrize(
    ("document", "path", "raw"),
    [
        ('{"a":1,"a":2}', "a", "1"),
        ('{"a":1,"a":{"b":2}}', "a.b", "2"),
        ('{"a":{"x":1},"a":{"b":2}}', "a.b", "2"),
        ('{"a":{"b":1},"a":{"b":2}}', "a.b", "1"),
        ('{"\\u0061":1,"a":2}', "a", "1"),
        ('{"a":[1],"a":[1,2]}', "a.1", "2"),
    ],
)
def test_of_a_key_that_is_there_twice_the_first_that_leads_somewhere_wins(document, path, raw):
    compiled = compile_path(path)
    assert [compiled.get(document).raw for _ in range(2)] == [raw, raw]


def test_an_index_says_where_the_raw_text_stands():
    for path in ("b.n", "b.l.1.n", "b.l.#(id==2).n", "b.*.1", "d.x"):
        result = read(DOCUMENT, path)
        assert DOCUMENT[result.index :].startswith(result.raw)


def test_what_is_put_together_has_no_index():
    assert [read(DOCUMENT, path).index for path in ("b.l.#", "[b.n]", "b.arr.@reverse", "b.arr|0")] == [-1] * 4


@pytest.mark.parametrize(
    ("raw", "number"),
    [("1e400", float("inf")), ('"12"', 12.0), ('"1_0"', 0.0), ('"x"', 0.0), ("true", 1.0), ("null", 0.0), ("[1]", 0.0)],
)
def test_the_number_form_follows_go(raw, number):
    assert read(f'{{"a":{raw}}}', "a").number == number


@pytest.mark.parametrize(
    "document", ["", " ", "1", '"x{\\"a\\":1}"', "null", "}", '{"a"', '{"a":', '{"b":"', "[", '{"a":}']
)
def test_what_is_no_container_or_no_json_has_nothing_at_a_key(document):
    compiled = compile_path("a")
    assert not compiled.get(document).exists
    assert not compiled.get(document).exists


def test_kinds_have_the_names_of_the_contract():
    assert [kind.value for kind in Kind] == ["String", "Number", "True", "False", "Null", "JSON"]
