"""transform.*: how a dependency changes an event's data."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from conformance.core import AS_UPSTREAM, Case, Error, Outcome, event, judge, recorded
from conformance.workers import WORKERS

from events.errors import KeryxError
from events.event import Event
from events.scripting.pool import Scripts
from sensors import transform
from sensors.types import EventDependency


def run(case: Case) -> Outcome:
    """Compare with upstream; data as JSON."""
    got = WORKERS.run(lambda scripts: answer(case, scripts))
    return judge(case, got, INTENTS, wanted=comparable(recorded(case)))


def comparable(answer: Any) -> Any:
    return answer if isinstance(answer, Error) else answer | {"data": json.loads(answer["data"] or "null")}


async def answer(case: Case, scripts: Scripts) -> Any:
    dependency = EventDependency.parse({"name": "d", "transform": case.input["transform"]})
    compiled, given = transform.compile(dependency, scripts), given_event(case)
    try:
        return shown(await compiled.apply(given) if compiled else given)
    except KeryxError as error:
        return Error(str(error))


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
