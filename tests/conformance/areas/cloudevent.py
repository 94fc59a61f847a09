"""cloudevent: events on the wire, written and read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from conformance.core import Case, Error, Outcome, attempt, judge, payload, recorded, text

from events.event import decode, describe, from_wire, published, to_wire


def run(case: Case) -> Outcome:
    """Compare with upstream."""
    op = case.input["op"]
    return judge(case, attempt(lambda: OPS[op](case.input)), INTENTS, wanted=comparable(recorded(case)))


def comparable(answer: Any) -> Any:
    """Upstream's answer; a crash to come (no event at all) is an error, and why an event is invalid needs no words."""
    if not isinstance(answer, dict):
        return answer
    if answer.get("nil"):
        return Error("no event")
    return answer | {"extensions": answer["extensions"] or {}, "validate": bool(answer.get("validate"))}


def publish(given: dict[str, Any]) -> Any:
    return to_wire(
        published(
            source=given["source"],
            subject=given["subject"],
            type=given["type"],
            data=payload(given),
            id=given.get("customId", given["id"]),
            time=given["time"],
        )
    ).decode()


def read(given: dict[str, Any]) -> Any:
    wire = given["wire"].encode()
    event = decode(wire)
    return {
        "event": json.loads(describe(event)),
        "data": text(event.data),
        "extensions": dict(event.extensions),
        "validate": isinstance(attempt(lambda: from_wire(wire)), Error),
    }


OPS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "publish": publish,
    "decode": read,
    "roundtrip": lambda given: to_wire(decode(given["wire"].encode())).decode(),
}


def without_blanks(case: Case) -> Any:
    """N10: white space between the members of the wire means nothing."""
    compact = json.dumps(json.loads(case.input["wire"]), separators=(",", ":"), ensure_ascii=False)
    return OPS[case.input["op"]](case.input | {"wire": compact})


INTENTS = {"N10": without_blanks}
