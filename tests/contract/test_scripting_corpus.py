"""The recorded cases of jq and Lua, against the worker itself: what upstream answers, and where we depart from it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from events.errors import FilterError, TransformError
from events.scripting.pool import Program, Scripts

CORPUS = Path(__file__).parents[3] / "shared" / "conformance"

# Cases in which we answer otherwise, by kind of reason.
GAPS = {
    "T1, arrays in arrays and nulls in arrays are kept": {
        "transform.script/nested-dropped",
        "transform.script/mixed-shift",
        "filter.script/nested-arr-dropped",
        "filter.script/mixed-len",
        "filter.script/mixed-shift",
    },
    "N8, null is an empty object": {"transform.jq/payload-null"},
    "Lua 5.1 as it is, not upstream's dialect": {"filter.script/goto", "filter.script/pcall-msg"},
}


def program(scripts: Scripts, area: str, raw: dict[str, Any]) -> Program[Any] | None:
    if area == "filter.script":
        return scripts.lua_filter(raw["filters"]["script"])
    transform = raw["transform"] or {}
    if transform.get("jq"):
        return scripts.jq(transform["jq"])
    return scripts.lua(transform["script"]) if transform.get("script") else None


async def agrees(scripts: Scripts, row: dict[str, Any]) -> bool:
    runs, expect = program(scripts, row["area"], row["input"]), row["expect"]
    data = row["input"]["event"].get("data")
    if runs is None or data is None:
        return True
    try:
        got = await runs.run(data.encode())
    except (TransformError, FilterError):
        return not expect["ok"]
    if not expect["ok"]:
        return False
    wanted = expect["value"]
    return got is wanted if isinstance(wanted, bool) else json.loads(got) == json.loads(wanted["data"])


@pytest.mark.skipif(not CORPUS.exists(), reason=f"recorded cases of upstream are not here: {CORPUS}")
@pytest.mark.parametrize("area", ["transform.jq", "transform.script", "filter.script"])
async def test_answers_are_upstreams(area: str) -> None:
    rows = [json.loads(line) for line in (CORPUS / f"{area}.jsonl").read_text().splitlines()]
    scripts = Scripts()
    try:
        answers = await asyncio.gather(*(agrees(scripts, row) for row in rows))
    finally:
        await scripts.aclose()
    differing = {row["id"] for row, agreed in zip(rows, answers, strict=True) if not agreed}
    assert differing == {case for cases in GAPS.values() for case in cases if case.startswith(f"{area}/")}
