"""jq and Lua in their worker: what programs make of data, what hostile ones cannot do, how workers are looked after."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from events.errors import FilterError, TransformError, UserError
from events.scripting.pool import Limits, Scripts, check

DATA = b'{"a":1,"list":[1,[2],null,3],"nul":null,"s":"h\xc3\xa9","empty":[]}'
# The deadline of hostile scripts; the machine that runs the tests may be busy, CPU time is not.
SECONDS = 0.1

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Scripts]:
    """For what programs do: one pair of workers for all of them."""
    made = Scripts(Limits(seconds=SECONDS))
    yield made
    await made.aclose()


@pytest.fixture
async def scripts() -> AsyncIterator[Scripts]:
    """For what workers do."""
    made = Scripts(Limits(seconds=SECONDS))
    yield made
    await made.aclose()


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.005)


# What programs make of data.


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{a: .a}", '{"a":1}'),
        ("{z: 1, a: (1.0|tostring)}", '{"a":"1","z":1}'),
        (
            '{a: ({z: 1.50, b: [2.0]}|tojson), b: "\\({z: 1, b: 2})"}',
            '{"a":"{\\"b\\":[2],\\"z\\":1.5}","b":"{\\"b\\":2,\\"z\\":1}"}',
        ),
        (
            "{a: ({z: 1, b: 2}|to_entries|map(.key)), b: ({z: 1, b: 2}|with_entries(.value += 1))}",
            '{"a":["b","z"],"b":{"b":3,"z":2}}',
        ),
        ("{a: 1e20, b: 1e21, c: 0.00001, d: 1e-7}", '{"a":100000000000000000000,"b":1e+21,"c":0.00001,"d":1e-7}'),
        ("{a: $ENV, b: env, c: $ENV.PATH}", '{"a":{},"b":{},"c":null}'),
        ('{a: (1|toarray), b: "<&>"}', '{"a":[1],"b":"\\u003c\\u0026\\u003e"}'),
        ('{a: 1}, error("never reached")', '{"a":1}'),
        ("# nothing\n{a: .nul} # more", '{"a":null}'),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_jq(shared: Scripts, text: str, result: str) -> None:
    assert (await shared.jq(text).run(DATA)).decode() == result


@pytest.mark.parametrize(
    "text",
    [
        *(".a", "[.]", "null", "empty", "halt", "halt_error", 'error("x")', "error(null)", "$nothing", "{", ".a |"),
        *("{a: nan}", "{a: [infinite]}", "{a: (1/0)}", "{a: 1e1000}", "{a: input}", "{a: [inputs]}", "debug|{}"),
        *("stderr|{}", "{a: input_filename}", '{a: ("x"|modulemeta)}', "{a: get_search_list}", "keys_unsorted|{}"),
        *('import "a" as a; {}', 'include "a"; {}', "{a: $__prog_args}", ".a) | (.a", "{}) | ({}"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_jq_that_gives_no_object_is_an_error(shared: Scripts, text: str) -> None:
    with pytest.raises(TransformError, match=r"^dep a: "):
        await shared.jq(text, "dep a").run(DATA)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("return {a=event.a}", '{"a":1}'),
        ("return event", '{"a":1,"empty":{},"list":[1,[2],null,3],"s":"hé"}'),
        ("return 1, {b=2}", '{"b":2}'),
        ("return {}", "{}"),
        ("return setmetatable({}, {__is_array=true})", "[]"),
        ("return {1, nil, 3, k=1}", "[1,null,3]"),
        ("return {[-1]=1, [1.5]=2, [true]=3, [2^40]=4}", '{"-1":1,"1.5":2,"1099511627776":4,"true":3}'),
        (
            "return {a=1e21, b=1e-7, c=2^53, d=1/3, e=1e20}",
            '{"a":1e+21,"b":1e-7,"c":9007199254740992,"d":0.3333333333333333,"e":100000000000000000000}',
        ),
        (
            'return {a="\\0\\1\\n\\127<\\"\\\\", b="\\255a"}',
            '{"a":"\\u0000\\u0001\\n\x7f\\u003c\\"\\\\","b":"\ufffda"}',
        ),
        (
            "return {a=tostring(2^53), b=('%s %d %s'):format(2^53, 2, true)}",
            '{"a":"9007199254740992","b":"9007199254740992 2 true"}',
        ),
        ("return {table.concat({2^53, 'x'}, '-')}", '["9007199254740992-x"]'),
        (
            "return {a=type(os.time()), b=os.date('!%Y', 0), c=type(os.clock()), d=os.getenv('PATH')}",
            '{"a":"number","b":"1970","c":"number"}',
        ),
        ("return {a=loadstring('return event.a')()}", '{"a":1}'),
        (
            "local f = coroutine.wrap(function(x) x = coroutine.yield(x + 1); return x end); return {f(1), f(5)}",
            "[2,5]",
        ),
        ("return {pcall(error, {})[1] == nil, select('#', pcall(error)), (pcall(error))}", None),
        ("local t = {}; t[1] = 2; setfenv(1, {t=t, event=event}); return {a=t[1], b=event.a}", '{"a":2,"b":1}'),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_lua(shared: Scripts, text: str, result: str | None) -> None:
    if result is None:
        with pytest.raises(TransformError):
            await shared.lua(text).run(DATA)
    else:
        assert (await shared.lua(text).run(DATA)).decode() == result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x =\n= 1", "line 2: unexpected symbol"),
        ("return {a=event.nul.x}", "line 1: attempt to index field 'nul'"),
        ("return 1", "must return a table, not a number"),
        ("local x = 1", "must return a table, not nothing"),
        ("return {a=0/0}", "not finite"),
        ("return {a=1/0}", "not finite"),
        ("return {a=print}", "a function, which JSON cannot say"),
        ("return {a=coroutine.create(print)}", "a thread, which JSON cannot say"),
        ("local t = {}; t.t = t; return t", "contains itself"),
        ("error({})", "failed with a table"),
        ("error('m', 0)", "dep b: m"),
        ("\x1bLua", "compiled code"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_lua_that_gives_no_table_is_an_error(shared: Scripts, text: str, message: str) -> None:
    with pytest.raises(TransformError, match=message):
        await shared.lua(text, "dep b").run(DATA)


@pytest.mark.parametrize(
    ("text", "passes"),
    [("return event.a == 1", True), ("return true, false", False), ("return 'true'", False), ("", False)],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_filter_passes_what_is_exactly_true(shared: Scripts, text: str, passes: bool) -> None:
    assert await shared.lua_filter(text).run(DATA) is passes


@pytest.mark.parametrize("data", [b"", b"zz", b"[1]", b"5", b'{"a":1e999}'])
@pytest.mark.asyncio(loop_scope="module")
async def test_data_that_is_no_object_is_an_error(shared: Scripts, data: bytes) -> None:
    for program in (shared.jq("."), shared.lua("return event")):
        with pytest.raises(TransformError, match="the event's data is"):
            await program.run(data)
    with pytest.raises(FilterError, match="the event's data is"):
        await shared.lua_filter("return true").run(data)


@pytest.mark.parametrize(
    "text",
    [
        "x = (x or 0) + 1; return {x}",
        "string.x = (string.x or 0) + 1; return {string.x}",
        "_G.x = (_G.x or 0) + 1; return {x}",
        "local g = getfenv(0); g.x = (g.x or 0) + 1; return {g.x}",
        "local g = getfenv(print); g.x = (g.x or 0) + 1; return {g.x}",
        "local g = getfenv(coroutine.wrap(print)); g.x = (g.x or 0) + 1; return {g.x}",
        "local g = getfenv(string.rep); g.x = (g.x or 0) + 1; return {g.x}",
        "math.x = (math.x or 0) + 1; function string.upper() return 2 end; return {('a'):upper() == 2 and math.x}",
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_nothing_leaks_from_one_event_to_the_next(shared: Scripts, text: str) -> None:
    program = shared.lua(text)
    assert [await program.run(DATA) for _ in range(3)] == [b"[1]"] * 3


# What hostile programs cannot do.


@pytest.mark.parametrize(
    "text",
    [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local function f() pcall(f) f() end f()",
        "local f = coroutine.wrap(function() while true do end end) f()",
        "while 1 do pcall(coroutine.wrap(function() while 1 do pcall(function() while 1 do end end) end end)) end",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "xpcall(function() while true do end end, function() while true do end end) while true do end",
        "return setmetatable({}, {__index=function() while true do end end}).x",
        "return table.sort({3, 2, 1, 5}, function() while true do end end)",
        "return {x=string.find(string.rep('a', 200000), string.rep('a*', 60) .. 'b')}",
        "return {x=string.rep('x', 1e9)}",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} while true do t[#t + 1] = {} end",
        "while true do pcall(function() local t = {} while true do t[#t + 1] = {} end end) end",
        "return {[6e7] = 1}",
        "local t = {} for i = 1, 1e9 do t[i] = i end return t",
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_lua_takes_no_more_than_it_may(shared: Scripts, text: str) -> None:
    with pytest.raises(TransformError, match=r"script: (it|the script) (took|gave)"):
        await shared.lua(text).run(DATA)
    assert await shared.lua("return {a=1}").run(DATA) == b'{"a":1}'


@pytest.mark.parametrize(
    "text",
    [
        "[range(1e9)]",
        "def f: f; f",
        "def f: [f]; f",
        "last(repeat(1))",
        "[limit(1e9; repeat(1))]",
        "reduce range(1e9) as $i (0; [.])",
        'reduce range(100) as $i ("x"; . + .)',
        "[recurse(. + 1)]",
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_jq_takes_no_more_than_it_may(shared: Scripts, text: str) -> None:
    with pytest.raises(TransformError, match=r"^jq: "):
        await shared.jq(f"{{r: ({text})}}").run(DATA)
    assert await shared.jq("{a: 1}").run(DATA) == b'{"a":1}'


@pytest.mark.parametrize(
    "name",
    [
        *("io", "package", "debug", "python", "load", "loadfile", "dofile", "require", "module", "newproxy", "gcinfo"),
        *("os.execute", "os.remove", "os.rename", "os.exit", "os.tmpname", "os.setlocale", "string.dump"),
        "getmetatable('').__index",
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_the_machine_is_out_of_reach(shared: Scripts, name: str) -> None:
    program = shared.lua_filter(f"local ok, value = pcall(loadstring([[return {name}]])); return not (ok and value)")
    assert await program.run(DATA)


@pytest.mark.asyncio(loop_scope="module")
async def test_deep_recursion_is_an_error_of_the_script(shared: Scripts) -> None:
    with pytest.raises(TransformError, match="stack overflow"):
        await shared.lua("local function f() return 1 + f() end f()").run(DATA)


@on_linux
async def test_the_worker_keeps_nothing_it_does_not_need(scripts: Scripts) -> None:
    await scripts.jq(".").run(DATA)
    proc = Path(f"/proc/{scripts.pids[0]}")
    assert os.readlink(proc / "cwd") == "/"
    assert os.listdir(proc / "fd") == ["0"]
    assert (proc / "environ").read_bytes() == b""
    limits = {line[:25].strip(): line[26:].split()[0] for line in (proc / "limits").read_text().splitlines()}
    assert limits["Max open files"] == "1"
    assert limits["Max core file size"] == limits["Max file size"] == limits["Max processes"] == "0"
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    assert int(status["VmRSS"].split()[0]) < 40_000
    assert status["NoNewPrivs"].strip() == "1"


def test_this_process_loads_neither_language() -> None:
    code = "import sys, sensors.service, events.scripting.pool; print({'jq', 'lupa', 'lupa.lua51'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


# How the worker is looked after.


async def test_thousands_in_flight_are_answered_in_order(scripts: Scripts) -> None:
    jq, lua, finished = scripts.jq("{n}"), scripts.lua("return {n=event.n}"), []

    async def run(n: int) -> None:
        assert await (jq if n % 2 else lua).run(b'{"n":%d}' % n) == b'{"n":%d}' % n
        finished.append(n)

    await asyncio.gather(*(run(n) for n in range(5000)))
    assert finished == sorted(finished)
    assert len(scripts.pids) == 1


async def test_a_big_event_passes() -> None:
    data = json.dumps({"s": "x" * 900_000, "list": list(range(10_000))}, separators=(",", ":")).encode()
    scripts = Scripts()
    try:
        for program in (scripts.jq("{list, s}"), scripts.lua("return event")):
            assert json.loads(await program.run(data)) == json.loads(data)
    finally:
        await scripts.aclose()


async def test_only_the_script_that_ends_the_worker_fails(scripts: Scripts) -> None:
    good, bad = scripts.jq("{n}"), scripts.jq("def f: f; f", "dependency x: transform.jq")
    runs = [good.run(b'{"n":%d}' % n) for n in range(200)]
    runs[100:100] = [bad.run(DATA)]
    results = await asyncio.gather(*runs, return_exceptions=True)
    failed = results.pop(100)
    assert isinstance(failed, TransformError)
    assert str(failed) == f"dependency x: transform.jq: it took more than {SECONDS} s of CPU time"
    assert results == [b'{"n":%d}' % n for n in range(200)]


async def test_a_script_that_was_stopped_goes_on_apart(scripts: Scripts) -> None:
    bad, good = scripts.jq("if .a then def f: f; f else {ok: 1} end"), scripts.jq("{n: 1}")
    with pytest.raises(TransformError):
        await bad.run(DATA)
    await good.run(DATA)
    pids = scripts.pids
    held_up = [asyncio.create_task(bad.run(DATA)) for _ in range(2)]
    await asyncio.sleep(0)
    assert await good.run(DATA) == b'{"n":1}'
    assert not any(task.done() for task in held_up)
    assert scripts.pids[0] == pids[0]
    await asyncio.gather(*held_up, return_exceptions=True)
    assert await bad.run(b"{}") == b'{"ok":1}'


async def test_a_worker_killed_from_outside_costs_nobody_an_event(scripts: Scripts) -> None:
    program = scripts.lua("local x = 0; for i = 1, 1e5 do x = x + i end; return {n=event.n}")
    runs = [asyncio.create_task(program.run(b'{"n":%d}' % n)) for n in range(300)]
    await until(lambda: sum(run.done() for run in runs) > 20)
    os.kill(scripts.pids[0], signal.SIGKILL)
    assert await asyncio.gather(*runs) == [b'{"n":%d}' % n for n in range(300)]


async def test_a_worker_that_stands_still_is_replaced() -> None:
    scripts = Scripts(_Impatient(seconds=5))
    try:
        program = scripts.jq("{a}")
        await program.run(DATA)
        os.kill(scripts.pids[0], signal.SIGSTOP)
        with pytest.raises(TransformError, match="gave no answer within"):
            await program.run(DATA)
        assert await scripts.jq("{b: 1}").run(DATA) == b'{"b":1}'
    finally:
        await scripts.aclose()


class _Impatient(Limits):
    @property
    def patience(self) -> float:
        return 0.2


async def test_a_request_nobody_waits_for_any_more_is_forgotten(scripts: Scripts) -> None:
    program = scripts.jq("{n}")
    runs = [asyncio.create_task(program.run(b'{"n":%d}' % n)) for n in range(600)]
    await asyncio.sleep(0)
    for run in runs[::2]:
        run.cancel()
    results = await asyncio.gather(*runs, return_exceptions=True)
    assert results[1::2] == [b'{"n":%d}' % n for n in range(1, 600, 2)]


async def test_closing_ends_the_worker_and_whoever_waits() -> None:
    scripts = Scripts()
    await scripts.jq(".").run(DATA)
    pid = scripts.pids[0]
    waiting = asyncio.create_task(scripts.jq("def f: f; f").run(DATA))
    await asyncio.sleep(0.05)
    await scripts.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@on_linux
@pytest.mark.parametrize("text", ["{a}", "def f: f; f"])
async def test_the_worker_dies_with_its_parent(text: str) -> None:
    parent = textwrap.dedent(
        f"""
        import asyncio, os, sys
        from events.scripting.pool import Limits, Scripts

        async def main():
            scripts = Scripts(Limits(seconds=60))
            await scripts.jq(".").run(b"{{}}")
            print(*scripts.pids, flush=True)
            asyncio.ensure_future(scripts.jq({text!r}).run(b"{{}}"))
            await asyncio.sleep(60)

        asyncio.run(main())
        """
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", parent, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    await asyncio.sleep(0.1)
    process.kill()
    await process.wait()
    await until(lambda: not is_alive(pid))


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_an_event_loop_of_the_other_kind_works_too() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> bytes:
        scripts = Scripts()
        try:
            return await scripts.jq("{a}").run(DATA)
        finally:
            await scripts.aclose()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == b'{"a":1}'


# Validation.


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("jq", ".a", None),
        ("jq", ".a\n| %", "line 2"),
        ("jq", "\nfoo(1)", "foo/1 is not defined in line 2"),
        ("jq", 'import "x" as x; .', "import"),
        ("lua", "return event", None),
        ("lua", "return {\n", "line 2: unexpected symbol"),
        ("lua", "while true do end", None),
    ],
)
def test_check_says_what_does_not_compile(kind: Any, text: str, message: str | None) -> None:
    found = check(kind, text)
    assert found is None if message is None else message in (found or "")


async def test_compile_says_where(scripts: Scripts) -> None:
    await scripts.jq(".").compile()
    with pytest.raises(UserError) as caught:
        await scripts.lua("return (", "filters.script").compile()
    assert caught.value.path == "filters.script"
