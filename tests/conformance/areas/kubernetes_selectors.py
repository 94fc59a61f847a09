"""selectors: label and field selectors of queries, read, written canonically and matched, by our functions directly."""

from __future__ import annotations

from typing import Any

from conformance.core import Case, Error, Outcome, judge, recorded

from events.local.apiserver import selectors
from events.local.apiserver.status import StatusError


def run(case: Case) -> Outcome:
    """Compare canonical form and matches, or the text of the refusal: a client reads it."""
    upstream = recorded(case)
    wanted = {"error": upstream.text} if isinstance(upstream, Error) else upstream
    try:
        got = answer(case.input)
    except StatusError as refusal:
        got = {"error": refusal.message}
    return judge(case, got, wanted=wanted)


def answer(given: dict[str, Any]) -> dict[str, Any]:
    read = selectors.labels if given["op"] == "label" else selectors.fields
    found = read(given["selector"])
    return {"canonical": str(found), "matches": [found.matches(one) for one in given[f"{given['op']}s"]]}
