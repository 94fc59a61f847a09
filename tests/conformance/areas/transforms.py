"""transform.*: how a dependency changes an event's data."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from typing import Any

from conformance.core import AS_UPSTREAM, Case, Error, Outcome, event, judge, recorded

from events.errors import KeryxError
from events.event import Event
from events.scripting.pool import Scripts


def run(case: Case) -> Outcome:
    """Compare with upstream; data as JSON."""
    return judge(case, asyncio.run(answer(case)), INTENTS, wanted=comparable(recorded(case)))


def comparable(answer: Any) -> Any:
    return answer if isinstance(answer, Error) else answer | {"data": json.loads(answer["data"] or "null")}


async def answer(case: Case) -> Any:
    scripts = Scripts()
    try:
        return shown(await transformed(case.input["transform"], given_event(case), scripts))
    except KeryxError as error:
        return Error(str(error))
    finally:
        await scripts.aclose()


async def transformed(transform: dict[str, str] | None, given: Event, scripts: Scripts) -> Event:
    if given.data is None or not transform or not any(transform.values()):
        return given
    jq = transform.get("jq")
    program = scripts.jq(jq) if jq else scripts.lua(transform["script"])
    return given.with_data(await program.run(given.data))


def given_event(case: Case) -> Event:
    """The recorder set the content type together with the data."""
    found = event(case.input["event"])
    return found if found.data is not None else replace(found, datacontenttype="")


def shown(event: Event) -> dict[str, Any]:
    names = ("datacontenttype", "id", "type", "source", "subject")
    data = None if event.data is None else json.loads(event.data)
    return {name: getattr(event, name) for name in names} | {"data": data}


def arrays_as_they_are(case: Case) -> Any:
    """T1: arrays in arrays and nulls stay where they are, seen where a script hands a member on."""
    member = re.fullmatch(r"return \{(\w+)=event\.(\w+)\}", case.input["transform"]["script"])
    if member is None:
        return AS_UPSTREAM
    data = json.loads(case.input["event"]["data"])
    return comparable(recorded(case)) | {"data": {member[1]: data[member[2]]}}


def null_is_empty(case: Case) -> Any:
    """N8: jq sees data `null` as an empty object, whatever the program; errors are errors."""
    return comparable(recorded(case)) | {"data": {}} if case.expect.get("ok") else AS_UPSTREAM


INTENTS = {"T1": arrays_as_they_are, "N8": null_is_empty}
